"""The keys of `reactor.yaml`, as tables. Source: the triggers page, sections 5 to 7."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..core.limits import EVENT_BYTES_MAX, EVENT_DEPTH_MAX, KIB, MIB, OUTPUT_BYTES_MAX
from .diagnostics import Path
from .fields import AnyMapping, AnyValue, Choice, Custom, Duration, Flag, ListOf, Number, Size, Text
from .loader_policies import NAME
from .reader import INVALID, Reader
from .table import Key, Table
from .values import found, is_mapping

DAY = 86_400
NAMED = Text(NAME, "a name: a letter, then letters, digits, _ and -")
VARIABLE = Text(re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII), "the name of an environment variable")
STORE_SCHEMES = ("sqlite", "postgresql", "postgres")
BUS_KINDS = ("local", "jetstream", "kafka")


def _table(table: Table) -> Custom:
    def read(reader: Reader, value: Any, path: Path) -> Any:
        got = table.read(reader, value, path)
        return INVALID if got is None else got

    return Custom(read, table.schema)


def _read_timezone(reader: Reader, value: Any, path: Path) -> Any:
    name = Text().read(reader, value, path)
    if name is INVALID:
        return INVALID
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "write one such as Europe/Berlin or UTC"
        reader.error("wrong_value", path, f"there is no timezone `{name}`", found=name, hint=hint)
        return INVALID
    return name


def _read_base_path(reader: Reader, value: Any, path: Path) -> Any:
    text = Text(re.compile(r"/[^\s?#]*"), "a path that begins with /").read(reader, value, path)
    return text if text is INVALID else text.rstrip("/") or "/"


LOG = Table(
    "`server.log`",
    {
        "format": Key(Choice(("text", "json")), "for people or for programs", default="text"),
        "level": Key(Choice(("debug", "info", "warning", "error")), "the least that is shown", default="info"),
    },
)
SERVER_LIMITS = Table(
    "`server.limits`",
    {
        "body": Key(Size(KIB, 64 * MIB), "one event or request", default="1MiB"),
        "output": Key(Size(KIB, 1024 * MIB), "one step's output", default="64MiB"),
        "depth": Key(Number(1, EVENT_DEPTH_MAX, whole=True), "nesting of an event's data", default=EVENT_DEPTH_MAX),
    },
)
SERVER = Table(
    "`server`",
    {
        "host": Key(Text(), "the address it listens on", default="127.0.0.1"),
        "port": Key(Number(0, 65_535, whole=True), "the port; 0: any free one", default=8484),
        "base_path": Key(
            Custom(_read_base_path, lambda: {"type": "string", "pattern": "^/"}), "before every path", default="/"
        ),
        "url": Key(
            Text(re.compile(r"https?://\S+"), "a URL that begins with http:// or https://"), "as the outside sees it"
        ),
        "timezone": Key(
            Custom(_read_timezone, lambda: {"type": "string"}), "of schedules that name none", default="UTC"
        ),
        "files": Key(ListOf(Text(), "a list of folders"), "the folders that `file` may touch", default=["."]),
        "drain": Key(Duration(0, 3600), "how long a stop waits for steps in flight", "drain_s", default="30s"),
        "log": Key(_table(LOG), "the process's log"),
        "limits": Key(_table(SERVER_LIMITS), "bounds"),
    },
)
DURABILITY = Choice(("power", "process"))
WRITER = Choice(("process", "thread"))
STORE = Table(
    "`store`",
    {
        "url": Key(Text(), "sqlite:///FILE or postgresql://USER@HOST/NAME", required=True),
        "durability": Key(DURABILITY, "what it survives: a power cut, or the end of the process", default="power"),
        "writer": Key(
            WRITER,
            "what writes an SQLite file: a process of its own, or a thread of this one; by default a server's is"
            " written by a process, and a program's own by a thread",
        ),
    },
)


def _read_store(reader: Reader, value: Any, path: Path) -> Any:
    if is_mapping(value):
        read = STORE.read(reader, value, path)
        if read is None or "url" not in read:
            return INVALID
        url, here = read["url"], (*path, "url")
    else:
        url = Text().read(reader, value, path)
        read, here = {"url": url}, path
        if url is INVALID:
            return INVALID
    scheme = url.partition(":")[0]
    if url != ":memory:" and (scheme not in STORE_SCHEMES or not url.startswith(f"{scheme}://")):
        hint = "write sqlite:///reactor.db, :memory: or postgresql://user@host/name"
        reader.error(
            "wrong_form",
            here,
            f"{found(url)} is not the URL of a store".removeprefix("the text "),
            found=url,
            hint=hint,
        )
        return INVALID
    if "writer" in read and not url.startswith("sqlite:///"):
        reader.error(
            "conflict",
            (*path, "writer"),
            "`writer` is of a store in an SQLite file alone",
            hint="leave it out: PostgreSQL writes by itself, and `:memory:` is written by a thread",
        )
        return INVALID
    return read


EVENTS = ListOf(Text(), "a list of event types", 1)
BUSES = {
    "local": Table("`local`", {}),
    "jetstream": Table(
        "`jetstream`",
        {
            "connection": Key(Text(), "a connection of kind nats"),
            "stream": Key(Text(), "the stream", default="reactor"),
            "create": Key(Flag(), "make the stream if it is not there", default=True),
            "max_age": Key(Duration(1), "how long it keeps events, if it is made", "max_age_s", default="7d"),
        },
    ),
    "kafka": Table(
        "`kafka`",
        {
            "connection": Key(Text(), "a connection of kind kafka"),
            "topic": Key(Text(), "the topic", default="reactor.events"),
            "create": Key(Flag(), "make the topic if it is not there", default=False),
        },
    ),
}


def _read_bus(reader: Reader, value: Any, path: Path) -> Any:
    """`local`, or one kind with its keys, `events` beside it."""
    entries: Any = {value: {}} if isinstance(value, str) else value
    if not is_mapping(entries):
        return reader.wrong_type(path, "local, or a mapping such as {jetstream: {connection: main}}", value)
    kinds = [key for key in entries if key != "events"]
    if len(kinds) != 1:
        reader.error(
            "wrong_value",
            path,
            f"`bus` names one kind; found {', '.join(kinds) or 'none'}",
            hint="the kinds are " + ", ".join(BUS_KINDS),
        )
        return INVALID
    kind = kinds[0]
    here = path if isinstance(value, str) else (*path, kind)
    if reader.choice(here, kind, BUS_KINDS, "bus") is INVALID:
        return INVALID
    read = BUSES[kind].read(reader, entries[kind], here)
    events = EVENTS.read(reader, entries["events"], (*path, "events")) if "events" in entries else None
    return INVALID if read is None or events is INVALID else {"kind": kind, "events": events, "config": read}


def _bus_schema() -> dict[str, Any]:
    kinds = [
        {
            "type": "object",
            "properties": {kind: table.schema(), "events": EVENTS.schema()},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind, table in BUSES.items()
    ]
    return {"anyOf": [{"enum": list(BUS_KINDS)}, *kinds]}


def _read_secret_source(reader: Reader, value: Any, path: Path) -> Any:
    if is_mapping(value) and list(value) == ["file"]:
        file = Text().read(reader, value["file"], (*path, "file"))
        return INVALID if file is INVALID else ("file", file)
    if isinstance(value, str):
        word = reader.choice(path, value, ("env",))
        return INVALID if word is INVALID else (word, "")
    return reader.wrong_type(path, "env or {file: PATH}", value)


_SECRET_SOURCE: dict[str, Any] = {
    "anyOf": [
        {"const": "env"},
        {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}
SECRETS = Table(
    "`secrets`",
    {
        "from": Key(
            ListOf(Custom(_read_secret_source, lambda: _SECRET_SOURCE), "a list of sources", 1),
            "where secrets are looked for; the first that has the name",
            default=["env"],
        )
    },
)
RETENTION = Table(
    "`retention`",
    {
        "runs": Key(Duration(60), "runs that have ended", "runs_s", default="30d"),
        "events": Key(Duration(60), "events", "events_s", default="7d"),
        "unmatched": Key(Duration(60), "events that nobody wanted", "unmatched_s", default="24h"),
        "dedupe": Key(Duration(3600, 90 * DAY), "identities of events", "dedupe_s", default="3d"),
        "dead_letters": Key(Duration(60), "dead letters", "dead_letters_s", default="30d"),
        "ledger": Key(Duration(60), "files and schedules that were seen", "ledger_s", default="90d"),
    },
)
PROJECT = Table(
    "`reactor.yaml`",
    {
        "server": Key(_table(SERVER), "where it listens, and what it allows"),
        "store": Key(
            Custom(_read_store, lambda: {"anyOf": [{"type": "string"}, STORE.schema()]}),
            "where its state is kept",
            default="sqlite:///reactor.db",
        ),
        "bus": Key(Custom(_read_bus, _bus_schema), "where completion events go besides the router", default="local"),
        "triggers": Key(AnyValue(""), "named triggers"),
        "connections": Key(AnyValue(""), "named connections"),
        "secrets": Key(_table(SECRETS), "where secrets come from"),
        "vars": Key(AnyMapping(), "values that expressions may read"),
        "env": Key(
            ListOf(VARIABLE, "a list of names of environment variables"),
            "environment variables that expressions may read",
        ),
        "workflows": Key(
            ListOf(Text(), "a list of globs"), "files of workflows", default=["workflows/**/*.{yaml,yml,json,py}"]
        ),
        "retention": Key(_table(RETENTION), "how long what is kept"),
    },
)
assert EVENT_BYTES_MAX == MIB
assert OUTPUT_BYTES_MAX == 64 * MIB
