"""What the loader must be told about things it may not import: actions, trigger kinds, the project around a workflow.

`Catalogue` is the question, `Vocabulary` an answer made of plain data. Names, expression keys and short forms of the
built-in actions and kinds stand in `built_in.py`; the checks of `with` and keys come from whoever carries them out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from .definition import TriggerSpec
from .diagnostics import Path
from .renamed import Renames, no_renames
from .scope import Name
from .values import is_mapping

Word = Literal["action", "kind", "block", "key", "limit", "join", "bus", "connection", "value"]
"""What sort of word of the language is asked for in `Catalogue.unavailable`."""


class Fault(NamedTuple):
    """Something wrong inside a `with` or a kind's keys; `path` leads to it from there, as parts or as text."""

    path: Path | str
    message: str
    hint: str = ""
    code: str = "invalid_value"


Check = Callable[[Any], Sequence[Fault | tuple[str, str]]]
"""Given an unrendered `with` or a kind's keys: what is wrong in it."""


def no_faults(value: Any) -> Sequence[Fault | tuple[str, str]]:
    """The check of something that takes any value."""
    return ()


class CelKey(NamedTuple):
    """A key under an action's `with` whose whole value is CEL.

    `names`: which names it may read (`step`: those of the step; `incoming`: those of `wait.event`'s `if` and `by`;
    `output`: also `output`). `type`: `bool` for a guard, `time` for an instant, empty for any value.
    """

    path: tuple[str, ...]
    names: Literal["step", "incoming", "output"] = "step"
    type: Literal["bool", "time", ""] = ""


@dataclass(frozen=True, slots=True)
class ActionWords:
    """What the loader knows of an action."""

    name: str
    description: str = ""
    pure: bool = False
    secrets: bool = True
    """May `secrets` be read in its `with`? Not where `with` is stored or shown."""
    expressions: tuple[CelKey, ...] = ()
    connections: tuple[str, ...] = ()
    """Kinds of connection that its `connection` may name; empty: it has none."""
    connections_by: tuple[str, Mapping[str, tuple[str, ...]]] | None = None
    """The same, where it depends on another key: `("to", {"kafka": ("kafka",)})`."""
    needs_connection: tuple[str, ...] = ()
    connection_unless: str = ""
    """The key that stands for a connection: with it none is needed."""
    """Of these the only one is taken when none is named, and it is an error if there is none."""
    inputs: Mapping[str, Any] | None = None
    """JSON Schema of `with`."""
    output: Name = field(default_factory=Name)
    check: Check = no_faults
    renames: Renames = no_renames

    def connection_kinds(self, with_: Any) -> tuple[str, ...]:
        """The kinds of connection that this `with` may name."""
        if self.connections_by is None:
            return self.connections
        key, kinds = self.connections_by
        value = with_.get(key) if is_mapping(with_) else None
        return kinds.get(value, ()) if isinstance(value, str) else ()


@dataclass(frozen=True, slots=True)
class KindWords:
    """What the loader knows of a trigger kind. `check` is given the kind's own keys, short form spelt out."""

    name: str
    description: str = ""
    short: str = ""
    """The key that a scalar in place of a mapping stands for: `every: 15s` is `{interval: 15s}`; empty: none."""
    starts: Mapping[str, str] | None = None
    """The forms of `start` that mean something to it; for `offset`, `number` or `mapping`. None: it says so itself."""
    refuses: frozenset[str] = frozenset()
    """Keys beside the kind that such a source has no use for."""
    templates: Mapping[tuple[str, ...], Literal["respond", "secrets"]] = field(default_factory=dict[Any, Any])
    """Keys in which `${{ }}` reads more than `vars` and `env`."""
    connections: tuple[str, ...] = ()
    connection_url: bool = False
    """May `connection` be a URL without a password?"""
    timezone: bool = False
    """Does it take the project's timezone where it names none?"""
    data: frozenset[str] | None = None
    """The fields of `event.data`, where the kind itself decides them; None: whatever comes."""
    inputs: Mapping[str, Any] | None = None
    """JSON Schema of the kind's own keys."""
    check: Check = no_faults
    renames: Renames = no_renames


@dataclass(frozen=True, slots=True)
class ConnectionWords:
    """What is known of a kind of connection."""

    name: str
    description: str = ""
    inputs: Mapping[str, Any] | None = None
    """JSON Schema of its keys."""
    check: Check = no_faults
    renames: Renames = no_renames


class Catalogue(Protocol):
    """What there is beyond the text of one workflow. None for a collection: not known, so not checked."""

    @property
    def revision(self) -> Hashable:
        """Changes whenever an answer may have changed: a cache of loaded files depends on it."""
        ...

    @property
    def actions(self) -> Mapping[str, ActionWords]:
        """The actions that a step can use."""
        ...

    @property
    def kinds(self) -> Mapping[str, KindWords]:
        """The trigger kinds that can be declared, but for `event` and `workflow`, which are the language's own."""
        ...

    @property
    def connection_kinds(self) -> Mapping[str, ConnectionWords]:
        """The kinds of connection that can be declared."""
        ...

    @property
    def connections(self) -> Mapping[str, str] | None:
        """Name → kind of the project's connections."""
        ...

    @property
    def triggers(self) -> Mapping[str, TriggerSpec] | None:
        """The project's named triggers."""
        ...

    @property
    def vars(self) -> Mapping[str, Any] | None:
        """The project's `vars`."""
        ...

    @property
    def env(self) -> Collection[str] | None:
        """Environment variables that expressions may read."""
        ...

    @property
    def secrets(self) -> Collection[str] | None:
        """Names of the secrets that there are."""
        ...

    @property
    def timezone(self) -> str:
        """`server.timezone`, the default of schedules."""
        ...

    def unavailable(self, what: Word, word: str) -> str | None:
        """What there is in place of a word of the language that is not carried out yet; None: not such a word."""
        ...


@dataclass(frozen=True)
class Vocabulary:
    """A catalogue of plain data. Change it with `dataclasses.replace`, so that `revision` changes."""

    actions: Mapping[str, ActionWords] = field(default_factory=dict[str, ActionWords])
    kinds: Mapping[str, KindWords] = field(default_factory=dict[str, KindWords])
    connection_kinds: Mapping[str, ConnectionWords] = field(default_factory=dict[str, ConnectionWords])
    connections: Mapping[str, str] | None = None
    triggers: Mapping[str, TriggerSpec] | None = None
    vars: Mapping[str, Any] | None = None
    env: Collection[str] | None = None
    secrets: Collection[str] | None = None
    timezone: str = "UTC"
    missing: Mapping[Word, Mapping[str, str]] = field(default_factory=dict[Word, Mapping[str, str]])

    @property
    def revision(self) -> Hashable:
        """A digest of all words and names; checks are code, which does not change while a program runs."""
        names: list[Any] = [
            [[each.name, each.secrets, each.connections, each.inputs] for each in self.actions.values()],
            [[each.name, each.short, each.inputs] for each in self.kinds.values()],
            [[each.name, each.inputs] for each in self.connection_kinds.values()],
            self.connections, self.triggers, self.vars, self.timezone, self.missing,
            None if self.env is None else sorted(self.env),
            None if self.secrets is None else sorted(self.secrets),
        ]  # fmt: skip
        return hashlib.blake2b(msgspec.json.encode(names, order="sorted"), digest_size=16).digest()

    def unavailable(self, what: Word, word: str) -> str | None:
        """See Catalogue."""
        return self.missing.get(what, {}).get(word)
