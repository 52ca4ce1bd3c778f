"""`reactor.yaml` and the environment variables that override it → one frozen Project.

Source: the language page, section 1; the triggers page, sections 5 to 7; requirement P-9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, Literal

from .catalogue import Vocabulary
from .check_workflow import check_trigger
from .definition import TriggerSpec
from .diagnostics import Diagnostic, Diagnostics, Path
from .documents import load_document
from .expressions import Expressions
from .loader_triggers import check_connection, read_named_trigger, served_by, tell_faults
from .names import Names
from .overrides import Overlay, overlaid
from .paths import parse_path
from .project_keys import NAMED, PROJECT
from .reader import INVALID, PlainData, Reader
from .secrets import Secrets, SecretSource
from .source_text import check_texts
from .table import all_under_new_names
from .templates import has_template
from .values import is_list, is_mapping

FILES = ("reactor.yaml", "reactor.yml", "reactor.json")
STORE_DEFAULT = "sqlite:///reactor.db"


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

    @property
    def outside(self) -> str:
        """The URL at which others reach it: `url`, or what host and port make."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.url or f"http://{host}:{self.port}{self.base_path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class Connection:
    """One entry of `connections`; `config` as written, `${{ }}` unresolved (`Secrets.render` resolves it)."""

    name: str
    kind: str
    config: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bus:
    """`bus`: where completion events go besides the router. `local`: nowhere. Durations in seconds."""

    kind: Literal["local", "jetstream", "kafka"] = "local"
    connection: str = ""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
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
    """Who set a key: `default`, `file` (`where`: its place) or `environment` (`where`: the variable)."""

    kind: Literal["default", "file", "environment"]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """The project as it is in force. `root` is the folder that relative paths start from, absolute."""

    root: str
    file: str = ""
    server: Server = Server()
    store: str = field(default=STORE_DEFAULT, repr=False)
    durability: Literal["power", "process"] = "power"
    writer: Literal["", "process", "thread"] = ""
    bus: Bus = Bus()
    triggers: Mapping[str, TriggerSpec] = field(default_factory=dict[str, TriggerSpec])
    connections: Mapping[str, Connection] = field(default_factory=dict[str, Connection])
    secrets_from: tuple[SecretSource, ...] = (("env", ""),)
    vars: Mapping[str, Any] = field(default_factory=dict[str, Any])
    env: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ("workflows/**/*.{yaml,yml,json,py}",)
    retention: Retention = Retention()
    source: Overlay | None = field(default=None, repr=False, compare=False)
    warnings: tuple[Diagnostic, ...] = field(default=(), repr=False, compare=False)
    """What is probably not meant: in the file, and in the environment."""
    unread: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    """Keys that have errors: nobody knows what they would say. Such a project is to be checked, not to be run."""

    @classmethod
    def default(
        cls, root: str | FilePath = ".", catalogue: Vocabulary | None = None, environ: Mapping[str, str] | None = None
    ) -> Project:
        """The project of a folder without `reactor.yaml`, with what the environment sets. Raises InvalidDefinition."""
        diagnostics = Diagnostics()
        project = _read(PlainData({}), "", root, catalogue or Vocabulary(), environ or {}, diagnostics)
        diagnostics.raise_errors()
        return project

    def origin(self, key: str) -> Origin:
        """Who set a key, such as `server.port` or `connections.broker`."""
        path = parse_path(key)
        if self.source is None:
            return Origin("default")
        variable = self.source.variable(path)
        if variable is not None:
            return Origin("environment", variable)
        if self.source.in_file(path):
            return Origin("file", str(self.source.place(path)))
        return Origin("default")

    @property
    def store_url(self) -> str:
        """Where the store is: the path of an SQLite file starts from the project's folder."""
        path = self.store.removeprefix("sqlite:///")
        inside = path != self.store and not FilePath(path).is_absolute()
        return f"sqlite:///{FilePath(self.root) / path}" if inside else self.store

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment variables that expressions may read."""
        return {name: environ[name] for name in self.env if name in environ}

    def secrets(self, environ: Mapping[str, str]) -> Secrets:
        """The project's secrets."""
        return Secrets(self.secrets_from, self.root, environ)

    def vocabulary(self, base: Vocabulary, secrets: Secrets | None = None) -> Vocabulary:
        """What workflows of this project may name: the base's words, and its connections, triggers, vars, env, …"""
        kinds = {name: connection.kind for name, connection in self.connections.items()}
        words = {"triggers": self.triggers, "vars": self.vars, "env": self.env, "secrets": secrets}
        return replace(base, timezone=self.server.timezone, **_known({"connections": kinds, **words}, self.unread))

    def plus(
        self,
        catalogue: Vocabulary,
        store: str,
        connections: Mapping[str, Mapping[str, Any]],
        triggers: Mapping[str, TriggerSpec | Mapping[str, Any]],
        vars: Mapping[str, Any],
    ) -> Project:
        """The project with what a program adds to it, in the words of `reactor.yaml`; an empty `store` leaves its own.

        Raises InvalidDefinition with everything that is wrong in it.
        """
        made = {name: each for name, each in triggers.items() if isinstance(each, TriggerSpec)}
        words = {name: each for name, each in triggers.items() if name not in made}
        diagnostics = Diagnostics()
        source = PlainData({"connections": connections, "triggers": words}, "App(…)")
        reader = Reader(source, catalogue, diagnostics)
        known = replace(self, connections={**self.connections, **_connections(reader, connections)})
        known = replace(known, vars={**self.vars, **vars}, store=store or self.store)
        own = reader.with_catalogue(known.vocabulary(catalogue))
        read = _triggers(own, words) if words else {}
        diagnostics.raise_errors()
        return replace(known, triggers={**self.triggers, **made, **read})

    def workflow_files(self) -> list[FilePath]:
        """The files that the globs of `workflows` name now, each once, in order of their names."""
        found: set[FilePath] = set()
        for glob in self.workflows:
            for pattern in _alternatives(glob):
                found.update(path for path in FilePath(self.root).glob(pattern) if path.is_file())
        return sorted(found)

    def settings(self) -> Iterator[tuple[str, Any, Origin]]:
        """Key, value and origin of what is in force, for `doctor`; values of connections are left out."""
        for part, held in (("server", self.server), ("retention", self.retention)):
            for name in type(held).__dataclass_fields__:
                key = _KEYS.get(name, name.removesuffix("_s"))
                yield f"{part}.{key}", getattr(held, name), self.origin(f"{part}.{key}")
        yield "store", _without_password(self.store), self.origin("store")
        yield "bus", self.bus.kind, self.origin("bus")
        yield "workflows", list(self.workflows), self.origin("workflows")
        yield "env", list(self.env), self.origin("env")
        for name, value in self.vars.items():
            yield f"vars.{name}", value, self.origin(f"vars.{name}")
        for name, connection in self.connections.items():
            yield f"connections.{name}", connection.kind, self.origin(f"connections.{name}")
        for name, trigger in self.triggers.items():
            yield f"triggers.{name}", trigger.kind, self.origin(f"triggers.{name}")


_KEYS = {
    "log_format": "log.format",
    "log_level": "log.level",
    "body_bytes_max": "limits.body",
    "output_bytes_max": "limits.output",
    "depth_max": "limits.depth",
}
_SERVER_PARTS = {
    "log": {"format": "log_format", "level": "log_level"},
    "limits": {"body": "body_bytes_max", "output": "output_bytes_max", "depth": "depth_max"},
}
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]+)@")
_SECRET_KEYS = frozenset(
    ("password", "token", "client_secret", "secret_key", "api_key", "bearer", "nkey", "credentials")
)


def _without_password(url: str) -> str:
    return _URL_PASSWORD.sub(r"\1:***@", url)


def _alternatives(glob: str) -> list[str]:
    """A glob with `{a,b}` as several without."""
    hit = re.search(r"\{([^{}]*)\}", glob)
    if hit is None:
        return [glob]
    return [
        each for word in hit[1].split(",") for each in _alternatives(glob[: hit.start()] + word + glob[hit.end() :])
    ]


def project_of(
    given: Project | str | FilePath | None, catalogue: Vocabulary, environ: Mapping[str, str] | None = None
) -> Project:
    """A project as it is given, that of a folder, or none at all: then its store is `:memory:`.

    Raises InvalidDefinition with everything that is wrong in the folder's file.
    """
    if isinstance(given, Project):
        return given
    if given is None:
        return Project(str(FilePath.cwd()), store=":memory:")
    found, diagnostics = load_project(given, catalogue, environ)
    diagnostics.raise_errors()
    return found


def load_project(
    root: str | FilePath, catalogue: Vocabulary, environ: Mapping[str, str] | None = None
) -> tuple[Project, Diagnostics]:
    """`reactor.yaml` (or `.yml`, `.json`) of a folder with the environment's overrides; with an error, what is right
    in it (`Project.unread`).

    Without such a file it is `Project.default`. `catalogue`: the words that there are, without those of a project.
    """
    diagnostics = Diagnostics()
    folder = FilePath(root)
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        project = _read(PlainData({}), "", root, catalogue, environ or {}, diagnostics)
    else:
        document = load_document(path.read_bytes(), str(path), diagnostics)
        source = PlainData({}, str(path)) if document is None else document
        project = _read(source, str(path), root, catalogue, environ or {}, diagnostics)
    return project, diagnostics


def _read(
    base: Any,
    file: str,
    root: str | FilePath,
    catalogue: Vocabulary,
    environ: Mapping[str, str],
    diagnostics: Diagnostics,
) -> Project:
    source = overlaid(base, file, environ, PROJECT, diagnostics)
    reader = Reader(source, catalogue, diagnostics)
    read = PROJECT.read(reader, source.value, ()) or {}
    connections = _connections(reader, read.pop("connections", {}))
    kinds = {name: connection.kind for name, connection in connections.items()}
    timezone: str = read.get("server", {}).get("timezone", "UTC")
    words = {"connections": kinds, "vars": read.get("vars", {}), "env": read.get("env", ())}
    own = reader.with_catalogue(replace(catalogue, timezone=timezone, **_known(words, _unread(diagnostics))))
    triggers = _triggers(own, read.pop("triggers", {}))
    for connection in connections.values():
        _expressions(own, connection.config, ("connections", connection.name, connection.kind))
    store: dict[str, Any] = read.pop("store", {})
    _passwords(reader, source.value.get("store") if is_mapping(source.value) else None, ("store",))
    _secret_files(reader, FilePath(root))
    return Project(
        root=str(FilePath(root).resolve()),
        file=file,
        server=Server(**_flat(read.pop("server", {}))),
        store=store.get("url", STORE_DEFAULT),
        durability=store.get("durability", "power"),
        writer=store.get("writer", ""),
        bus=_bus(own, read.pop("bus", None)),
        triggers=triggers,
        connections=connections,
        secrets_from=read.pop("secrets", {}).get("from", (("env", ""),)),
        retention=Retention(**read.pop("retention", {})),
        source=source,
        warnings=tuple(each for each in diagnostics.sorted() if each.severity == "warning"),
        unread=_unread(diagnostics),
        **read,
    )


def _unread(diagnostics: Diagnostics) -> frozenset[str]:
    """The keys with errors; all there are, if one is not inside any of them: a misspelt key may be each of them."""
    found = frozenset(str(each.path[0]) if each.path else "" for each in diagnostics.errors)
    return found if found <= PROJECT.keys.keys() else frozenset(PROJECT.keys)


def _known(words: Mapping[str, Any], unread: frozenset[str]) -> dict[str, Any]:
    """Words of a catalogue; None for those that nobody knows, so that no error is told that follows from another."""
    return {key: None if key in unread else value for key, value in words.items()}


def _secret_files(reader: Reader, root: FilePath) -> None:
    """Warn of a file of `secrets.from` that is not there: what is looked for in it is missing."""
    secrets: Any = reader.source.value.get("secrets") if is_mapping(reader.source.value) else None
    sources: Any = secrets.get("from") if is_mapping(secrets) else None
    for number, source in enumerate(sources if is_list(sources) else ()):
        file: Any = source.get("file") if is_mapping(source) else None
        if isinstance(file, str) and file and not (root / file).exists():
            reader.warning(
                "file_not_found",
                ("secrets", "from", number, "file"),
                f"there is no file `{file}`: no secret is found in it",
                hint="write it with one `name: value` a line, or take it out of `secrets.from`",
            )


def _flat(server: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in server.items() if key not in _SERVER_PARTS}
    for part, names in _SERVER_PARTS.items():
        flat.update({names[key]: value for key, value in server.get(part, {}).items()})
    return flat


def _connections(reader: Reader, value: Any) -> dict[str, Connection]:
    path: Path = ("connections",)
    entries = reader.mapping(path, value, "a mapping from names to connections")
    found: dict[str, Connection] = {}
    for name, item in (entries or {}).items():
        here = (*path, name)
        inner = reader.mapping(here, item, "a mapping with one kind", "write {kafka: {servers: [localhost:9092]}}")
        if NAMED.read(reader, name, here) is INVALID or inner is None:
            continue
        if len(inner) != 1:
            listed = ", ".join(inner) or "nothing"
            reader.error(
                "two_kinds", here, f"a connection has one kind; found {listed}", hint="its keys stand inside the kind"
            )
            continue
        ((kind, config),) = inner.items()
        words = reader.catalogue.connection_kinds.get(kind)
        if words is None:
            if not reader.unavailable("connection", kind, (*here, kind), key=True):
                known = reader.catalogue.connection_kinds
                reader.unknown_key((*here, kind), "a connection", known)
            continue
        keys = reader.mapping((*here, kind), config)
        if keys is not None:
            keys = all_under_new_names(reader, words.renames, keys, (*here, kind))
            tell_faults(reader, check_texts(reader, words.check, keys, (*here, kind)), (*here, kind), kind)
            _passwords(reader, keys, (*here, kind))
            found[name] = Connection(name, kind, keys)
    return found


def _passwords(reader: Reader, value: Any, path: Path) -> None:
    """Warn of a password that stands in the file as it is."""
    if is_mapping(value):
        for key, item in value.items():
            _passwords(reader, item, (*path, key))
    elif is_list(value):
        for number, item in enumerate(value):
            _passwords(reader, item, (*path, number))
    elif isinstance(value, str) and value and not has_template(value) and _in_file(reader, path):
        secret = path[-1] in _SECRET_KEYS or _URL_PASSWORD.search(value) is not None
        if secret:
            if path[0] == "store":
                reader.warning(
                    "literal_password",
                    path,
                    "a password stands in the URL of the store",
                    hint="set REACTOR_STORE instead",
                )
                return
            name = "_".join(str(part) for part in (path[1], path[-1])).lower()
            hint = f'write "${{{{ secrets.{name} }}}}" and set REACTOR_SECRET_{name.upper().replace("-", "_")}'
            reader.warning("literal_password", path, f"a password stands in the file at `{path[-1]}`", hint=hint)


def _in_file(reader: Reader, path: Path) -> bool:
    return not isinstance(reader.source, Overlay) or reader.source.variable(path) is None


def _expressions(reader: Reader, config: Mapping[str, Any], path: Path) -> None:
    names = Names(reader.catalogue, {}, inputs_known=True)
    Expressions(reader).value(config, names.config_secrets, path)


def _triggers(reader: Reader, value: Any) -> dict[str, TriggerSpec]:
    path: Path = ("triggers",)
    entries = reader.mapping(path, value, "a mapping from names to triggers")
    found: dict[str, TriggerSpec] = {}
    served: dict[str, str] = {}
    names = Names(reader.catalogue, {}, inputs_known=False)
    expressions = Expressions(reader)
    for name, item in (entries or {}).items():
        here = (*path, name)
        if NAMED.read(reader, name, here) is INVALID:
            continue
        spec = read_named_trigger(reader, name, item, here)
        if spec is not None:
            check_trigger(expressions, spec, reader.catalogue.kinds[spec.kind], names, here)
            found[name] = spec
            for place in served_by(spec):
                other = served.setdefault(place, name)
                if other != name:
                    hint = "give one of the two another path or method"
                    reader.error("conflict", here, f"{place} is served by `{other}` already", found=place, hint=hint)
    return found


def _bus(reader: Reader, read: dict[str, Any] | None) -> Bus:
    if read is None or read["kind"] == "local":
        return Bus()
    kind: Literal["jetstream", "kafka"] = read["kind"]
    needs = ("nats",) if kind == "jetstream" else ("kafka",)
    config: dict[str, Any] = dict(read["config"])
    check_connection(reader, config, ("bus", kind), needs, f"bus: {kind}", needed=True)
    defaults = {"stream": "reactor", "create": True, "max_age_s": 7 * 86_400.0}
    if kind == "kafka":
        defaults = {"topic": "reactor.events", "create": False}
    fitting = [name for name, each in (reader.catalogue.connections or {}).items() if each in needs]
    named: str = config.pop("connection", fitting[0] if len(fitting) == 1 else "")
    return Bus(kind, named, {**defaults, **config}, read["events"] or ("reactor.*",))
