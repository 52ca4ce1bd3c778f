"""Who may import whom: only lower levels, never sideways; and nobody is left that no one imports."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from reactor.tests.tidy.tree import LEVELS, Module

# Modules that something outside the package starts with or imports by name.
ENTRIES = re.compile(r"(app|cli\.main|cli\.__main__|__main__|testing(\..+)?|proto(\..+)?)")
REFERENCE = re.compile(r"\.*[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*(:\w+)?")
# What a plugin may know of the parts that carry triggers and actions out.
PLUGIN_CONTRACTS = (("triggers", "contract"), ("engine", "actions", "contract"))


def imported(module: Module) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and dotted place of everything of ours that it imports; of `from ..core import clock` core.clock."""
    package = module.parts if module.path.endswith("__init__.py") else module.parts[:-1]
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            start = (*base, *(node.module.split(".") if node.module else ()))
            for name in node.names:
                yield node.lineno, (*start, name.name)


def absolute(module: Module) -> Iterator[str]:
    """Inside the package an import of ours is relative."""
    for node in module.nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] == "reactor":
                yield f"{module.path}:{node.lineno}: import {name} by its relative name"


def levels(module: Module) -> Iterator[str]:
    """An import goes to a lower level, or stays in its own folder."""
    if not module.parts:
        return  # the root names what is public, and loads it when it is asked for
    own = LEVELS.get(module.part)
    if own is None:
        yield f"{module.path}: {module.part} has no level: add it to ARCHITECTURE.md and to tests/tidy/tree.py"
        return
    for line, place in imported(module):
        wrong = _wrong(module, own, place)
        if wrong:
            yield f"{module.path}:{line}: {wrong}"


def _wrong(module: Module, own: int, place: tuple[str, ...]) -> str:
    target = place[0] if place else ""
    if target == module.part or target == "__version__":
        return ""
    level = LEVELS.get(target)
    if level is None:
        return f"{target or 'the root'} is no part that {module.part} may import"
    if level >= own:
        direction = "sideways" if level == own else "upwards"
        return f"{module.part} (level {own}) imports {target} (level {level}): {direction}"
    if target == "store" and own > 1 and module.part != "app" and place[1:2] != ("contract",):
        return f"{module.part} sees of store the contract alone, not {'.'.join(place)}"
    beyond = not any(place[: len(contract)] == contract for contract in PLUGIN_CONTRACTS)
    if module.part == "plugins" and level == LEVELS["engine"] and beyond:
        return f"plugins see the contracts of triggers and actions alone, not {'.'.join(place)}"
    return ""


def circles(modules: Iterable[Module]) -> Iterator[str]:
    """Modules that import each other in a circle, if only by a type. A class and its parts are none: they may name the
    type of their owner, and not each other.
    """
    known = {each.parts: each for each in modules if not each.path.endswith("__init__.py")}
    carried_out, named = _arrows(known, types=False), _arrows(known, types=True)
    told: set[tuple[str, ...]] = set()
    for parts in sorted(known):
        circle = {other for other in _reached(named, parts) if parts in _reached(named, other)}
        if parts in told or not circle:
            continue
        told |= circle
        if not _straight(carried_out, circle) or not any(_straight(named, circle - {owner}) for owner in circle):
            yield f"in a circle: {', '.join(sorted(known[each].path for each in circle))}"


def _arrows(known: Mapping[tuple[str, ...], Module], *, types: bool) -> Mapping[tuple[str, ...], set[tuple[str, ...]]]:
    """Which module imports which; without `types`, not those that are imported for type checkers alone."""
    found: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for parts, each in known.items():
        unread: set[int] = set()
        for node in each.nodes:
            if not types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                unread.update(inner.lineno for inner in node.body)
        places = [place for line, place in imported(each) if line not in unread]
        found[parts] = {to for place in places for to in (place, place[:-1]) if to in known and to != parts}
    return found


def _reached(arrows: Mapping[tuple[str, ...], set[tuple[str, ...]]], start: tuple[str, ...]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    waiting = [*arrows[start]]
    while waiting:
        parts = waiting.pop()
        if parts not in found:
            found.add(parts)
            waiting.extend(arrows[parts])
    return found


def _straight(arrows: Mapping[tuple[str, ...], set[tuple[str, ...]]], among: set[tuple[str, ...]]) -> bool:
    try:
        TopologicalSorter({parts: arrows[parts] & among for parts in among}).prepare()
    except CycleError:
        return False
    return True


def dead(modules: Iterable[Module]) -> Iterator[str]:
    """A module that no other imports, that no catalogue names and that is no entry point.

    Judged once there is an application that puts the parts together: before, everything is still to be used.
    """
    modules = list(modules)
    if not any(each.path == "app.py" for each in modules):
        return
    used: set[tuple[str, ...]] = set()
    for each in modules:
        for _, place in imported(each):
            used.update((place, place[:-1]))
        used.update(_named(each))
    for each in modules:
        if each.path.endswith("__init__.py") or ENTRIES.fullmatch(".".join(each.parts)):
            continue
        if each.parts not in used:
            yield f"{each.path}: nobody imports it"


def _named(module: Module) -> Iterator[tuple[str, ...]]:
    """Modules that its strings name, as catalogues do: `reactor.triggers.http`, `.http:Http`, `triggers.http`."""
    package = module.parts if module.path.endswith("__init__.py") else module.parts[:-1]
    loads = "import_module(" in module.text  # then a bare word may be the name of a module beside it
    for node in module.nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if not REFERENCE.fullmatch(node.value):
            continue
        name = node.value.split(":")[0]
        dots = len(name) - len(name.lstrip("."))
        parts = tuple(name.lstrip(".").split("."))
        if parts[0] == "reactor":
            parts = parts[1:]
        if dots:
            parts = (*package[: len(package) - dots + 1], *parts)
        elif len(parts) == 1 and (loads or ":" in node.value):
            parts = (*package, *parts)
        yield parts
