"""The values that expressions read: one activation for each event or step, converted for the engine as late as
possible.

Converting costs 15 us for 1 KiB of JSON and 30 ms for 1 MiB, so the first expressions get only the fields that they
read; when more follow, the roots that are light are converted as a whole, once for all. Plain paths never reach the
engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from ..core.errors import PermanentError
from . import cel_values as values
from .cel_ast import EACH
from .cel_engine import any_environment
from .cel_needs import Needs, cut
from .diagnostics import Path, did_you_mean, path_text

if TYPE_CHECKING:
    from cel_expr_python import cel as engine

LIGHT_NODES_MAX = 256
"""A root with more values than this is not converted as a whole: each expression gets what it reads of it."""

APART_MAX = 3
"""So many expressions get their fields apart, before whole roots are converted for those that follow."""


class ExpressionError(PermanentError):
    """CEL failed at run time. `absent`: a field was not there, or a field of null was read (a guard is then false)."""

    code = "expression"

    def __init__(self, message: str, *, expression: str = "", hint: str = "", absent: bool = False) -> None:
        super().__init__(message, hint=hint, details={"expression": expression} if expression else None)
        self.absent = absent


class Reader(Protocol):
    """What an activation must know of an expression."""

    needs: Needs
    """By root name."""


class Activation:
    """The values of one event or step, for all expressions evaluated with it.

    A value that is a function without arguments is called when its root is first read. Values are JSON-like; dates,
    tuples, sets, structs and large integers are brought into shape when they are met. `vouched`: the caller knows
    that all values are plain JSON already, which saves looking.
    """

    __slots__ = ("_apart", "_light", "_raw", "_resolved", "_shaped", "_shared", "vouched")

    def __init__(self, roots: Mapping[str, Any], *, vouched: bool = False) -> None:
        self._raw: Mapping[Any, Any] = roots
        self._resolved: dict[Any, Any] = {}
        self._shared: engine.Activation | None = None
        self._light: dict[str, bool] = {}  # of each root looked at: may it be converted as a whole?
        self._apart: dict[
            int, tuple[Reader, engine.Activation]
        ] = {}  # the reader is kept, so that its id stays its own
        self._shaped = False
        self.vouched = vouched

    def extended(self, more: Mapping[str, Any]) -> Activation:
        """Another with these names too, or in place of equal ones."""
        return Activation({**self._raw, **more}, vouched=self.vouched)

    def root(self, name: str | int) -> Any:
        """The value of a name. Raises KeyError if it is not there."""
        resolved = self._resolved
        if name in resolved:
            return resolved[name]
        value = self._raw[name]
        if callable(value):
            value = resolved[name] = value()
        return value

    def read(self, path: Path) -> Any:
        """The value at a path. Raises ExpressionError: an absent field, a field of null, an index out of range."""
        try:
            value: Any = self._raw[path[0]]
            if callable(value):
                value = self.root(path[0])
            for part in path[1:]:
                value = value[part] if value.__class__ is dict else _step(value, part)
        except (KeyError, IndexError):
            raise self._missing(path) from None
        return value

    def reach(self, path: Path) -> list[Any]:
        """The values at a path, several where it goes over the items of a list; none where it leads nowhere."""
        try:
            found: list[Any] = [self.root(cast(str, path[0]))]
        except KeyError:
            return []
        for part in path[1:]:
            reached: list[Any] = []
            for value in found:
                if part == EACH:
                    reached += value if isinstance(value, list) else []
                    continue
                try:
                    reached.append(_step(value, part))
                except (KeyError, IndexError):
                    continue
            found = reached
        return found

    def _missing(self, path: Path) -> ExpressionError:
        """Why a path leads nowhere: the first part that fails, and what is there instead."""
        for depth in range(1, len(path)):
            holders = self.reach(path[:depth])
            if not holders or self.reach(path[: depth + 1]):
                continue
            holder: object = holders[0]
            here, part = path_text(path[:depth]), path[depth]
            if holder is None:
                return ExpressionError(f"{here} is null, so it has no field {part}", absent=True)
            if isinstance(holder, Mapping):
                hint = did_you_mean(str(part), [str(key) for key in cast("Mapping[Any, Any]", holder)])
                return ExpressionError(f"{here} has no field {part}", hint=hint, absent=True)
            if isinstance(holder, list) and isinstance(part, int):
                return ExpressionError(f"{here} has no item {part}: it has {len(cast('list[Any]', holder))}")
            return ExpressionError(f"{here} is {kind_of(cast(object, holder))}, so it has no field {part}")
        return ExpressionError(f"{path[0]} has no value here", absent=True)

    def of(self, reader: Reader) -> engine.Activation:
        """The engine's activation for this expression."""
        known = self._apart.get(id(reader))
        if known is not None:
            return known[1]
        if len(self._apart) >= APART_MAX:
            light = self._light
            if self._shared is None or not all(name in light for name in reader.needs):
                self._weigh(reader)
            if self._shared is not None and all(light[name] for name in reader.needs):
                return self._shared
        roots = {name: cut(self.root(name), needs) for name, needs in reader.needs.items() if name in self._raw}
        if _has_nul(roots) and self.shape():
            return self.of(reader)
        built = any_environment().Activation(roots)
        self._apart[id(reader)] = reader, built
        return built

    def _weigh(self, reader: Reader) -> None:
        for name in reader.needs:
            if name not in self._light:
                self._light[name] = name not in self._raw or _count(self.root(name), LIGHT_NODES_MAX) > 0
        roots = {name: self.root(name) for name, light in self._light.items() if light and name in self._raw}
        if _has_nul(roots) and self.shape():
            self._weigh(reader)
            return
        self._shared = any_environment().Activation(roots)

    def shape(self) -> bool:
        """Bring all values into the form that the engine takes; False if that was done before."""
        if self._shaped:
            return False
        self._shaped = True
        self._raw = {name: values.incoming(self.root(name)) for name in self._raw}
        self._resolved.clear()
        self._light.clear()
        self._apart.clear()
        self._shared = None
        return True


def kind_of(value: object) -> str:
    """What a value is, in words of a sentence."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _step(value: Any, part: str | int) -> Any:
    """One step down. Raises KeyError or IndexError if it leads nowhere."""
    if not isinstance(value, (dict, list)):
        if value is None or isinstance(value, (str, int, float)):
            raise KeyError(part)
        value = values.incoming(value)
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value)[part]
    if isinstance(value, list) and isinstance(part, int) and part >= 0:
        return cast("list[Any]", value)[part]
    raise KeyError(part)


def _has_nul(value: Any) -> bool:
    """Is there a U+0000? The engine would take a text only up to there: `admin` for `admin\\0x`. Or what is no JSON."""
    try:
        return b"\\u0000" in msgspec.json.encode(value)  # ten times faster than looking at each text
    except (TypeError, ValueError):
        return True


def _count(value: Any, budget: int) -> int:
    """What is left of the budget after counting the values inside; 0: too many. A long text counts as several."""
    if isinstance(value, str):
        return budget - 1 - (len(value) >> 8)
    budget -= 1
    if isinstance(value, (dict, list)):
        for item in cast("dict[Any, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value):
            budget = _count(item, budget)
            if budget <= 0:
                return 0
    return budget
