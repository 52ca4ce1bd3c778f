"""The bus: events of our own leave for others, at least once, under ids that stay, in order per run.

`bus_of` makes the sink that the outbox drains into, with the defaults of the transport's own sink. What a transport
will never take (too large for it) is left out, with an error in the log: else it would hold back all that follows.
Source: triggers.md section 5; semantics 3.4; journal.md ("Out").
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..core.errors import ConfigError, StepError
from ..core.event import Event
from .contract import OutMessage

if TYPE_CHECKING:
    from .kafka import KafkaConnection
    from .nats import NatsConnection

Send = Callable[[Sequence[Event]], Awaitable[None]]
"""A sink of the bus: all are confirmed when it returns. Raises ReactorErrors; a first part may have been taken then."""

TYPES = ("reactor.*",)
"""Which types leave, if `events` is not written."""

CONNECTION_KINDS = {"jetstream": "nats", "kafka": "kafka"}
GAP = "reactor.bus.gap"
"""The type that leaves whatever `events` says: it tells the readers of the bus what they never get."""

_WORKFLOW = re.compile(r"/workflows/(.+)")
_log = logging.getLogger("reactor.bus")


def bus_of(
    kind: str, keys: Mapping[str, Any], connections: Callable[[str, str | None], Any], types: Sequence[str] = TYPES
) -> Send | None:
    """The sink of `bus: {<kind>: <keys>}`; None for `local`. `connections(kind, name)` gives the connection.

    Raises ConfigError `unavailable` for a kind that this version does not carry out, StepError for the connection.
    """
    if kind == "local":
        return None
    if kind not in CONNECTION_KINDS:
        raise ConfigError(
            f"the bus {kind} is not available in this version", hint="use jetstream or kafka", code="unavailable"
        )
    connection = connections(CONNECTION_KINDS[kind], keys.get("connection"))
    if kind == "kafka":
        bus = KafkaBus(connection, keys.get("topic", "reactor.events"), create=bool(keys.get("create", False)))
    else:
        age = float(keys.get("max_age_s", 7 * 86_400.0))
        create = bool(keys.get("create", True))
        bus = JetStreamBus(connection, keys.get("stream", "reactor"), types, create=create, max_age_s=age)
    return bus.send


class KafkaBus:
    """One topic; the key is the run's id, so that a run's events keep their order in one partition."""

    def __init__(self, connection: KafkaConnection, topic: str, *, create: bool) -> None:
        self._connection = connection
        self._topic = topic
        self._create = create

    async def send(self, events: Sequence[Event]) -> None:
        """Publish in order, by an idempotent producer: a repetition inside of it overtakes nothing."""
        if self._create:
            await self._connection.create_topic(self._topic)
            self._create = False
        messages = [
            OutMessage("kafka", {"topic": self._topic, "key": run_of(event)}, event=event, key=event.id)
            for event in events
        ]
        try:
            await self._connection.send_many(messages)
        except StepError as error:
            if error.code != "too_large":
                raise
            for message in messages:  # one of them is too large: which, and the others once more
                await _or_leave_out(self._connection.send(message), message)


class JetStreamBus:
    """A stream with a subject for every type and workflow; the server drops repetitions by their id."""

    def __init__(
        self, connection: NatsConnection, stream: str, types: Sequence[str], *, create: bool, max_age_s: float
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._types = types
        self._gap = gap_subject(types)
        self._create = create
        self._max_age_s = max_age_s

    async def send(self, events: Sequence[Event]) -> None:
        """Runs go side by side, the events of one run one after the other."""
        if self._create:
            await self._make()
            self._create = False
        lanes: dict[str, list[OutMessage]] = {}
        for event in events:
            subject = self._gap if event.type == GAP else subject_of(event)
            target = {"subject": subject, "stream": self._stream}
            lanes.setdefault(run_of(event), []).append(OutMessage("jetstream", target, event=event, key=event.id))
        results = await asyncio.gather(*(self._lane(lane) for lane in lanes.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _lane(self, messages: Sequence[OutMessage]) -> None:
        for message in messages:
            await _or_leave_out(self._connection.send(message), message)

    async def _make(self) -> None:
        """The stream, if it is not there; one that is there is left as it is, but must take our subjects."""
        import nats.js.errors as errors

        from .nats import translation

        session = await self._connection.session()
        stream: Any = session.stream
        with translation(f"{self._connection.title}, stream {self._stream}"):
            try:
                await stream.stream_info(self._stream)
            except errors.NotFoundError:
                await stream.add_stream(name=self._stream, subjects=subjects(self._types), max_age=self._max_age_s)


async def _or_leave_out(sending: Awaitable[Any], message: OutMessage) -> None:
    try:
        await sending
    except StepError as error:
        if error.code not in ("too_large", "invalid_input"):
            raise
        event = cast("Event", message.event)
        _log.error("the event %s (%s) does not leave by the bus: %s", event.id, event.type, error)


def run_of(event: Event) -> str:
    """The unit of order: the run; an event of no run is alone."""
    return str(event.extensions.get("runid") or event.id)


def subject_of(event: Event) -> str:
    """`<type>.<workflow>`; the type alone if no workflow made the event."""
    found = _WORKFLOW.fullmatch(event.source)
    tokens = [*event.type.split("."), *([found[1]] if found is not None else [])]
    return ".".join(_token(token) for token in tokens)


def subjects(types: Sequence[str]) -> list[str]:
    """The subjects of a stream that takes these types, with and without a workflow behind them."""
    found: list[str] = []
    for each in types:
        head, star, _ = each.partition("*")
        if star and (not head or head.endswith(".")):
            found.append(".".join([*(_token(token) for token in head.split(".") if token), ">"]))
        elif star:  # `reactor.run*`: NATS has no prefixes inside of a token
            above = [_token(token) for token in head.split(".")[:-1]]
            found.append(".".join([*above, ">"]))
        else:
            name = ".".join(_token(token) for token in each.split("."))
            found += [name, f"{name}.>"]
    kept = dict.fromkeys(found)
    return [one for one in kept if not any(_covers(other, one) for other in kept if other != one)]


def gap_subject(types: Sequence[str]) -> str:
    """Where a gap is told: under the bus's own subjects, so that no stream of another one takes it."""
    own = subjects(types)
    if any(_covers(one, GAP) or one == GAP for one in own):
        return GAP
    return f"{own[0].removesuffix('.>')}.{GAP}"


def _covers(wide: str, narrow: str) -> bool:
    return wide == ">" or (wide.endswith(".>") and narrow.startswith(wide[:-1]))


def _token(text: str) -> str:
    """A part of a subject: what NATS gives a meaning to, and empty ones, become `_`."""
    return re.sub(r"[\s*>.\x00-\x1f\x7f]", "_", text) or "_"
