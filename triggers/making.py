"""A trigger of a reader, made of its spec; and the door through which the deliveries of a plugin's come.

A plugin knows nothing of `id`, `type`, `subject`, `schema` and `max_bytes`: they are carried out here for it. What it
gives in place of a delivery is its failure; an event that cannot be kept is a dead letter, as one of our own would be.
Source: triggers.md section 1; semantics 1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from pydantic import BaseModel

from ..core.clock import Clock
from ..core.depth import too_deep
from ..core.durations import format_size
from ..core.errors import PermanentError, ReactorError, said_by
from ..core.event import Delivery, Due, Event, InvalidEvent, Mark, Undecodable, check, encode
from ..core.ids import fresh_id
from ..core.limits import EVENT_DEPTH_MAX
from ..language.definition import TriggerSpec
from .catalogue import Kind, Kinds, takes_context
from .contract import Guarantee, Trigger, TriggerContext
from .isolation import Crashed
from .shape import Shaper

CORRECT = "correct the plugin: docs/plugins.md has the contract"


class Made(NamedTuple):
    """A trigger, what it promises, and for one of a plugin the door of its deliveries."""

    trigger: Trigger
    guarantee: Guarantee
    door: Door | None


def made(kinds: Kinds, spec: TriggerSpec, clock: Clock, context: Callable[[Kind, BaseModel], TriggerContext]) -> Made:
    """The trigger of a spec, with its config and, if it asks for it, what it may know. Raises ConfigError."""
    kind, make = kinds.load(spec.kind)
    config = kinds.config(spec.kind, spec.config)
    door = Door(spec, clock) if kind.plugin else None
    trigger = make(config, context(kind, config)) if takes_context(make) else make(config)
    return Made(cast("Trigger", trigger), make.traits.guarantee, door)


class Door:
    """Takes what the `read` of a plugin's trigger gives. Raises ConfigError for a faulty `id`, `subject`, `schema`."""

    def __init__(self, spec: TriggerSpec, clock: Clock) -> None:
        self._kind = spec.kind
        self._bytes_max = spec.max_bytes
        self._shaper = Shaper(spec, clock=clock)

    def taken(self, given: Any) -> Delivery:
        """The delivery with every event as it is to be. Raises Crashed: it is none."""
        if not isinstance(given, Delivery):
            raise self._wrong("gave", given, "a Delivery")
        events: Any = given.events
        if not isinstance(events, Sequence) or isinstance(events, (str, bytes)):
            raise self._wrong("gave a Delivery whose `events` are", events, "a tuple of events")
        for each in cast("Sequence[Any]", events):
            if not isinstance(each, (Event, Undecodable)):
                raise self._wrong("gave a Delivery with", each, "an Event")
        if not callable(given.settle):
            raise self._wrong("gave a Delivery whose `settle` is", given.settle, "an async function")
        if not isinstance(cast("Any", given.partition), str):
            raise self._wrong("gave a Delivery whose `partition` is", given.partition, "text")
        rows: tuple[tuple[Any, type], ...] = ((given.marks, Mark), (given.ledger, Due))
        for found, kind in rows:
            try:
                msgspec.convert(msgspec.to_builtins(found), tuple[kind, ...])
            except (TypeError, ValueError) as error:
                wrong = f"`read` of {self._kind} gave a Delivery with a faulty {kind.__name__}: {said_by(error)}"
                raise Crashed(wrong, hint=CORRECT) from error
        return msgspec.structs.replace(given, events=tuple([self._event(each) for each in given.events]))

    def _wrong(self, what: str, found: object, wanted: str) -> Crashed:
        return Crashed(f"`read` of {self._kind} {what} {type(found).__name__}; wanted is {wanted}", hint=CORRECT)

    def _event(self, event: Event | Undecodable) -> Event | Undecodable:
        if isinstance(event, Undecodable):
            return event
        try:
            self._check(event)
        except ReactorError as error:
            source, id = (each if isinstance(each, str) else "" for each in cast("Any", (event.source, event.id)))
            return self._shaper.refused(error, _raw(event), source=source, id=id)
        return self._shaper.event(event)

    def _check(self, event: Event) -> None:
        """Raise ReactorError unless the event is one, and can be kept."""
        for name, found in (("extensions", event.extensions), ("meta", event.meta)):
            if not isinstance(cast("Any", found), Mapping):
                raise InvalidEvent(f"`{name}` must be a mapping; found {type(found).__name__}", hint=CORRECT)
        event.id = event.id or fresh_id()
        for name in ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema"):
            found = getattr(event, name)
            if found is not None and not isinstance(found, str):
                raise InvalidEvent(f"`{name}` must be text; found {type(found).__name__}", hint=CORRECT)
        if not all(isinstance(name, str) for name in cast("Mapping[Any, Any]", event.extensions)):
            raise InvalidEvent("the names of `extensions` must be text", hint=CORRECT)
        check(event)
        data = event.data
        try:
            body = encode(event, meta=True)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            why = f"the event has something that is no JSON value: {said_by(error)}"
            raise InvalidEvent(why, hint="give plain JSON values, or `bytes`") from error
        size = len(data) if isinstance(data, bytes) else len(body)
        if size > self._bytes_max:
            raise PermanentError(
                f"the event has {size} bytes; the trigger takes at most {format_size(self._bytes_max)}",
                code="too_large",
                hint="raise the trigger's `max_bytes`",
            )
        if too_deep(body, data):
            raise InvalidEvent(f"the data is nested deeper than {EVENT_DEPTH_MAX} levels", code="too_large")


def _raw(event: Event) -> bytes:
    """What a dead letter keeps of an event that is none."""
    data: Any = event.data
    if isinstance(data, bytes):
        return data
    try:
        return msgspec.json.encode(data, enc_hook=repr)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""
