"""The seams of the router: what it asks of the engine (prepare, begin), and the bindings that rules are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from ..core.errors import ErrorInfo
from ..core.event import Event
from ..language.cel import Activation, Expression
from ..language.versions import Range
from ..store.contract import Accepted, EventRow, Heard, RunRow, RunStart, Started


class StartBinding(Struct, frozen=True):
    """One entry of one workflow's `when`: an event that fits starts a run."""

    rule: str
    workflow: str
    version: str
    digest: bytes
    entry: int
    guards: tuple[
        tuple[str, Expression, bool], ...
    ]  # (its name in the text, expression, wanted value): the first that says no decides
    versions: Range | None = None  # `name@range`: what `event.data.version` must satisfy
    own: bool = True  # may it take types that begin with `reactor.`
    own_types: tuple[str, ...] = ()  # the types of our own events that it names, perhaps with a trailing `*`


class WaitBinding(Struct, frozen=True):
    """The pattern of a `wait` step: an event that fits is accepted, for look-back and for those who wait."""

    rule: str
    workflow: str
    pattern: str
    by: Expression | None
    own_types: tuple[str, ...] = ()


class CancelBinding(Struct, frozen=True):
    """An entry of `cancel_on`: an event that fits ends the open runs whose key agrees."""

    rule: str
    workflow: str
    pattern: str
    guard: Expression | None
    by: Expression | None
    own_types: tuple[str, ...] = ()


Binding = StartBinding | WaitBinding | CancelBinding


class Runs(Protocol):
    """The engine, as the router needs it."""

    @property
    def full(self) -> Collection[str]:
        """The workflows that have as many held runs as may wait (semantics 5.9)."""
        ...

    def for_event(
        self, digest_: bytes, entry: int, event: Event, key: int, at: float, scope: Activation
    ) -> RunStart | ErrorInfo:
        """Prepare: the run that an event would start, inputs computed and checked; or why not. No I/O."""
        ...

    def begin(self, starts: Iterable[RunStart], accepted: Accepted, event: Event) -> None:
        """The acceptance is durable: carry out the runs that it began."""
        ...

    def started(self, start: RunStart, started: Started, event: Event) -> None:
        """One run of a dead letter's retry is durable: carry it out if it is new."""
        ...

    def deliver(self, key: int, event: Event, waits: tuple[tuple[str, str], ...]) -> None:
        """The acceptance is durable: offer the event to those who wait."""
        ...

    async def heard(self, workflow: str, event: EventRow) -> tuple[Sequence[Heard], bool]:
        """The runs of a workflow that an accepted event woke or cancelled; were all that may have heard looked at?"""
        ...

    def state_of(self, row: RunRow) -> str:
        """A run's state as faces show it: that it waits is not stored."""
        ...

    def superseded(self, numbers: Iterable[int]) -> None:
        """Runs that the acceptance cancelled in favour of new ones."""
        ...
