"""What starts a workflow, in Python: `when=[on.kafka("orders", match=…), on.cron("0 6 * * *")]`.

Each function gives one entry of `when` as plain data: the source's own keys inside its kind, the shared keys beside
it. Python's reserved words take a `_` (`if_ with_ from_`), durations are seconds or `timedelta`. Kinds of plugins are
called by their name: `on.serial_line(device="/dev/ttyS0")`. Source: the triggers page, sections 1 and 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from .python_keys import TRIGGER_DURATIONS, Seconds, duration, spelled, with_units

Entry = dict[str, Any]
"""One entry of `when`."""
_BESIDE = frozenset((
    "match", "if", "unless", "with", "settle", "start", "fetch", "max_in_flight", "format", "id", "type", "subject",
    "schema", "max_bytes", "reconnect", "enabled", "description",
))  # fmt: skip


def _entry(kind: str, own: Mapping[str, Any], keys: Mapping[str, Any], inside: frozenset[str] = frozenset()) -> Entry:
    config: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    beside: dict[str, Any] = {}
    for name, value in keys.items():
        key = spelled(name)
        (beside if key in _BESIDE and key not in inside else config)[key] = value
    entry = with_units({kind: config, **beside}, TRIGGER_DURATIONS)
    start = entry.get("start")
    if isinstance(start, dict) and "time" in start:
        entry["start"] = {"time": _instant(duration(start["time"]))}
    return entry


def _instant(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def trigger(name: str, **keys: Any) -> Entry:
    """The trigger of this name in `reactor.yaml` or `App(triggers=…)`; `match if_ unless with_` may follow."""
    return {"trigger": name, **{spelled(key): value for key, value in keys.items()}}


def event(type: str, **keys: Any) -> Entry:
    """Events of a CloudEvents type (a trailing `*` is a prefix), whatever way they came; `source`, `subject`, `match`,
    `if_`, `unless`, `with_` may follow, in `cancel_on` also `by`.
    """
    return {"event": type, **{spelled(key): value for key, value in keys.items()}}


def workflow(workflow: str, *, state: str | Sequence[str] | None = None, **keys: Any) -> Entry:
    """Runs of another workflow (name, glob or `name@^1`) that ended; `state`: how, completed if not given."""
    states = [] if state is None else [state] if isinstance(state, str) else list(state)
    beside = {spelled(key): value for key, value in keys.items()}
    return {"workflow": workflow, **({"state": states} if states else {}), **beside}


def http(path: str, **keys: Any) -> Entry:
    """Requests to a path under /hooks: `method respond wait rate cors auth`."""
    return _entry("http", {"path": path}, keys)


def file(path: str, **keys: Any) -> Entry:
    """Files of a folder: `glob ignore recursive events ready read hash force_polling poll scan follow_symlinks`."""
    return _entry("file", {"path": path}, keys)


def cron(schedule: str | Sequence[str], **keys: Any) -> Entry:
    """A schedule in cron's grammar: `timezone jitter misfire overlap from_ until data`."""
    return _schedule("cron", {"schedule": schedule}, keys)


def every(interval: Seconds, **keys: Any) -> Entry:
    """A fixed interval: `timezone jitter misfire overlap from_ until data`."""
    return _schedule("every", {"interval": interval}, keys)


def at(time: str | datetime | Sequence[str | datetime], **keys: Any) -> Entry:
    """An instant, or several, with their offset from UTC: `misfire data`."""
    times = [_instant(each) for each in time] if isinstance(time, list | tuple) else _instant(time)
    return _schedule("at", {"time": times}, keys)


def _schedule(kind: str, own: Mapping[str, Any], keys: Mapping[str, Any]) -> Entry:
    return _entry(kind, own, {key: _instant(value) for key, value in keys.items()})


def kafka(topic: str | None = None, **keys: Any) -> Entry:
    """Messages of a Kafka topic: `topics` or `pattern` in its place; `connection group isolation_level …`."""
    return _entry("kafka", {"topic": topic}, keys)


def jetstream(stream: str, **keys: Any) -> Entry:
    """Messages of a JetStream stream: `connection subject subjects durable ack_wait max_deliver replay …`.

    `subject` is the stream's filter here, not the event's.
    """
    return _entry("jetstream", {"stream": stream}, keys, frozenset(("subject",)))


def __getattr__(kind: str) -> Callable[..., Entry]:
    """A kind of a plugin, by its name; its keys are keywords."""
    if kind.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {kind!r}")

    def of_kind(**keys: Any) -> Entry:
        return _entry(kind, {}, keys)

    return of_kind
