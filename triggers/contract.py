"""The contract of a source of events: connect, read, close. Everything else is the supervisor's.

A plugin needs nothing of ours but this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct
from pydantic import BaseModel

from ..connections.fields import Duration, Keys, Size
from ..core.clock import SYSTEM, Clock
from ..core.errors import ConfigError, EndOfEvents, ErrorInfo, NotConnected, PermanentError
from ..core.event import Delivery, Due, Event, Mark, Outcome, Receipt, Settlement, Undecodable
from ..core.http import Routes
from ..language.definition import TriggerSpec

__all__ = [
    "ConfigError",
    "Delivery",
    "Due",
    "Duration",
    "EndOfEvents",
    "ErrorInfo",
    "Event",
    "Guarantee",
    "Mark",
    "NotConnected",
    "Outcome",
    "PermanentError",
    "Receipt",
    "Settlement",
    "Size",
    "Traits",
    "Trigger",
    "TriggerConfig",
    "TriggerContext",
    "Undecodable",
]

Guarantee = Literal["at_most_once", "at_least_once", "effectively_once"]


class Traits(Struct, frozen=True):
    """What a source can promise; the guarantee follows."""

    acknowledges: bool  # what was not settled comes again
    stable_ids: bool  # … under the same id
    ordered: bool  # within a partition
    replays: bool  # from a saved position
    shared: bool  # several readers share the events out

    @property
    def guarantee(self) -> Guarantee:
        """Acknowledges and stable ids: effectively once; acknowledges: at least once; else at most once."""
        if self.acknowledges:
            return "effectively_once" if self.stable_ids else "at_least_once"
        return "at_most_once"


class TriggerConfig(Keys):
    """Base of a kind's own keys: unknown ones and near-miss types are refused, values are frozen."""


async def _no_marks() -> Mapping[str, bytes]:
    return {}


def as_written(value: Any) -> Any:
    """No templates are resolved: what a context without an application does."""
    return value


@dataclass(frozen=True, slots=True)
class TriggerContext:
    """What the supervisor gives a trigger beside its config, if its constructor asks for a second argument."""

    name: str
    spec: TriggerSpec
    store_id: str = ""
    node: int = 0
    clock: Clock = SYSTEM
    marks: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """The trigger's stored marks (scope = its name), read anew before each `connect`: positions, ledger. Between two
    connects the trigger keeps them up itself."""
    reread: Callable[[], Awaitable[Mapping[str, bytes]]] = _no_marks
    """The stored marks as of now: for a source that is handed partitions while it is connected."""
    connection: Any = None
    """What `connections/` made of the `connection` key, if the kind has one."""
    project: str = "."
    routes: Routes | None = None
    """Where http triggers register their paths; None without a web server."""
    render: Callable[[Any], Any] = as_written
    """Resolves `${{ secrets.… }}`, where a kind's keys may hold them: `auth`. Raises ConfigError `missing_secret`."""
    resume: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`reactor trigger resume --start …` after a gap: `{"start": "earliest"}`."""

    @property
    def own(self) -> str:
        """`<own>` of triggers.md: `reactor-<8 digits of the store>-<trigger>`."""
        return f"reactor-{self.store_id[:8]}-{self.name}"


@runtime_checkable
class Trigger(Protocol):
    """A source of events. The supervisor owns its lifetime and calls it from one task.

    `Config` (a TriggerConfig) and `traits` stand on the class. The constructor takes the config, and, if it names a
    second parameter, a TriggerContext. `details()`, if there is one, is shown by `trigger list`: lag, next fires.
    `comes()`, if there is one, is awaited between two attempts to connect: it returns once a source that was missing is
    there, and the next attempt is made then, not after the whole wait. It may be cancelled at any time.
    """

    Config: ClassVar[type[BaseModel]]
    traits: Traits

    async def connect(self) -> None:
        """Reach the source; called until it returns. Raises NotConnected (later, perhaps), ConfigError (never)."""
        ...

    async def read(self) -> Delivery:
        """Wait for the next event; cancelling loses nothing. Raises NotConnected (reconnect), EndOfEvents (stop)."""
        ...

    async def close(self) -> None:
        """Release everything. Safe twice, safe before connect, done within CLOSE_S_MAX."""
        ...
