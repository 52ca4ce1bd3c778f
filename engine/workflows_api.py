"""What faces do with workflows: list, show, put in force, switch, remove."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

import msgspec

from ..core.durations import format_instant
from ..core.ids import run_text
from ..language.definition import Loaded, When, WorkflowDefinition
from ..store.contract import RunFilter
from .engine import Engine
from .plan import Plan, compile_plan


class Deploying(Protocol):
    """The router's deploys, as faces need them."""

    def deploy(self, loaded: Iterable[Loaded], *, origin: str = "") -> Awaitable[list[str]]: ...

    def change(self, name: str, **to: Any) -> Awaitable[None]: ...


class WorkflowsApi:
    """Workflows by name."""

    def __init__(self, engine: Engine, deploys: Deploying) -> None:
        self._e = engine
        self._deploys = deploys

    async def list(self, *, tags: Iterable[str] = (), states: bool = True) -> list[dict[str, Any]]:
        """One line a workflow: name, version, triggers, state, last run."""
        found: list[dict[str, Any]] = []
        for workflow in self._e.workflows.names():
            entry = self._e.workflows.current(workflow)
            if entry is None or not set(tags) <= set(entry.definition.tags):
                continue
            line: dict[str, Any] = {
                "name": workflow,
                "version": entry.definition.version,
                "description": entry.definition.description,
                "tags": list(entry.definition.tags),
                "triggers": [describe(w) for w in entry.definition.when],
                "enabled": self._e.workflows.enabled(workflow),
            }
            if states:
                last = await self._e.store.runs(RunFilter(workflow=workflow), limit=1)
                line["last_run"] = (
                    {"state": self._e.state_of(last[0]), "at": format_instant(last[0].created_at)} if last else None
                )
            found.append(line)
        return found

    async def show(self, workflow: str) -> dict[str, Any]:
        """Everything about a workflow: definition, versions, steps with dependencies, plan, last runs.

        Raises StepError `unknown_workflow`.
        """
        entry = self._e.workflows.find(workflow)
        plan = compile_plan(entry.definition)
        reference = entry.definition.workflow
        runs = await self._e.store.runs(RunFilter(workflow=reference), limit=5)
        return {
            **summary(entry.definition),
            "revision": entry.revision,
            "enabled": self._e.workflows.enabled(reference),
            "versions": sorted(self._e.workflows.versions(reference)),
            "steps": steps_of(plan),
            "plan": plan.levels(),
            "last_runs": [self._run(row) for row in runs],
            "definition": msgspec.to_builtins(entry.definition),
        }

    def _run(self, row: Any) -> dict[str, Any]:
        return {
            "id": run_text(self._e.store.id, row.id),
            "state": self._e.state_of(row),
            "created_at": format_instant(row.created_at),
        }

    async def deploy(self, loaded: Iterable[Loaded], *, origin: str = "api") -> list[str]:
        """Put definitions in force; the names that changed. Raises ConfigError."""
        return await self._deploys.deploy(loaded, origin=origin)

    async def enable(self, workflow: str) -> None:
        """Its events start runs again. Raises ConfigError."""
        await self._deploys.change(workflow, enabled=True)

    async def disable(self, workflow: str) -> None:
        """Its events start nothing; open runs go on. Raises ConfigError."""
        await self._deploys.change(workflow, enabled=False)

    async def delete(self, workflow: str) -> None:
        """It is gone from the lists and starts nothing; open runs end normally (semantics 10.3). Raises ConfigError."""
        await self._deploys.change(workflow, removed=True)


def describe(when: When) -> str:
    """An entry of `when` in a few words."""
    if when.event:
        return f"event {when.event}"
    if when.workflow:
        return f"workflow {when.workflow} {', '.join(when.states or ('completed',))}"
    if when.spec is not None:
        keys = ", ".join(f"{k}: {v}" for k, v in when.spec.config.items() if isinstance(v, (str, int, float)))
        return f"{when.spec.kind} {keys}"
    return f"trigger {when.trigger}"


def summary(definition: WorkflowDefinition) -> dict[str, Any]:
    """The head of a definition."""
    return {
        "name": definition.workflow,
        "version": definition.version,
        "description": definition.description,
        "tags": list(definition.tags),
        "metadata": definition.metadata,
        "inputs": definition.inputs,
        "triggers": [describe(w) for w in definition.when],
        "timeout_s": definition.timeout_s,
        "on_error": definition.on_error,
        "parallel_limit": definition.parallel_limit,
    }


def steps_of(plan: Plan) -> list[dict[str, Any]]:
    """Every step with what it needs."""
    return [
        {
            "name": node.path,
            "uses": node.uses or (type(node.step.block).__name__.lower()),
            "needs": [plan.nodes[d].path for d in node.deps],
            "compensate": node.undo is not None,
        }
        for node in plan.nodes
    ]
