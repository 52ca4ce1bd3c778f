"""TLS contexts from the key `tls` of a connection."""

from __future__ import annotations

import os
import ssl
import tempfile

from .contract import ConfigError, Tls


def client_context(tls: bool | Tls, project: str = ".") -> ssl.SSLContext | None:
    """A client's context; None for `tls: false`. Paths are relative to the project, PEM text is taken as it is.

    Raises ConfigError: a file that is not there, a certificate that cannot be read, a key that does not fit.
    """
    if tls is False:
        return None
    context = ssl.create_default_context()
    if tls is True:
        return context
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    try:
        if tls.ca is not None:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # set from Python 3.13 on: refuses most CAs made by hand
            if _is_pem(tls.ca):
                context.load_verify_locations(cadata=tls.ca)
            else:
                context.load_verify_locations(os.path.join(project, tls.ca))
        if tls.cert is not None:
            _load_chain(context, tls.cert, tls.key, project)
    except (OSError, ssl.SSLError) as e:
        raise ConfigError(f"`tls` cannot be used: {_missing(tls, project) or e}", path="tls") from e
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _missing(tls: Tls, project: str) -> str:
    """The file that is not there: OpenSSL's error does not name it."""
    for key, given in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        if given is not None and not _is_pem(given) and not os.path.exists(path := os.path.join(project, given)):
            return f"there is no file {path} (`{key}`)"
    return ""


def _is_pem(text: str) -> bool:
    return "-----BEGIN" in text


def _load_chain(context: ssl.SSLContext, cert: str, key: str | None, project: str) -> None:
    """OpenSSL reads certificate and key from files alone: PEM text goes through one that is gone at once."""
    with tempfile.TemporaryDirectory(prefix="reactor-tls-") as folder:
        paths: list[str] = []
        for name, given in (("cert", cert), ("key", key)):
            if given is not None and _is_pem(given):
                path = os.path.join(folder, name)
                with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                    file.write(given)
                paths.append(path)
            elif given is not None:
                paths.append(os.path.join(project, given))
        context.load_cert_chain(*paths)
