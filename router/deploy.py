"""A deploy: definitions become durable, then their rules and triggers live, as one swap between two events (semantics
10.3).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from ..core.errors import ConfigError
from ..language.definition import Loaded, TriggerSpec, WorkflowDefinition, decode, digest
from ..language.versions import version_key
from ..store.contract import Store, Unit
from .contract import Binding
from .rules import Rules, bindings_of

log = logging.getLogger("reactor.deploy")
FILES = "files"
OLD_REVISIONS = 4


class RulesBody(msgspec.Struct, frozen=True):
    """A stored revision of the rules: the digests, in hex, of the definitions in force, by workflow; and of those
    whose runs still wait for events.
    """

    revision: int
    live: Mapping[str, str]
    aside: tuple[str, ...] = ()


_stored = msgspec.json.Decoder(RulesBody).decode


class Registry(Protocol):
    """The engine's workflows, as a deploy needs them."""

    needed: Callable[[bytes], Awaitable[None]]

    async def deploy(
        self,
        loaded: Iterable[Loaded],
        *,
        origin: str = "",
        gone: Collection[str] = (),
        tops: Mapping[str, str] | None = None,
    ) -> list[str]: ...

    async def change(
        self, name: str, *, enabled: bool | None = None, removed: bool | None = None, pinned: str | None = None
    ) -> None: ...

    def live(self) -> Iterator[Any]: ...

    def beside(self) -> Iterator[Any]: ...

    def from_files(self) -> Mapping[str, str]: ...


class Deploys:
    """Puts workflows in force. One change at a time."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        registry: Registry,
        named: Mapping[str, TriggerSpec],
        apply: Callable[[Mapping[str, TriggerSpec]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._rules = rules
        self._registry = registry
        self._named = named
        self._apply = apply
        self.leave: Callable[[Mapping[str, TriggerSpec]], Awaitable[None]] | None = None
        self._lock = asyncio.Lock()
        self._live: dict[str, Any] = {}  # the entries whose rules are in force, by workflow
        registry.needed = self._needed
        self._old: dict[int, Rules] = {}  # revisions that were asked for last
        self.specs: dict[str, TriggerSpec] = dict(named)

    async def open(self) -> None:
        """The workflows that the store has, in force again; triggers start with `start`."""
        async with self._lock:
            newest = await self._store.rules(0)
            stored = _stored(newest) if newest is not None else RulesBody(0, {})
            self._rules.revision = stored.revision
            await self._swap(await self._open(), stored)

    async def deploy(
        self,
        loaded: Iterable[Loaded],
        *,
        origin: str = "",
        gone: Collection[str] = (),
        tops: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Put definitions in force and remove those that are `gone`, as one swap; the names that changed.

        Raises ConfigError before anything is changed.
        """
        found = list(loaded)
        for one in found:
            bindings_of(one.definition, digest(one.definition))
        self.check_triggers(one.definition for one in found)
        async with self._lock:
            opened = await self._open()
            changed = await self._registry.deploy(found, origin=origin, gone=gone, tops=tops)
            if changed:
                await self._swap(opened)
        return changed

    async def sync(
        self, loaded: Iterable[Loaded], *, failed: Collection[str] = (), held: Callable[[str], bool] | None = None
    ) -> list[str]:
        """Put the definitions of files in force as all that there is in files; the rest is removed (semantics 10.3).

        `failed`: files that cannot be read now: the last good revisions of what they held stay. `held`: may one of them
        hold a workflow that was in another file before?
        """
        found = list(loaded)
        names = {one.definition.workflow for one in found}
        missing = {n: file for n, file in self._registry.from_files().items() if n not in names and file not in failed}
        gone = [name for name in missing if held is None or not held(name)]
        tops: dict[str, str] = {}
        for one in sorted(found, key=lambda one: version_key(one.definition.version)):
            tops[one.definition.workflow] = one.definition.version
        if held is not None:  # a higher one may be there, with an error
            tops = {name: top for name, top in tops.items() if not held(name)}
        return await self.deploy(found, origin=FILES, gone=gone, tops=tops)

    async def change(self, name: str, **to: Any) -> None:
        """Enable, disable, remove or pin a workflow. Raises ConfigError for an unknown one."""
        async with self._lock:
            opened = await self._open()
            await self._registry.change(name, **to)
            await self._swap(opened)

    async def rules_at(self, revision: int) -> Rules | None:
        """The rules of a stored revision, for `explain` (semantics 11.4); None if they are not kept any more."""
        if revision == self._rules.revision:
            return self._rules
        if revision in self._old:
            return self._old[revision]
        if not revision:
            return Rules()  # before the first deploy
        body = await self._store.rules(revision)
        if body is None:
            return None
        rules = Rules()
        rules.revision = revision
        found = _stored(body)
        for name, text in found.live.items():
            row = await self._store.definition(bytes.fromhex(text))
            if row is not None:
                rules.replace(name, row.digest, bindings_of(decode(row.body), row.digest))
        for digest_, definition in (await self._definitions(map(bytes.fromhex, found.aside))).items():
            rules.set_aside(digest_, bindings_of(definition, digest_))
        while len(self._old) >= OLD_REVISIONS:
            del self._old[next(iter(self._old))]
        self._old[revision] = rules
        return rules

    def settles_completed(self, trigger: str) -> bool:
        """Is this trigger's source told only when the runs have ended?"""
        spec = self.specs.get(trigger)
        return spec is not None and spec.settle == "completed"

    def check_triggers(self, definitions: Iterable[WorkflowDefinition]) -> None:
        """Raise ConfigError if an entry names a trigger that the project has not."""
        for definition in definitions:
            for i, when in enumerate(definition.when):
                if when.trigger and when.spec is None and when.trigger not in self._named:
                    names = ", ".join(sorted(self._named)) or "none"
                    raise ConfigError(
                        f"`{definition.workflow}` names the trigger `{when.trigger}`, which the project has not; "
                        f"it has: {names}",
                        path=f"when[{i}].trigger",
                        hint="declare it under `triggers:` in reactor.yaml",
                    )

    async def _definitions(self, digests: Iterable[bytes]) -> dict[bytes, WorkflowDefinition]:
        rows = [await self._store.definition(each) for each in digests]
        return {row.digest: decode(row.body) for row in rows if row is not None}

    async def _open(self) -> dict[bytes, WorkflowDefinition]:
        """The definitions of open runs that are not in force: read before anything is changed, for it may fail."""
        in_force = {entry.digest for entry in self._live.values()}
        return await self._definitions(d for d in await self._store.open_digests() if d not in in_force)

    async def _needed(self, digest_: bytes) -> None:
        """A run that had ended is to go on: what it may wait for."""
        async with self._lock:
            if digest_.hex() not in self._rules.aside():
                await self._swap({**await self._open(), **await self._definitions([digest_])})

    async def _swap(self, opened: Mapping[bytes, WorkflowDefinition], stored: RulesBody | None = None) -> None:
        """Rules and triggers as the registry has them now; a new revision, unless `stored` says the same.

        Open runs keep the definition that they began with (semantics 10.1): what those that are not in force wait for,
        and what cancels their runs, stays in the index. `opened`: the definitions of open runs.

        Triggers that are no more end first (`leave`): what came by them meets the rules under which it came.
        """
        live = {entry.definition.workflow: entry for entry in self._registry.live()}
        specs = dict(self._named)
        for entry in live.values():
            for when in entry.definition.when:
                if when.spec is not None:
                    specs[when.trigger] = when.spec
        if self.leave is not None:
            await self.leave(specs)
        before = (self._rules.body(), self._rules.aside())
        # a run of what is in force until now may be on its way to the store
        aside = {**opened, **{entry.digest: entry.definition for entry in self._live.values()}}
        aside |= {entry.digest: entry.definition for entry in self._registry.beside()}
        for entry in live.values():
            aside.pop(entry.digest, None)
        waits = {d: _waits(each, d) for d, each in aside.items() if d.hex() not in before[1]}
        for text in before[1]:
            if bytes.fromhex(text) not in aside:
                self._rules.set_aside(bytes.fromhex(text), ())
        for name, entry in self._live.items():
            if name not in live or live[name].digest != entry.digest:
                self._rules.replace(name, None, ())
        for digest_, bindings in waits.items():
            self._rules.set_aside(digest_, bindings)
        for name, entry in live.items():
            if name not in self._live or self._live[name].digest != entry.digest:
                self._rules.set_aside(entry.digest, ())
                self._rules.replace(name, entry.digest, bindings_of(entry.definition, entry.digest))
        self._live = live
        now = RulesBody(self._rules.revision, self._rules.body(), self._rules.aside())
        if (now.live, now.aside) != before and (stored is None or (now.live, now.aside) != (stored.live, stored.aside)):
            self._rules.revision += 1
            body = msgspec.json.encode(msgspec.structs.replace(now, revision=self._rules.revision))
            await self._store.submit(Unit(rules=(self._rules.revision, body)))
        self.specs = specs
        await self._apply(specs)


def _waits(definition: WorkflowDefinition, digest_: bytes) -> list[tuple[Binding, dict[str, Any]]]:
    """The bindings of a definition that is not in force; none if this version of Reactor cannot read them."""
    try:
        return bindings_of(definition, digest_)
    except ConfigError as e:
        name = definition.workflow
        log.warning("open runs of %s %s wait for no event: %s", name, definition.version, e, extra={"workflow": name})
        return []
