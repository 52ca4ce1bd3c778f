"""A whole Reactor in a test: steps that are mocked by name, and assertions about how its runs ended.

```python
async with TestApp(project="shop") as app:
    app.mock_step_failure("validate_code", "syntax_error")
    run = await app.start("code_generation_transaction", requirements={...})
    with pytest.raises(RunFailed):
        await run.result()
    await app.assert_compensation_executed("generate_code")
    await app.assert_no_partial_results()
```

Source: requirements H-2 and H-3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from ..app import App
from ..core.errors import ConfigError, StepError
from ..core.event import Receipt
from ..engine.actions.catalogue import Catalogue
from ..engine.actions.contract import Action, Call
from ..engine.handle import RunHandle
from ..language.diagnostics import did_you_mean

UNCALLED = {
    "transform": "it is computed: mock the steps whose outputs it reads",
    "wait": "send what it waits for, or let the clock go on",
    "approval": "answer it: app.runs_api.answer(…)",
    "run-workflow": "mock the steps of the workflow that it runs",
}
"""Actions that the engine carries out itself, and what a test does in place of a mock."""

Mocks = Mapping[str, "deque[Any]"]


class TestApp(App):
    """An App that reads no triggers, in a store of its own; takes what App takes.

    A mocked step is not called: it gives what was said, or fails with it. Its inputs are rendered and its output is
    checked all the same. Handlers that undo are never mocked. A start, and an event, are refused while a mock could
    take nothing's place: no workflow in force has a step of its name, or that step calls no action.
    """

    __test__ = False  # pytest: not a class of tests

    def __init__(self, store: str = ":memory:", **more: Any) -> None:
        more.setdefault("listen", False)
        super().__init__(store, **more)
        self._mocks: dict[str, deque[Any]] = {}
        self.actions = _Actions(self.actions, self._mocks)

    def mock(self, step: str, *results: Any) -> None:
        """What the step gives, one result an execution, the last one from then on; an exception is raised."""
        if not results:
            raise ValueError(f"say what the step `{step}` gives")
        self._mocks[step] = deque(results)

    def mock_step_failure(self, step: str, code: str, message: str = "") -> None:
        """Let the step fail with this error code each time it is executed."""
        self.mock(step, StepError(code, message or f"`{step}` fails in this test"))

    async def start(self, workflow: Any, inputs: Mapping[str, Any] | None = None, /, **more: Any) -> RunHandle:
        """Start a run, as App does. Raises ConfigError for a mock that could take nothing's place."""
        self._check_mocks()
        return await super().start(workflow, inputs, **more)

    async def emit(self, type: str, data: Any = None, **more: Any) -> Receipt:
        """Hand in an event, as App does. Raises ConfigError for a mock that could take nothing's place."""
        self._check_mocks()
        return await super().emit(type, data, **more)

    def _check_mocks(self) -> None:
        workflows = self.engine.workflows
        entries = [entry for name in workflows.names() for entry in workflows.versions(name).values()]
        plans = [plan for entry in entries if (plan := workflows.plan(entry.digest)) is not None]
        nodes = {(node.path, plan.definition.workflow): node for plan in plans for node in plan.nodes}
        for step in self._mocks:
            named = {key: node for key, node in nodes.items() if step in (node.path, node.name)}
            if not named:
                hint = did_you_mean(step, {path for path, _ in nodes}) or "load its workflow first"
                raise ConfigError(f"no workflow in force has the mocked step `{step}`", hint=hint)
            if all(node.parts or node.uses in UNCALLED for node in named.values()):
                (path, workflow), node = next(iter(named.items()))
                what = "a block" if node.parts else f"`{node.uses}`"
                raise ConfigError(
                    f"the step `{path}` of `{workflow}` cannot be mocked: {what} calls no action",
                    hint="mock the steps inside" if node.parts else UNCALLED[node.uses],
                )

    async def assert_compensation_executed(self, step: str) -> None:
        """The newest run undid this step, and its handler succeeded."""
        run = await self._newest()
        shown = {each["name"]: each for each in run["steps"]}
        assert step in shown, f"the run {run['id']} has no step `{step}`; it has: {', '.join(shown)}"
        outcome = shown[step].get("compensated")
        undone = [name for name, each in shown.items() if each.get("compensated") == "completed"]
        assert outcome == "completed", (
            f"`{step}` was not undone ({outcome or 'its handler did not run'}): the run {run['id']} is {run['state']}; "
            f"undone: {', '.join(undone) or 'nothing'}"
        )

    async def assert_no_partial_results(self) -> None:
        """The newest run did not complete, has no outputs, and every completed step that can be undone was."""
        run = await self._newest()
        assert run["state"] != "completed", f"the run {run['id']} completed"
        assert run["ended_at"] is not None, f"the run {run['id']} is still {run['state']}"
        assert run["outputs"] is None, f"the run {run['id']} has outputs: {run['outputs']}"
        plan = self.runs_api.plan_of(f"{run['workflow']}@{run['version']}")
        undoable = {node.path for node in plan.nodes if node.undo is not None}
        left = [
            each["name"]
            for each in run["steps"]
            if each["name"] in undoable and each["state"] == "completed" and each["compensated"] != "completed"
        ]
        assert not left, f"the run {run['id']} is {run['state']}, and these steps are not undone: {', '.join(left)}"

    async def _newest(self) -> dict[str, Any]:
        found = (await self.runs(limit=1))["items"]
        assert found, "no run was started"
        return await self.get(found[0]["id"])


class _Actions(Catalogue):
    """The real actions, each asking for mocks first."""

    def __init__(self, real: Catalogue, mocks: Mocks) -> None:
        super().__init__()
        self._real = real
        self._mocks = mocks

    def action(self, name: str) -> Action:
        return cast("Action", _Mocked(self._real.action(name), self._mocks))

    def names(self) -> list[str]:
        return self._real.names()

    def inputs(self, name: str, rendered: Any) -> Any:
        return self._real.inputs(name, rendered)

    async def close(self) -> None:
        await self._real.close()


class _Mocked:
    """One action; what is not `execute` is the real one's."""

    def __init__(self, real: Action, mocks: Mocks) -> None:
        self._real = real
        self._mocks = mocks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def execute(self, call: Call) -> Any:
        said = None if call.undo else self._mocks.get(call.step) or self._mocks.get(call.step.rpartition("/")[2])
        if said is None:
            return await self._real.execute(call)
        result = said.popleft() if len(said) > 1 else said[0]
        if isinstance(result, BaseException):
            raise result
        return result
