"""A JetStream stream, by a durable pull consumer -> events.

Promise: effectively once (redelivered until it is accepted, under one id); in the stream's order while nothing is
redelivered; any sequence or time that is retained. Several nodes share one consumer.
Source: triggers.md sections 1 to 3; semantics 1.5 to 1.8; dependencies.md section 7.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from ..connections.nats import NatsConnection, Session, translation
from ..core.durations import format_instant
from ..core.errors import ConfigError, NotConnected, PermanentError, ReactorError, TransientError
from ..core.event import Delivery, Event, Mark, Settlement, Undecodable
from .contract import Duration, Traits, TriggerConfig, TriggerContext
from .jetstream_position import Accepted, Known, Look, union
from .jetstream_pull import Message, Pull
from .shape import Shaper
from .starts import Start, gap, start_of
from .tasks import end

CHECK_S = 10.0
TICK_S = 1.0
AGAIN_S = 1.0  # a refused message comes again after so long, if the refusal did not say
_WORDS = ("earliest", "latest", "last")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JetStreamConfig(TriggerConfig):
    """`jetstream`: a stream, the subjects of it that are wanted, and the consumer that remembers the position."""

    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = (("subject", "subjects"),)

    stream: str = Field(min_length=1, pattern=r"^[^\s.*>/\\]+$", examples=["orders"])
    connection: str | None = None
    subject: str | None = Field(default=None, min_length=1, examples=["orders.*.created"])
    subjects: list[str] | None = Field(default=None, min_length=1)
    durable: str | None = Field(default=None, pattern=r"^[^\s.*>/\\]+$", description="this deployment's own by default")
    ack_wait: Duration = Field(default=30.0, ge=1, le=3600, description="redelivered if nothing is heard for so long")
    max_deliver: int | None = Field(default=None, ge=1, description="delivered more often, it is a dead letter")
    replay: Literal["instant", "original"] = "instant"
    inactive_threshold: Duration | None = Field(default=None, ge=1, description="the server removes an unused consumer")
    domain: str | None = None

    def filters(self) -> list[str]:
        """The subjects that are wanted; empty: all."""
        return [self.subject] if self.subject is not None else self.subjects or []


class JetStreamTrigger:
    """Reads one stream."""

    Config = JetStreamConfig
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=True, shared=True)

    def __init__(self, config: JetStreamConfig, context: TriggerContext) -> None:
        self._config = config
        self._context = context
        self._connection: NatsConnection = context.connection
        self._shaper = Shaper(context.spec, clock=context.clock)
        self._durable = config.durable or re.sub(r"[^A-Za-z0-9_-]", "_", context.own)
        self._source = f"/jetstream/{context.name}/{config.stream}"
        self._start = start_of(context.spec.start, "earliest", context.clock, _WORDS)
        _policy(self._start)  # its faults are found before anything is connected
        self._session: Session | None = None
        self._pull: Pull | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._failure: ReactorError | None = None
        self._wake = asyncio.Event()
        self._unsettled: set[Message] = set()  # handed on
        self._known: bytes | None = None  # the mark as it is stored, or about to be
        self._accepted = Accepted()  # by this node; what is on its way to the store counts
        self._own = f"{config.stream}/{context.node}"  # the key of its mark
        self._stands: bytes | None = None  # that mark, once all that is on its way to the store is there
        self._doubted = False  # something on its way was refused: the mark is read again
        self._others: dict[str, bytes] = {}  # the marks of other nodes, as they were stored when last read
        self._to_store: list[Delivery] = []
        self._before: Look | None = None
        self._details: dict[str, Any] = {}

    async def connect(self) -> None:
        """Find the stream, check that nothing was lost, find or make the consumer, and pull.

        Raises NotConnected (also while there is no such stream), ConfigError (`source_gap` among them).
        """
        await self.close()
        config = self._config
        self._session = session = await self._connection.session(config.domain)
        title = f"the stream {config.stream} on {self._connection.title}"
        with translation(title):
            await self._settle_consumer(session)
        domain = config.domain if config.domain is not None else self._connection.config.domain
        self._pull = pull = Pull(session, config.stream, self._durable, domain, self._context.clock)
        pull.arrived = self._wake.set
        await pull.open()
        self._failure = self._before = None
        self._keeper = asyncio.ensure_future(self._keep(session, pull))
        self._keeper.add_done_callback(self._kept)

    async def read(self) -> Delivery:
        """The messages that are there, as one unit. Raises NotConnected, ConfigError `source_gap`."""
        while True:
            if self._to_store:
                return self._to_store.pop(0)
            pull = self._pull
            if self._failure is not None:
                raise self._failure
            if pull is None:
                raise NotConnected(f"the stream {self._config.stream} is not connected")
            self._wake.clear()
            if self._doubted:
                self._own_mark(await self._context.reread())
            if pull.waiting:
                single = self._context.spec.settle == "completed"  # else one long run would hold back a whole batch
                count = 1 if single else min(len(pull.waiting), self._context.spec.fetch)
                return self._delivery([pull.waiting.popleft() for _ in range(count)])
            await self._ask(pull)
            await self._wake.wait()

    async def close(self) -> None:
        """Stop pulling; the consumer stays. What was not settled goes back at once."""
        keeper, self._keeper = self._keeper, None
        await end(keeper)
        pull, self._pull = self._pull, None
        self._to_store.clear()
        left = [message for message in self._unsettled if not message.done]
        self._unsettled.clear()
        for message in left:
            message.done = True
        if pull is not None:
            try:
                await pull.close(left)
            except (ReactorError, OSError):
                return  # the server is away: it will deliver again what it heard nothing of

    def details(self) -> Mapping[str, Any]:
        """Lag (messages not delivered yet), unacknowledged and redelivered ones, as of the last look."""
        return {"stream": self._config.stream, "durable": self._durable, **self._details}

    # -- the stream and its consumer
    async def _settle_consumer(self, session: Session) -> None:
        import nats.js.errors as errors

        stream: Any = session.stream
        config = self._config
        try:
            info = await stream.stream_info(config.stream)
        except errors.NotFoundError as error:
            raise NotConnected(f"there is no stream {config.stream} on {self._connection.title}") from error
        try:
            consumer = await stream.consumer_info(config.stream, self._durable)
        except errors.NotFoundError:
            consumer = None
        marks = self._context.marks
        self._known = stored = marks.get(config.stream)
        self._own_mark(marks)
        self._others = self._by_others(marks)
        created = _created(info)
        lost = self._lost(info, consumer, marks)
        begin = self._start
        if lost is not None or (consumer is None and stored is not None) or self._context.resume:
            if not self._context.resume:
                raise lost or self._gap(
                    f"it has no consumer {self._durable}: that was removed, or `durable` had another name, and with it "
                    "went the position",
                    {"stream": config.stream},
                )
            begin = start_of(self._context.resume.get("start"), "earliest", self._context.clock, _WORDS)
            if consumer is not None:
                await stream.delete_consumer(config.stream, self._durable)
            consumer = None
        await stream.add_consumer(config.stream, self._wanted(consumer, begin))
        if stored is None or self._context.resume:
            floor = int(consumer.ack_floor.stream_seq) if consumer is not None else _floor(begin, info)
            self._own_mark({})
            self._others |= {self._own: marks[self._own]} if self._own in marks else {}
            self._store(Known(created, floor), anew=True)

    def _wanted(self, found: Any, begin: Start) -> Any:
        """The consumer's settings: those of a found one with ours in their place, else all anew."""
        from nats.js.api import AckPolicy, ConsumerConfig, ReplayPolicy

        config = self._config
        filters = config.filters()
        ours: dict[str, Any] = {
            "ack_wait": config.ack_wait,
            "max_deliver": -1,  # over a limit of its own the server would drop in silence
            "max_ack_pending": -1,  # we ask for free places only
            "filter_subject": filters[0] if len(filters) == 1 else None,
            "filter_subjects": filters if len(filters) > 1 else None,
            "inactive_threshold": config.inactive_threshold,
        }
        if found is not None:
            if found.config.ack_policy != AckPolicy.EXPLICIT or found.config.deliver_subject:
                raise ConfigError(
                    f"the consumer {self._durable} of the stream {config.stream} is not a pull consumer with explicit "
                    "acknowledgement",
                    hint="name another in `durable`: it is made as it must be",
                )
            return found.config.evolve(**ours)
        made: Any = ConsumerConfig(
            durable_name=self._durable,
            ack_policy=AckPolicy.EXPLICIT,
            replay_policy=ReplayPolicy.ORIGINAL if config.replay == "original" else ReplayPolicy.INSTANT,
            **ours,
        )
        return made.evolve(**_policy(begin))

    def _lost(self, info: Any, consumer: Any, marks: Mapping[str, bytes]) -> ConfigError | None:
        """Is there a gap between what was accepted and what the stream still has?"""
        stored = marks.get(self._config.stream)
        if stored is None:
            return None
        anew = self._made_anew(info, stored)
        if anew is not None or consumer is None:
            return anew
        known = msgspec.json.decode(stored, type=Known)
        return self._removed(self._missing(info, known, self._by_all(marks), int(info.state.first_seq)))

    def _made_anew(self, info: Any, stored: bytes) -> ConfigError | None:
        """Is it not the stream any more that was read?"""
        known, created = msgspec.json.decode(stored, type=Known).created, _created(info)
        if known == created:
            return None
        lost = {"stream": self._config.stream, "created": created, "known": known}
        return self._gap(f"it was made anew at {created}; the one that was read was of {known}", lost)

    def _by_all(self, marks: Mapping[str, bytes]) -> Accepted:
        """What all nodes accepted, this one by what it knows itself."""
        return union((*self._by_others(marks).values(), bytes(self._accepted)))

    def _by_others(self, marks: Mapping[str, bytes]) -> dict[str, bytes]:
        """The marks of other nodes, and of this one before its last start: a node's number is never used twice."""
        of_stream = f"{self._config.stream}/"
        return {key: value for key, value in marks.items() if key.startswith(of_stream) and key != self._own}

    def _missing(self, info: Any, known: Known, accepted: Accepted, end: int) -> list[tuple[int, int]]:
        """What comes before `end` and was not accepted, by ranges; `end` and all before it is gone from the stream."""
        floor = known.floor if known.floor >= 0 else accepted.first - 1
        if self._config.filters():
            floor = max(floor, accepted.last)  # what lies before may be of others, for all that is known
        return accepted.missing(floor, end) if floor >= 0 and _keeps(info) else []

    def _removed(self, missing: list[tuple[int, int]]) -> ConfigError | None:
        if not missing:
            return None
        first, last = missing[0][0], missing[-1][1]
        count = sum(end - begin + 1 for begin, end in missing)
        which = f"the messages {first} to {last}" if count == last - first + 1 else f"{count} of {first} to {last}"
        may = " (some may have other subjects)" if self._config.filters() else ""
        lost = {"stream": self._config.stream, "from": first, "to": last}
        return self._gap(f"{which} are gone{may}, and were not accepted", lost)

    def _gap(self, what: str, lost: Mapping[str, Any]) -> ConfigError:
        return gap(self._context, f"the stream {self._config.stream}: {what}", lost)

    def _store(self, known: Known, *, anew: bool = False) -> None:
        """Make what is known durable with the next read; what others accepted up to there (`anew`: all) is let go."""
        value = msgspec.json.encode(known)
        self._accepted.forget(known.floor)
        before, self._known = self._known, value
        over = {key: of for key, of in self._others.items() if anew or Accepted(of).last <= known.floor}
        if value == before and not over:
            return

        async def stored(settlement: Settlement) -> None:
            if settlement.again:  # another node was first, or the store refuses: the next look sees to it
                marks = await self._context.reread()
                self._known, self._others = marks.get(self._config.stream), self._by_others(marks)

        self._others = {key: of for key, of in self._others.items() if key not in over}
        name = self._context.name
        marks = [Mark(name, key, None, expected=of) for key, of in over.items()]
        marks.append(Mark(name, self._config.stream, value, expected=before))
        self._to_store.append(Delivery((), stored, marks=tuple(marks)))
        self._wake.set()

    def _fail(self, error: ReactorError) -> None:
        self._failure = self._failure or error
        self._wake.set()

    # -- messages
    async def _ask(self, pull: Pull) -> None:
        held = len(self._unsettled) + len(pull.waiting)
        await pull.ask(self._context.spec.max_in_flight - held, self._context.spec.fetch)

    def _delivery(self, messages: Sequence[Message]) -> Delivery:
        session, pull = self._session, self._pull
        self._unsettled.update(messages)
        self._details["lag"] = messages[-1].pending
        events = [self._event(message) for message in messages]
        accepted = self._accepted
        for message in messages:
            accepted.add(message.sequence, message.sequence)
        if self._config.filters():
            accepted.join()

        async def settle(settlement: Settlement) -> None:
            self._unsettled.difference_update(messages)
            if settlement.again:
                self._doubted = True
            if session is None or session.gone.is_set() or messages[0].done:
                return  # it will come again, and be known
            for message in messages:
                message.done = True
            with translation(f"the stream {self._config.stream}"):
                if settlement.again:
                    delay = AGAIN_S if settlement.retry_after_s is None else settlement.retry_after_s
                    for message in messages:
                        await message.raw.nak(delay)
                else:
                    for message, event in zip(messages, events, strict=True):
                        await (message.raw.term() if isinstance(event, Undecodable) else message.raw.ack())
                if pull is self._pull and pull is not None:
                    await self._ask(pull)

        return Delivery(tuple(events), settle, partition=self._config.stream, marks=(self._mark(),))

    def _mark(self) -> Mark:
        """What this node accepted, with the unit at hand. If one before it is refused, so is this one: no mark that is
        stored tells of what is not.
        """
        before, self._stands = self._stands, bytes(self._accepted)
        return Mark(self._context.name, self._own, self._stands, expected=before)

    def _own_mark(self, marks: Mapping[str, bytes]) -> None:
        self._stands, self._doubted = marks.get(self._own), False
        self._accepted = Accepted(self._stands)

    def _event(self, message: Message) -> Event | Undecodable:
        """The event of a message. Delivered too often, it is a dead letter before anything looks into it."""
        raw = message.raw
        config = self._config
        id = f"{message.sequence}@{message.time_ns}"
        headers: dict[str, str] = raw.headers or {}
        meta = {"delivered": message.delivered}
        if config.max_deliver is not None and message.delivered > config.max_deliver:
            error = PermanentError(
                f"the message was delivered {message.delivered} times; the trigger takes at most {config.max_deliver}",
                code="max_retries_exceeded",
                hint="look why it was never accepted, then retry the dead letter",
            )
            place = {**meta, "subject": raw.subject, "natsstream": config.stream, "natssequence": message.sequence}
            return self._shaper.refused(error, raw.data, source=self._source, id=id, meta=place)
        return self._shaper.message(
            raw.data,
            source=self._source,
            type="reactor.jetstream.message",
            id=id,
            subject=raw.subject,
            time=_instant(message.time_ns),
            headers=headers,
            extensions={"natsstream": config.stream, "natssequence": message.sequence},
            meta=meta,
        )

    # -- what goes on beside reading
    async def _keep(self, session: Session, pull: Pull) -> None:
        """Keep the server patient, notice that it is gone or silent, and look for gaps."""
        clock = self._context.clock
        looked_at = clock.monotonic() - CHECK_S
        try:
            while True:
                now = clock.monotonic()
                pull.check()
                await self._touch(pull, now)
                if now - looked_at >= CHECK_S:
                    looked_at = now
                    await self._look(session)
                await session.wait_gone(min(TICK_S, self._config.ack_wait / 4))
        except NotConnected as error:
            self._fail(error)
        except TransientError as error:  # one that does not answer is not reached
            self._fail(NotConnected(str(error)))
        except ReactorError as error:
            self._fail(error)

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None:
            self._fail(NotConnected(f"looking after the stream {self._config.stream} failed: {error!r}"))

    async def _touch(self, pull: Pull, now: float) -> None:
        """Tell the server of those that it last heard of half an `ack_wait` ago."""
        before = now - self._config.ack_wait / 2
        with translation(f"the stream {self._config.stream}"):
            for message in (*self._unsettled, *pull.waiting):
                if message.touched <= before and not message.done:
                    message.touched = now
                    await message.raw.in_progress()

    async def _look(self, session: Session) -> None:
        """Lag and gaps, as of now. Raises NotConnected, ConfigError `source_gap`."""
        import nats.js.errors as errors

        name = self._config.stream
        with translation(f"the stream {name}"):
            try:
                info: Any = await session.stream.stream_info(name)
                consumer: Any = await session.stream.consumer_info(name, self._durable)
            except errors.NotFoundError as error:
                raise NotConnected(f"the stream {name} or its consumer is gone") from error
        now = Look.of(info, consumer)
        before, self._before = self._before, now
        again = int(consumer.num_redelivered or 0)
        self._details = {"lag": now.pending, "unacknowledged": now.open, "redelivered": again}
        if self._known is None:
            self._store(Known(_created(info), now.floor or -1))
            return
        lost = self._made_anew(info, self._known) or await self._lost_since(info, before, now)
        if lost is not None:
            raise lost

    async def _lost_since(self, info: Any, before: Look | None, now: Look) -> ConfigError | None:
        """Is something gone that was not accepted? Else the floor is raised."""
        known = msgspec.json.decode(self._known or b"", type=Known)
        others, removed = bool(self._config.filters()), now.removed_since(before)
        if others and not now.pending and not now.open and not removed:
            self._store(Known(known.created, now.last))  # the stream was looked at first: all that it had then is done
            return None
        accepted = self._accepted
        if self._missing(info, known, accepted, now.first):
            accepted = self._by_all(await self._context.reread())
            for message in self._pull.waiting if self._pull is not None else ():
                accepted.add(message.sequence, message.sequence)
        if self._missing(info, known, accepted, now.first):
            # another reader may have it in hand, or it is on its way to us: then it is accepted by the next look
            end = now.first if others and removed else before.first if before is not None else 0
            return self._removed(self._missing(info, known, accepted, end))
        if before is not None and not others:
            # as it was at the last look: a purge moves it
            self._store(Known(known.created, max(known.floor, before.floor)))
        return None


def _keeps(info: Any) -> bool:
    """Does the stream keep what was read? Else what is gone from its front says nothing."""
    return str(getattr(info.config.retention, "value", info.config.retention)) == "limits" and not (
        (info.config.max_msgs_per_subject or 0) > 0
    )


def _floor(begin: Start, info: Any) -> int:
    """Up to which sequence nothing is wanted by a reader that begins there; -1 if that cannot be said."""
    if begin.at == "earliest":
        return max(0, int(info.state.first_seq) - 1)
    if begin.at == "latest":
        return int(info.state.last_seq)
    return begin.offset - 1 if begin.at == "offset" else -1


def _policy(begin: Start) -> dict[str, Any]:
    from nats.js.api import DeliverPolicy

    if begin.at == "time":
        time = EPOCH + timedelta(seconds=begin.time_s)
        return {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": time}
    if begin.at == "offset":
        if not isinstance(begin.offset, int) or isinstance(begin.offset, bool) or begin.offset < 1:
            raise ConfigError("`start.offset` of a stream is a sequence: a whole number from 1 on", path="start.offset")
        return {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": begin.offset}
    policies = {"earliest": DeliverPolicy.ALL, "latest": DeliverPolicy.NEW, "last": DeliverPolicy.LAST}
    return {"deliver_policy": policies[begin.at]}


def _created(info: Any) -> str:
    return format_instant(info.created.timestamp())


def _instant(time_ns: int) -> str:
    return format_instant(time_ns / 1e9)
