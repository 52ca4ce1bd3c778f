"""The words of the language that stand for built-in actions, trigger kinds and connections, and those still to come.

Names, short forms and keys that are CEL are the language's; checks and schemas are added by those who carry them out
(`dataclasses.replace`). Source: the actions page, section 3; the triggers page, sections 1, 3, 4 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping

from .catalogue import ActionWords, CelKey, ConnectionWords, KindWords, Vocabulary, Word
from .scope import ANY, TEXT, Name

_NUMBER = Name("number")
_FLAG = Name("boolean")


def _closed(**fields: Name) -> Name:
    return Name("object", fields, open=False)


_SQL = ("postgres", "sqlite")
_SINKS: Mapping[str, tuple[str, ...]] = {
    "kafka": ("kafka",),
    "nats": ("nats",),
    "jetstream": ("nats",),
    "http": ("http",),
}
_STREAMS = _closed(
    exit_code=_NUMBER, stdout=TEXT, stderr=TEXT, json=ANY, lines=Name("array"), truncated=_FLAG, duration_ms=_NUMBER
)
_ANSWER = _closed(status=_NUMBER, headers=Name("object"), body=TEXT, json=ANY, url=TEXT, duration_ms=_NUMBER)
_FILE = _closed(path=TEXT, size=_NUMBER, mtime=ANY, sha256=ANY, content=ANY, files=Name("array"))
_MAIL = _closed(message_id=TEXT, accepted=Name("array"), refused=Name("array"))
_DECISION = _closed(approved=_FLAG, by=TEXT, at=TEXT, via=TEXT, reason=ANY, fields=ANY)
_WAIT = (
    CelKey(("until",), type="time"),
    CelKey(("event", "if"), "incoming", "bool"),
    CelKey(("event", "by"), "incoming"),
    CelKey(("event", "equals")),
)

ACTIONS: tuple[ActionWords, ...] = (
    ActionWords("command", "run a program", output=_STREAMS),
    ActionWords("http", "call an HTTP service", connections=("http",), output=_ANSWER),
    ActionWords("python", "call a Python function"),
    ActionWords(
        "publish",
        "send a message to a broker or an HTTP service",
        connections_by=("to", _SINKS),
        needs_connection=("http", "kafka", "nats"),
        connection_unless="url",
    ),
    ActionWords("sql", "query a database", connections=_SQL, needs_connection=_SQL),
    ActionWords("file", "read, write, move, list files", output=_FILE),
    ActionWords("email", "send an e-mail", connections=("smtp",), needs_connection=("smtp",), output=_MAIL),
    ActionWords("run-workflow", "run another workflow", secrets=False),
    ActionWords("transform", "compute a value", pure=True, secrets=False),
    ActionWords("state", "read or change a durable value", secrets=False),
    ActionWords("log", "write a line to the run's log", secrets=False, output=_closed()),
    ActionWords("fail", "end with an error", secrets=False, output=_closed()),
    ActionWords("wait", "wait for a time, an event or a run", secrets=False, expressions=_WAIT),
    ActionWords("approval", "wait for a person's decision", secrets=False, output=_DECISION),
    ActionWords("emit", "send an event to Reactor itself", secrets=False, output=_closed(id=TEXT)),
)

_FIRED = frozenset(("scheduled_at", "scheduled_local", "previous_at", "next_at", "fired_at", "late_ms", "missed"))
_FOUND = frozenset(("path", "name", "dir", "size", "mtime", "change", "from", "sha256", "content"))
_NO_STREAM = frozenset(("settle", "start", "fetch", "max_in_flight", "format", "schema", "max_bytes", "reconnect"))

_AT_ENDS = {"earliest": "", "latest": ""}

KINDS: tuple[KindWords, ...] = (
    KindWords(
        "http",
        "requests to a path under /hooks",
        short="path",
        refuses=frozenset(("start", "fetch", "reconnect")),
        templates={("auth",): "secrets", ("respond",): "respond"},
    ),
    KindWords(
        "file",
        "files of a folder",
        short="path",
        starts=_AT_ENDS,
        refuses=frozenset(("fetch", "format")),
        data=_FOUND,
    ),
    KindWords("cron", "a schedule in cron's grammar", short="schedule", refuses=_NO_STREAM, timezone=True, data=_FIRED),
    KindWords("every", "a fixed interval", short="interval", refuses=_NO_STREAM, timezone=True, data=_FIRED),
    KindWords("at", "instants", short="time", refuses=_NO_STREAM, data=_FIRED),
    KindWords(
        "kafka",
        "messages of Kafka topics",
        starts={**_AT_ENDS, "time": "", "offset": "mapping"},
        connections=("kafka",),
        connection_url=True,
    ),
    KindWords(
        "jetstream",
        "messages of a JetStream stream",
        starts={**_AT_ENDS, "last": "", "time": "", "offset": "number"},
        connections=("nats",),
        connection_url=True,
    ),
)

CONNECTIONS: tuple[ConnectionWords, ...] = (
    ConnectionWords("kafka", "a Kafka cluster"),
    ConnectionWords("nats", "NATS servers"),
    ConnectionWords("postgres", "a PostgreSQL database"),
    ConnectionWords("sqlite", "an SQLite file"),
    ConnectionWords("http", "an HTTP service"),
    ConnectionWords("smtp", "a mail server"),
)

_STREAM_KINDS = "there are http, file, cron, every, at, kafka, jetstream, event and workflow"
_JOINS = "use `parallel` with `join: all`, and decide in the steps after it"

UNAVAILABLE: Mapping[Word, Mapping[str, str]] = {
    "action": {
        "llm": "call the model's HTTP interface with `http`, or from a `python` step",
        "redis": "use a `python` step with the redis client",
        **dict.fromkeys(
            (
                "slack.post_message",
                *(f"pagerduty.{verb}" for verb in ("trigger", "acknowledge", "resolve", "change")),
                *(f"s3.{verb}" for verb in ("get", "put", "list", "get_all")),
            ),
            "call the service's own interface with `http`, or from a `python` step",
        ),
    },
    "kind": {
        "nats": "use `jetstream`, or publish to POST /events",
        "redis_pubsub": _STREAM_KINDS,
        "redis_stream": _STREAM_KINDS,
        "redis_list": _STREAM_KINDS,
        "mqtt": _STREAM_KINDS,
        "postgres_cdc": "let a trigger of your database write to Kafka or JetStream, or POST to /events",
        "mysql_cdc": "let a connector write to Kafka or JetStream, or POST to /events",
        "sql_poll": "use `every` and an `sql` step",
        "grpc": _STREAM_KINDS + ", and kinds of Python plugins",
    },
    "block": {
        "branch": "use `if` and `unless` on the steps, or on a `group`",
        "for_each": "loop in a `python` step, or send an event for each item with `emit`",
        "while": "loop in a `python` step",
        "until": "use `wait`, or `retry` on the step that asks",
    },
    "key": {
        "cache": "leave it out: every step is executed",
        "resources": "use `limits.concurrency`",
        "plugins": "leave it out: all installed plugins may be used",
        "alerts": "watch /metrics with your own alerting",
        "otlp": "set OTEL_EXPORTER_OTLP_ENDPOINT in the environment",
        "grpc": "leave it out",
    },
    "limit": {
        "debounce": "there are `concurrency` and `throttle`",
        "batch": "there are `concurrency` and `throttle`",
        "dedupe": "give the trigger an `id`: an event with the same id starts nothing again",
    },
    "join": {
        "any": _JOINS,
        "first": _JOINS,
        "at_least": _JOINS,
        "when": _JOINS,
        "all": "bind one event, and `wait` for the others in a step",
    },
    "bus": dict.fromkeys(("nats", "redis", "mqtt", "http"), "there are local, jetstream and kafka"),
    "connection": dict.fromkeys(
        ("redis", "mqtt", "mysql", "grpc", "llm", "slack", "github", "stripe", "pagerduty", "s3"),
        "there are kafka, nats, postgres, sqlite, http and smtp",
    ),
    "value": {"store": "there are env and {file: PATH}"},
}
"""Words of the language that this version refuses, and what there is in their place."""

BUILT_IN = Vocabulary(
    actions={words.name: words for words in ACTIONS},
    kinds={words.name: words for words in KINDS},
    connection_kinds={words.name: words for words in CONNECTIONS},
    missing=UNAVAILABLE,
)
"""The built-in words, without checks of `with` and keys, and without a project."""
