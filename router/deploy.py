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
from ..store.contract import Store, Unit
from .contract import Binding
from .rules import Rules, bindings_of

log = logging.getLogger("reactor.deploy")
FILES = "files"
OLD_REVISIONS = 4


class RulesBody(msgspec.Struct, frozen=True):
    """A stored revision of the rules: the digests, in hex, of the definitions in force, by workflow."""

    revision: int
    live: Mapping[str, str]


_stored = msgspec.json.Decoder(RulesBody).decode


class Registry(Protocol):
    """The engine's workflows, as a deploy needs them."""

    async def deploy(self, loaded: Iterable[Loaded], *, origin: str = "", gone: Collection[str] = ()) -> list[str]: ...

    async def change(
        self, name: str, *, enabled: bool | None = None, removed: bool | None = None, pinned: str | None = None
    ) -> None: ...

    def live(self) -> Iterator[Any]: ...

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
        self._digests: dict[str, bytes] = {}
        self._old: dict[int, Rules] = {}  # revisions that were asked for last
        self.specs: dict[str, TriggerSpec] = dict(named)

    async def open(self) -> None:
        """The workflows that the store has, in force again; triggers start with `start`."""
        async with self._lock:
            newest = await self._store.rules(0)
            stored = _stored(newest) if newest is not None else RulesBody(0, {})
            self._rules.revision = stored.revision
            await self._swap(stored.live)

    async def deploy(self, loaded: Iterable[Loaded], *, origin: str = "", gone: Collection[str] = ()) -> list[str]:
        """Put definitions in force and remove those that are `gone`, as one swap; the names that changed.

        Raises ConfigError before anything is changed.
        """
        found = list(loaded)
        for one in found:
            bindings_of(one.definition, digest(one.definition))
        self.check_triggers(one.definition for one in found)
        async with self._lock:
            changed = await self._registry.deploy(found, origin=origin, gone=gone)
            if changed:
                await self._swap()
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
        return await self.deploy(found, origin=FILES, gone=gone)

    async def change(self, name: str, **to: Any) -> None:
        """Enable, disable, remove or pin a workflow. Raises ConfigError for an unknown one."""
        async with self._lock:
            await self._registry.change(name, **to)
            await self._swap()

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
        for name, text in _stored(body).live.items():
            row = await self._store.definition(bytes.fromhex(text))
            if row is not None:
                rules.replace(name, row.digest, bindings_of(decode(row.body), row.digest))
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

    async def _swap(self, stored: Mapping[str, str] | None = None) -> None:
        """Rules and triggers as the registry has them now; a new revision, unless `stored` says the same.

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
        changed = False
        for name in [n for n in self._digests if n not in live]:
            self._rules.replace(name, None, ())
            del self._digests[name]
            changed = True
        for name, entry in live.items():
            if self._digests.get(name) != entry.digest:
                bindings: list[tuple[Binding, dict[str, Any]]] = bindings_of(entry.definition, entry.digest)
                self._rules.replace(name, entry.digest, bindings)
                self._digests[name] = entry.digest
                changed = True
        if changed and self._rules.body() != stored:
            self._rules.revision += 1
            body = msgspec.json.encode(RulesBody(self._rules.revision, self._rules.body()))
            await self._store.submit(Unit(rules=(self._rules.revision, body)))
        self.specs = specs
        await self._apply(specs)
