"""The workflows of this node: every definition that is deployed or still has open runs, and what is current
(semantics 10).
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct

from ..core.clock import Clock
from ..core.errors import ConfigError, StepError
from ..language.definition import Loaded, WorkflowDefinition, decode, digest, encode
from ..language.diagnostics import nearest
from ..language.versions import parse_range, version_key
from ..store.contract import Definition, Store, Unit, WorkflowState
from .plan import Plan, compile_plan

log = logging.getLogger("reactor.workflows")


class Entry(Struct):
    """One version of a workflow: the revision that is in force."""

    definition: WorkflowDefinition
    digest: bytes
    revision: int
    loaded: Loaded | None = None  # of this process's files: places for errors


class Workflows:
    """The registry of workflows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._entries: dict[str, dict[str, Entry]] = {}
        self._plans: dict[bytes, Plan] = {}
        self._current: dict[str, Entry] = {}
        self.states: dict[str, WorkflowState] = {}
        self.needed: Callable[[bytes], Awaitable[None]] = _nobody
        """Told of a definition, by its digest, before a run of it that had ended goes on."""

    async def open(self) -> None:
        """Read what is stored: a server without its files still has its workflows."""
        for row in await self._store.definitions():
            entry = Entry(decode(row.body), row.digest, row.revision)
            versions = self._entries.setdefault(row.workflow, {})
            if row.version not in versions or versions[row.version].revision < row.revision:
                versions[row.version] = entry
        self.states = dict(await self._store.workflows())
        for name in self._entries:
            self._choose(name)

    # -- look-up
    def names(self) -> list[str]:
        """Workflows that are not removed, in order."""
        return sorted(n for n in self._entries if not self._state(n).removed)

    def current(self, name: str) -> Entry | None:
        """The version in force: the pinned one, else the highest; None for an unknown or removed workflow."""
        return self._current.get(name)

    def live(self) -> Iterator[Entry]:
        """The current versions of enabled workflows: theirs are the bindings."""
        for name, entry in sorted(self._current.items()):
            if self._state(name).enabled:
                yield entry

    def beside(self) -> Iterator[Entry]:
        """Those that no event starts, and a person or another workflow may: other versions, workflows switched off."""
        for name in self._current:
            for entry in self._entries[name].values():
                if entry is not self._current[name] or not self._state(name).enabled:
                    yield entry

    def versions(self, name: str) -> Mapping[str, Entry]:
        """Every version of a workflow."""
        return self._entries.get(name, {})

    def traced(self, name: str, version: str) -> bool:
        """Do the runs of a workflow keep a trace? Without a version: of the one in force."""
        entry = self.versions(name).get(version) or self._current.get(name)
        return entry is None or entry.definition.trace

    def find(self, reference: str) -> Entry:
        """The entry of `name` or `name@range`. Raises StepError `unknown_workflow`, with the nearest name."""
        name, _, wanted = reference.partition("@")
        if name in self._current:
            if not wanted:
                return self._current[name]
            best = parse_range(wanted).best(list(self._entries[name]))
            if best is not None:
                return self._entries[name][best]
            have = ", ".join(sorted(self._entries[name]))
            raise StepError("unknown_workflow", f"workflow `{name}` has no version `{wanted}`; it has: {have}")
        near = nearest(name, self.names())
        hint = f"did you mean `{near}`?" if near else "`reactor list` lists those in force"
        raise StepError("unknown_workflow", f"there is no workflow `{name}`", hint=hint)

    def plan(self, digest_: bytes) -> Plan | None:
        """The plan of a definition that this process knows, compiled at its first use."""
        plan = self._plans.get(digest_)
        if plan is None:
            for versions in self._entries.values():
                for entry in versions.values():
                    if entry.digest == digest_:
                        plan = self._plans[digest_] = compile_plan(entry.definition)
                        return plan
        return plan

    async def stored_plan(self, digest_: bytes) -> Plan | None:
        """The plan of a run's own definition, out of the store if need be (semantics 10.1)."""
        plan = self.plan(digest_)
        if plan is None:
            row = await self._store.definition(digest_)
            if row is not None:
                plan = self._plans[digest_] = compile_plan(decode(row.body))
        return plan

    def matching(self, pattern: str) -> list[str]:
        """Names that a glob takes."""
        return [n for n in self.names() if fnmatch.fnmatchcase(n, pattern)]

    # -- changes
    async def deploy(
        self,
        loaded: Iterable[Loaded],
        *,
        origin: str = "",
        gone: Collection[str] = (),
        tops: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Make definitions durable, then current, and remove those that are `gone`; the names that changed. Equal
        content is no change (semantics 10.2). `tops`: the highest version of each workflow that files have: where
        there was a higher one, it is rolled back.
        """
        rows: list[Definition] = []
        entries: list[Entry] = []
        states = [msgspec.structs.replace(self._state(name), removed=True) for name in gone]
        origins: dict[str, str] = {}
        for one in loaded:
            definition, d = one.definition, digest(one.definition)
            known = self._entries.get(definition.workflow, {}).get(definition.version)
            came = f"file:{one.file}" if origin == "files" else origin
            if known is not None and known.digest == d:
                known.loaded = one
                state = self._state(definition.workflow)
                if state.origin.startswith("file:") if origin == "files" else state.pinned:
                    origins[definition.workflow] = came  # it may have been moved, or is to be in force again
                if not state.removed:
                    continue
                revision = known.revision
            else:
                revision = known.revision + 1 if known is not None else 1
                rows.append(
                    Definition(
                        d, definition.workflow, definition.version, encode(definition), self._clock.now(), revision
                    )
                )
            self._plans[d] = compile_plan(definition)
            entries.append(Entry(definition, d, revision, one))
            origins[definition.workflow] = came
        for name, came in origins.items():
            new = WorkflowState(name, self._state(name).enabled, False, self._pinned(name, tops), came)
            if self.states.get(name) != new:
                states.append(new)
        if rows or states:
            await self._store.submit(Unit(definitions=tuple(rows), workflows=tuple(states)))
        for state in states:
            self.states[state.workflow] = state
        for entry in entries:
            name = entry.definition.workflow
            versions = self._entries.setdefault(name, {})
            if entry.definition.version in versions:
                self.plan(versions[entry.definition.version].digest)  # for what still comes by the rules of before
            versions[entry.definition.version] = entry
            self._choose(name)
            log.info(
                "workflow %s %s, revision %d", name, entry.definition.version, entry.revision, extra={"workflow": name}
            )
        changed = [*(e.definition.workflow for e in entries), *gone]
        for name in gone:
            _tell_removed(name)
        return [*changed, *(state.workflow for state in states if self._back_again(state.workflow, changed))]

    def _back_again(self, name: str, changed: Collection[str]) -> bool:
        """Is another version in force now, though nothing of this workflow is new?"""
        before = self._current.get(name)
        self._choose(name)
        now = self._current.get(name)
        if now is None or now is before or name in changed:
            return False
        log.info("workflow %s is at version %s again", name, now.definition.version, extra={"workflow": name})
        return True

    def _pinned(self, name: str, tops: Mapping[str, str] | None) -> str:
        """The version to be pinned by a deploy: the highest of the files, if there was a higher one."""
        if tops is None or name not in tops:
            return "" if tops is None else self._state(name).pinned
        top = version_key(tops[name])
        return tops[name] if any(version_key(version) > top for version in self._entries.get(name, ())) else ""

    async def change(
        self, name: str, *, enabled: bool | None = None, removed: bool | None = None, pinned: str | None = None
    ) -> None:
        """Switch a workflow off or on, remove it, pin a version. Raises ConfigError for an unknown one."""
        if name not in self._entries:
            near = nearest(name, self.names())
            raise ConfigError(
                f"there is no workflow `{name}`",
                hint=f"did you mean `{near}`?" if near else "",
                code="unknown_workflow",
            )
        old = self._state(name)
        state = WorkflowState(
            name,
            old.enabled if enabled is None else enabled,
            old.removed if removed is None else removed,
            old.pinned if pinned is None else pinned,
            old.origin,
        )
        await self._store.submit(Unit(workflows=(state,)))
        self.states[name] = state
        self._choose(name)
        if state.removed and not old.removed:
            _tell_removed(name)

    def from_files(self) -> dict[str, str]:
        """The workflows that came from files and are not removed, with their file."""
        found = {name: self._state(name).origin for name in self.names()}
        return {name: origin[5:] for name, origin in found.items() if origin.startswith("file:")}

    def enabled(self, name: str) -> bool:
        """May the workflow's events start runs?"""
        return self._state(name).enabled

    def _state(self, name: str) -> WorkflowState:
        return self.states.get(name) or WorkflowState(name)

    def _choose(self, name: str) -> None:
        state, versions = self._state(name), self._entries[name]
        if state.removed:
            self._current.pop(name, None)
        elif state.pinned in versions:
            self._current[name] = versions[state.pinned]
        else:
            self._current[name] = max(versions.values(), key=lambda e: version_key(e.definition.version))


async def _nobody(digest_: bytes) -> None:
    pass


def _tell_removed(name: str) -> None:
    log.info(
        "workflow %s is removed: it starts nothing more, its open runs end normally", name, extra={"workflow": name}
    )
