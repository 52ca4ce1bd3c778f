"""`reactor.yaml` and the environment variables that override it → one frozen Project (signatures first)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal

from .definition import TriggerSpec
from .diagnostics import Diagnostics


@dataclass(frozen=True, slots=True)
class Server:
    """`server`: where it listens, and what it allows. Durations in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 8484
    base_path: str = "/"
    url: str = ""
    timezone: str = "UTC"
    files: tuple[str, ...] = (".",)
    drain_s: float = 30.0
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    body_bytes_max: int = 1 << 20
    output_bytes_max: int = 64 << 20
    depth_max: int = 64


@dataclass(frozen=True, slots=True)
class Connection:
    """One entry of `connections`; `config` as written, `${{ }}` unresolved (`Secrets.render` resolves it)."""

    name: str
    kind: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bus:
    """`bus`: where completion events go besides the router. `kind` local: nowhere."""

    kind: Literal["local", "jetstream", "kafka"] = "local"
    connection: str = ""
    config: Mapping[str, Any] | None = None
    events: tuple[str, ...] = ("reactor.*",)


@dataclass(frozen=True, slots=True)
class Retention:
    """`retention`, in seconds."""

    runs_s: float = 30 * 86_400.0
    events_s: float = 7 * 86_400.0
    unmatched_s: float = 86_400.0
    dedupe_s: float = 3 * 86_400.0
    dead_letters_s: float = 30 * 86_400.0
    ledger_s: float = 90 * 86_400.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Who set a key: `default`, `file` (with its place) or `environment` (with the variable's name)."""

    kind: Literal["default", "file", "environment"]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """The project as it is in force. `root` is the folder that relative paths start from."""

    root: str
    file: str
    server: Server
    store: str
    durability: Literal["power", "process"]
    bus: Bus
    triggers: Mapping[str, TriggerSpec]
    connections: Mapping[str, Connection]
    secrets_from: tuple[tuple[Literal["env", "file"], str], ...]
    vars: Mapping[str, Any]
    env: tuple[str, ...]
    workflows: tuple[str, ...]
    retention: Retention

    @classmethod
    def default(cls, root: str | FilePath = ".", environ: Mapping[str, str] | None = None) -> Project:
        """The project of a folder without `reactor.yaml`; overrides of the environment count. Raises InvalidDefinition."""

    def origin(self, key: str) -> Origin:
        """Who set a key, such as `server.port` or `connections.broker`."""


def load_project(root: str | FilePath, environ: Mapping[str, str] | None = None) -> tuple[Project | None, Diagnostics]:
    """`reactor.yaml` (or `.yml`, `.json`) of a folder with the environment's overrides; None if there is an error."""
