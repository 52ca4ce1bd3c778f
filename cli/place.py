"""Where a verb speaks: a server that was named, the one that holds this project's store, or the store itself.

Source: the language page, section 6.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ..core import host
from ..core.errors import ConfigError
from ..language.diagnostics import Diagnostics
from ..language.documents import load_document
from ..language.overrides import overlaid
from ..language.project import FILES, STORE_DEFAULT
from ..language.project_keys import PROJECT
from ..language.reader import PlainData
from ..language.values import is_mapping

if TYPE_CHECKING:
    from ..app import App


log = logging.getLogger("reactor.serve")
SERVER_FILE = ".reactor/server.json"
"""In the project's folder: who serves it, where the store is no file with a lock of its own."""


class Holder(Struct, frozen=True):
    """Who has a store, as its lock file says, or the project's own."""

    pid: int
    address: str = ""
    store: str = ""  # which one, as a digest: its URL may hold a password


class Place(Struct, frozen=True):
    """A project's folder, its store's URL (files absolute), and what reactor.yaml says that is needed before the rest.

    `base_path` is the path that its server is below.
    """

    root: str
    store: str
    base_path: str = "/"
    writer: str = ""  # of its file, as the project wants it

    @property
    def database(self) -> Path | None:
        """The file of an SQLite store; None for any other."""
        return Path(self.store.removeprefix("sqlite:///")) if self.store.startswith("sqlite:////") else None

    @property
    def _digest(self) -> str:
        return "" if self.database is not None else hashlib.sha256(self.store.encode()).hexdigest()

    @property
    def _server_file(self) -> Path:
        return Path(self.root) / SERVER_FILE if self.database is None else Path(f"{self.database}.lock")

    def holder(self) -> Holder | None:
        """The living process on this machine that has the store: it may have ended since."""
        try:
            found = msgspec.json.decode(self._server_file.read_bytes(), type=Holder)
        except (OSError, msgspec.DecodeError):
            return None
        ours = found.store == self._digest and found.pid != os.getpid()
        return found if ours and host.lives(found.pid) else None

    @contextmanager
    def told(self, address: str) -> Generator[None]:
        """While this process serves: say so in the project's folder, unless the store's lock file does."""
        if self.database is not None:
            yield
            return
        text = msgspec.json.encode(Holder(os.getpid(), address, self._digest))
        try:
            self._server_file.parent.mkdir(exist_ok=True)
            self._server_file.write_bytes(text)
        except OSError as error:  # a folder that may not be written: verbs need --server then, as before
            log.info("%s is not written: %s", self._server_file, error.strerror or error)
        try:
            yield
        finally:
            with suppress(OSError):
                if self._server_file.read_bytes() == text:
                    self._server_file.unlink()

    def server(self) -> str:
        """The address of the server that holds the store; empty if there is none."""
        holder = self.holder()
        if holder is None or not holder.address:
            return ""
        host, _, port = holder.address.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # not bound to here
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def served(self) -> App:
        """The project as a server: another process writes its file, and starts while this one imports what it needs.

        Raises ConfigError.
        """
        from ..core import companion

        if self.database is not None and self.writer != "thread" and host.has_locks():
            companion.start_ahead(companion.WRITER)
        try:
            return self.app(writer="process")
        except BaseException:
            companion.drop(companion.WRITER)
            raise

    def app(self, **options: Any) -> App:
        """The project as a program, not open yet. Raises ConfigError."""
        from ..app import App

        return App(self.store, project=self.root, **options)


def find(root: Path, environ: Mapping[str, str]) -> Place:
    """The place of a project's folder: only what it needs of `reactor.yaml` is read. Raises InvalidDefinition."""
    diagnostics = Diagnostics()
    path = next((root / name for name in FILES if (root / name).is_file()), None)
    document = None if path is None else load_document(path.read_bytes(), str(path), diagnostics)
    diagnostics.raise_errors()
    source = overlaid(document or PlainData({}), str(path or ""), environ, PROJECT, diagnostics)
    value: Mapping[str, Any] = source.value if is_mapping(source.value) else {}
    store, server = value.get("store"), value.get("server")
    url: Any = store.get("url") if is_mapping(store) else store
    writer: Any = store.get("writer") if is_mapping(store) else None
    base: Any = server.get("base_path") if is_mapping(server) else None
    return Place(str(root), absolute(str(url or STORE_DEFAULT), root), str(base or "/"), str(writer or ""))


def absolute(store: str, root: Path) -> str:
    """A store's URL; a file's path is counted from the project's folder."""
    name = store.removeprefix("sqlite:///")
    if "://" in name or name in (":memory:", "sqlite://"):
        return store
    return f"sqlite:///{(root / name).absolute()}"


def token(environ: Mapping[str, str]) -> str:
    """The token to send: REACTOR_TOKEN, or what is in the file that REACTOR_TOKEN_FILE names. Raises ConfigError."""
    found = environ.get("REACTOR_TOKEN", "")
    file = environ.get("REACTOR_TOKEN_FILE", "")
    if found or not file:
        return found
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"the token cannot be read from {file}: {error.strerror}",
            path="REACTOR_TOKEN_FILE",
            hint="check that the file exists, and who may read it",
        ) from None
