"""The kinds of connections: their keys without loading a client library, their classes at first use.

Source: triggers.md, section 6.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from ..core.errors import StepError
from ..core.http import is_loopback
from ..language.diagnostics import did_you_mean
from .contract import Connection
from .fields import Fault, Keys, has_template, model_faults


class ConnectionKind(Struct, frozen=True):
    """Where a kind is carried out, what its keys are, which library (and extra) it needs."""

    module: str
    name: str
    keys: str
    library: str = ""
    extra: str = ""

    @property
    def config(self) -> type[Keys]:
        """The model of its keys; the models of all kinds are made when the first of them is asked for."""
        return getattr(importlib.import_module(".configs", __package__), self.keys)


KINDS: dict[str, ConnectionKind] = {
    "kafka": ConnectionKind("kafka", "KafkaConnection", "KafkaConfig", "aiokafka", "kafka"),
    "nats": ConnectionKind("nats", "NatsConnection", "NatsConfig", "nats", "nats"),
    "postgres": ConnectionKind("postgres", "PostgresConnection", "PostgresConfig", "asyncpg", "postgres"),
    "sqlite": ConnectionKind("sqlite", "SqliteConnection", "SqliteConfig", "apsw"),
    "http": ConnectionKind("http", "HttpConnection", "HttpConfig", "aiohttp"),
    "smtp": ConnectionKind("smtp", "SmtpConnection", "SmtpConfig"),
}
UNAVAILABLE = ("grpc", "llm", "mqtt", "mysql", "redis")
"""Kinds of the language that this version does not carry out yet."""

FAMILIES: dict[str, tuple[str, ...]] = {"sql": ("postgres", "sqlite"), "jetstream": ("nats",)}
"""Words that callers ask by, and the kinds that serve them."""

_SECRETS = ("password", "token", "client_secret", "nkey", "bearer", "value")


def kinds_of(word: str) -> tuple[str, ...]:
    """The kinds that serve a family's or a kind's word."""
    return FAMILIES.get(word, (word,))


def unknown_kind(kind: str) -> tuple[str, str]:
    """(code, message) for a kind that cannot be had: `unavailable`, or `config` with the nearest name."""
    if kind in UNAVAILABLE:
        return "unavailable", f"connections of kind `{kind}` are not carried out by this version yet"
    return "config", f"unknown kind of connection `{kind}`; {did_you_mean(kind, KINDS)}"


def faults(kind: str, config: Any) -> list[Fault]:
    """What is wrong with a connection's unrendered keys: (path inside them, message). Empty: it may be opened."""
    found = KINDS.get(kind)
    if found is None:
        return [("", unknown_kind(kind)[1])]
    problems = model_faults(found.config, config)
    if isinstance(config, Mapping) and not problems:
        problems += _insecure(cast("Mapping[str, Any]", config))
    return problems


def _insecure(config: Mapping[str, Any]) -> list[Fault]:
    tls = config.get("tls")
    if not isinstance(tls, Mapping):
        return []
    keys = cast("Mapping[str, Any]", tls)
    if keys.get("verify") is False and keys.get("allow_insecure") is not True and not _is_local(config):
        return [("tls.verify", "false is taken only on loopback or beside `allow_insecure: true`")]
    return []


def advice(kind: str, config: Any) -> list[Fault]:
    """Warnings (with `--strict` errors): literal passwords, and passwords that travel in plain text off loopback."""
    if kind not in KINDS or not isinstance(config, Mapping):
        return []
    keys = cast("Mapping[str, Any]", config)
    written = list(_passwords(keys, ""))
    found = [
        (path, "a literal password: write it as `${{ secrets.NAME }}`")
        for path, text in written
        if not has_template(text)
    ]
    plain = not keys.get("tls") and keys.get("security", "none") == "none" and not _is_secure(keys)
    plain = plain and (kind != "smtp" or keys.get("security") == "none") and kind != "postgres"
    if written and plain and not _is_local(keys):
        found.append((written[0][0], "would travel in plain text: add `tls: true`"))
    return found


def _passwords(value: Any, path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if isinstance(value, Mapping):
        for name, part in cast("Mapping[str, Any]", value).items():
            at = f"{path}.{name}" if path else name
            if name in _SECRETS and isinstance(part, str):
                found.append((at, part))
            else:
                found += _passwords(part, at)
    return found


def _addresses(config: Mapping[str, Any]) -> list[str]:
    servers = config.get("servers", config.get("url", config.get("host", "")))
    listed = cast("list[Any]", servers) if isinstance(servers, list) else [servers]
    return [text for text in listed if isinstance(text, str)]


def _is_secure(config: Mapping[str, Any]) -> bool:
    return all(text.startswith(("https:", "tls:", "wss:", "rediss:")) for text in _addresses(config))


def _is_local(config: Mapping[str, Any]) -> bool:
    hosts = [text.rpartition("://")[2].rpartition("@")[2].partition("/")[0] for text in _addresses(config)]
    return all(is_loopback(h.rpartition(":")[0] if h.count(":") == 1 else h) for h in hosts)


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind's keys; raises KeyError for a kind that is not here."""
    return KINDS[kind].config.model_json_schema()


def make(kind: str, name: str, config: Mapping[str, Any], project: str = ".") -> Connection:
    """A connection from rendered keys, not opened yet.

    Raises StepError: `unavailable`, `config` with every fault, `missing_extra` naming the extra to install.
    """
    found = KINDS.get(kind)
    if found is None:
        code, message = unknown_kind(kind)
        raise StepError(code, message)
    problems = faults(kind, config)
    if problems:
        listed = "; ".join(f"{path}: {text}" if path else text for path, text in problems)
        raise StepError("config", f"connection `{name}` ({kind}): {listed}")
    if found.library and importlib.util.find_spec(found.library) is None:
        raise missing_extra(kind, found)
    module = importlib.import_module(f".{found.module}", __package__)
    return getattr(module, found.name)(name, found.config.model_validate(config), project)


def missing_extra(kind: str, found: ConnectionKind) -> StepError:
    """The error for a client library that is not installed."""
    wanted = f"reactor-triggers[{found.extra}]" if found.extra else found.library
    return StepError(
        "missing_extra",
        f"connections of kind `{kind}` need the library {found.library}, which is not installed",
        hint=f"pip install '{wanted}'",
    )
