"""Which plugins are installed: entry points, found without importing any of them.

Groups: `reactor.triggers`, `reactor.actions`; `reactor.middleware` and `reactor.blocks` are found and listed, and not
carried out by this version; `reactor.suites` names the public suite of a kind or action, for `reactor plugin check`.
Source: plugins-and-tests, section 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from typing import Literal

import msgspec
from msgspec import Struct

from .. import __version__
from ..language.built_in import BUILT_IN
from ..language.loader_steps import BLOCKS, STEP
from ..language.loader_triggers import COMMON, OWN_KINDS
from ..language.loader_when import ENTRY
from .requirements import DISTRIBUTION, normalised, unfit

What = Literal["trigger", "action", "middleware", "block"]
State = Literal["found", "loaded", "importing", "failed", "unavailable"]

GROUPS: dict[str, What] = {
    "reactor.triggers": "trigger",
    "reactor.actions": "action",
    "reactor.middleware": "middleware",
    "reactor.blocks": "block",
}
SUITES = "reactor.suites"
_is_name = re.compile(r"[a-z][a-z0-9_-]*").fullmatch
_target = re.compile(r"(\w+(?:\.\w+)*:\w+)\s*(?:\[[^\[\]]*\])?").fullmatch


class Found(Struct, frozen=True):
    """One thing that a plugin supplies.

    `state`: `found` (no definition has named it yet), `loaded`, `importing` (it takes long, or hangs), `failed`,
    `unavailable`; `problem` and `hint` say in words what is wrong. `words` are the names by which a definition can use
    it: its own, unless somebody else has that, and always `<plugin>.<name>`. `suite` is what `plugin check` runs.
    """

    what: What
    name: str
    plugin: str
    version: str
    target: str
    words: tuple[str, ...] = ()
    state: State = "found"
    problem: str = ""
    hint: str = ""
    suite: str = ""

    def refused(self, state: State, problem: str, hint: str) -> Found:
        """The same, which cannot be used."""
        return msgspec.structs.replace(self, words=(), state=state, problem=problem, hint=hint)


def discover(path: Sequence[str] | None = None) -> list[Found]:
    """Everything that installed plugins supply, by plugin and name; of `sys.path`, or of these folders alone.

    Nothing is imported, nothing is raised: what cannot be used says why.
    """
    found: list[Found] = []
    versions: dict[str, str] = {}
    others: dict[str, str] = {}
    for distribution in metadata.distributions() if path is None else metadata.distributions(path=list(path)):
        text = _text(distribution)
        if not any(f"[{group}]" in text for group in GROUPS):
            continue
        plugin, version = _named(distribution)
        try:
            points = [each for each in distribution.entry_points if each.group in GROUPS]
        except (TypeError, ValueError):  # the library says no more
            found.append(_unreadable(plugin, version, text))
            continue
        if plugin in versions:  # Python imports the one that is first on the path
            if versions[plugin] != version:
                others[plugin] = version
            continue
        versions[plugin] = version
        bounds = unfit(_requires(distribution))
        suites = {each.name: _plain(each.value) for each in distribution.entry_points if each.group == SUITES}
        found.extend(_found(point, plugin, version, suites.get(point.name, ""), bounds) for point in points)
    return sorted(
        (_worded(each, found, others) for each in found), key=lambda each: (each.plugin, each.what, each.name)
    )


def _text(distribution: metadata.Distribution) -> str:
    """Its entry points as they are written; what is no UTF-8 too, so that one can see whether they are for us."""
    try:
        return distribution.read_text("entry_points.txt") or ""
    except UnicodeDecodeError as error:
        return bytes(error.object).decode(errors="replace")


def _requires(distribution: metadata.Distribution) -> list[str]:
    try:
        return distribution.requires or []
    except ValueError:  # its METADATA is no UTF-8
        return []


def _named(distribution: metadata.Distribution) -> tuple[str, str]:
    """Name and version; of what lost its METADATA (an installation that was broken off) those of its folder."""
    try:
        about = distribution.metadata
        name, version = (str(about[key]) if key in about else "" for key in ("Name", "Version"))
    except ValueError:  # it is no UTF-8
        name, version = "", ""
    folder = getattr(distribution, "_path", None)
    of_folder = re.fullmatch(r"(.+?)-(.+?)\.(?:dist|egg)-info", folder.name) if folder is not None else None
    if of_folder is not None:
        name, version = name or of_folder[1], version or of_folder[2]
    return normalised(name or "unknown"), version or "unknown"


def _unreadable(plugin: str, version: str, text: str) -> Found:
    what: What = next(what for group, what in GROUPS.items() if f"[{group}]" in text)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    wrong = [f"{number}, `{line}`" for number, line in lines if line and line[0] not in "[#" and "=" not in line]
    where = f": line {wrong[0]} is not of the form name = package.module:Class" if wrong else ""
    found = Found(what, "", plugin, version, "")
    return found.refused("failed", f"its entry_points.txt cannot be read{where}", f"correct or uninstall {plugin}")


def _found(point: metadata.EntryPoint, plugin: str, version: str, suite: str, bounds: str) -> Found:
    what = GROUPS[point.group]
    found = Found(what, point.name, plugin, version, _plain(point.value), suite=suite)
    if bounds:
        hint = f"install a version of {plugin} for Reactor {__version__}, or another Reactor"
        return found.refused("failed", f"it needs {DISTRIBUTION}{bounds}; this is {__version__}", hint)
    if what in ("middleware", "block"):
        return found.refused("unavailable", f"{what} plugins are not carried out by this version yet", "")
    if not _is_name(point.name):
        hint = f"correct the entry point of {plugin}: lower-case letters, digits, `_` and `-`"
        return found.refused("failed", f"`{point.name}` cannot be the name of a {_thing(what)}", hint)
    if _target(point.value) is None:
        hint = f"correct the entry point of {plugin}"
        return found.refused("failed", f"`{point.value}` is not of the form package.module:Class", hint)
    return found


def _plain(value: str) -> str:
    """`module:Class`, without the extras that may be named behind it: they are a matter of whoever installs."""
    found = _target(value)
    return value if found is None else found[1]


def _worded(found: Found, all_: Iterable[Found], others: dict[str, str]) -> Found:
    """The same with the names by which it can be used, and whose names it met."""
    if found.state != "found":
        return found
    qualified = f"{found.plugin}.{found.name}"
    same = Counter(
        each.plugin for each in all_ if (each.what, each.name, each.state) == (found.what, found.name, "found")
    )
    problem, hint, words = "", f"write {qualified}", (found.name, qualified)
    if same[found.plugin] > 1:
        return found.refused("failed", f"{found.plugin} supplies {found.name} twice", "correct its entry points")
    if found.name in taken(found.what):
        problem, words = f"`{found.name}` is a word of Reactor's own", (qualified,)
    elif len(same) > 1:
        rivals = " and ".join(sorted(each for each in same if each != found.plugin))
        problem, words = f"{rivals} supplies {found.name} too", (qualified,)
    if found.plugin in others:
        doubled = f"{found.plugin} is installed twice: {found.version} is used, {others[found.plugin]} is not"
        problem, hint = (f"{problem}; {doubled}", hint) if problem else (doubled, f"uninstall one {found.plugin}")
    return msgspec.structs.replace(found, words=words, problem=problem, hint=hint if problem else "")


def _thing(what: What) -> str:
    return "trigger kind" if what == "trigger" else what


def taken(what: What) -> Collection[str]:
    """Words that a plugin's short name cannot be: the key of a kind or action must mean one thing."""
    if what == "trigger":
        own = {*BUILT_IN.kinds, *BUILT_IN.missing.get("kind", ()), *BUILT_IN.missing.get("join", ())}
        return own | {*OWN_KINDS, "trigger", *ENTRY.keys, *COMMON.keys}
    own = {*BUILT_IN.actions, *BUILT_IN.missing.get("action", ()), *BUILT_IN.missing.get("block", ())}
    return own | {*BLOCKS, *STEP.keys}
