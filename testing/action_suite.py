"""The public suite of actions: subclass it, say what your action is and how it is called, and inherit the tests.

```python
class TestResize(ActionSuite):
    action = ResizeAction()
    valid = {"width": 100}
    failing = {"width": -1}            # optional: raises an error of a declared code
    slow = {"width": 100, "wait": 60}  # optional: takes long, so that it can be cancelled
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ..core.errors import ReactorError, StepError, code_matches
from ..core.limits import CANCEL_GRACE_S, OUTPUT_BYTES_MAX
from ..engine.actions.catalogue import Catalogue
from ..engine.actions.contract import Action, Call, EmitEffect, StateEffect
from ..engine.actions.functions import resolve
from ..store.contract import StateResult


class LentServices:
    """What a test lends to an action: connections by (kind, name), functions, durable values."""

    output_bytes_max = OUTPUT_BYTES_MAX

    def __init__(
        self,
        project: str = "",
        *,
        files: tuple[str, ...] = (),
        connections: Any = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        states: Mapping[tuple[str, str], Any] | None = None,
    ) -> None:
        self.project = project
        self.files = files or ((project,) if project else ())
        self._connections = connections
        self._functions = dict(functions or {})
        self._states = dict(states or {})

    def connection(self, kind: str, name: str | None) -> Any:
        """From the registry that was given; raises StepError `missing_connection` without one."""
        if self._connections is None:
            raise StepError("missing_connection", f"no connection of kind `{kind}` is declared")
        return self._connections.get(kind, name)

    def function(self, reference: str) -> Callable[..., Any]:
        """A function that was given, else what the reference names."""
        return self._functions.get(reference) or resolve(reference, self.project)

    async def state(self, scope: str, key: str) -> StateResult | None:
        """A durable value that was given."""
        if (scope, key) not in self._states:
            return None
        return StateResult(self._states[(scope, key)], None, 1)


class ActionSuite:
    """Every action passes this. `valid` is a `with` that succeeds; the others are optional."""

    action: ClassVar[Action]
    valid: ClassVar[Any]
    failing: ClassVar[Any] = None
    slow: ClassVar[Any] = None
    carried_out: ClassVar[bool] = True
    """False for actions that the engine carries out itself."""

    KEY: ClassVar[str] = "0123456789abcdef0123456789abcdef"

    @pytest.fixture
    def services(self) -> Any:
        """What the action is lent; override it to give connections and folders."""
        return LentServices()

    @pytest.fixture
    def valid_with(self) -> Any:
        """A `with` that succeeds; override it where it needs a server's address."""
        return self.valid

    @pytest.fixture
    def failing_with(self) -> Any:
        """A `with` that fails with a declared code."""
        return self.failing

    @pytest.fixture
    def slow_with(self) -> Any:
        """A `with` that takes a minute unless it is cancelled."""
        return self.slow

    def _catalogue(self) -> Catalogue:
        catalogue = Catalogue()
        if catalogue.unknown(self.action.name) is not None:
            catalogue.register(self.action.name, lambda: self.action)
        return catalogue

    def _call(self, with_: Any, services: Any, **more: Any) -> Call:
        given = self._catalogue().inputs(self.action.name, with_)
        return Call(given, key=self.KEY, run="r-1", workflow="tested", step="s", services=services, **more)

    def test_publishes_its_schemas(self) -> None:
        """`with` and output have a JSON Schema."""
        schema = self._catalogue().schema(self.action.name)
        assert set(schema) == {"with", "output"}
        if self.action.Input is not None:
            assert schema["with"]["type"] == "object"
            assert schema["with"].get("additionalProperties") is False, "unknown keys must be refused"

    def test_declares_codes_and_where_the_key_goes(self) -> None:
        """The other two things that are published."""
        assert isinstance(getattr(self.action, "errors", None), tuple)
        assert getattr(self.action, "key_goes", ""), "say in words where the idempotency key goes"

    def test_valid_with_has_no_fault(self, valid_with: Any) -> None:
        """What succeeds is accepted at load."""
        assert self._catalogue().faults(self.action.name, valid_with) == []

    def test_unknown_key_is_refused(self, valid_with: Any) -> None:
        """At load, by its name."""
        if self.action.Input is None:
            return
        found = self._catalogue().faults(self.action.name, {**(valid_with or {}), "unheard_of": 1})
        assert any("unknown key `unheard_of`" in message for _, message in found), found

    async def test_succeeds_with_a_json_value(self, valid_with: Any, services: Any) -> None:
        """The output is JSON, or an effect for the engine."""
        if not self.carried_out:
            return
        import msgspec

        output = await self.action.execute(self._call(valid_with, services))
        if not isinstance(output, (EmitEffect, StateEffect)):
            assert msgspec.json.decode(msgspec.json.encode(output)) == output

    async def test_raises_declared_codes_alone(self, failing_with: Any, services: Any) -> None:
        """A failure is an error of ours with a code that the action declares."""
        if failing_with is None:
            return
        with pytest.raises(ReactorError) as caught:
            await self.action.execute(self._call(failing_with, services))
        declared: tuple[str, ...] = getattr(self.action, "errors", ())
        codes = caught.value.info().codes()
        assert any(code_matches(pattern, code) for pattern in declared for code in codes), (codes, declared)

    async def test_cancel_ends_it_in_time(self, slow_with: Any, services: Any) -> None:
        """Cancelled, it cleans up and is over."""
        if slow_with is None:
            return
        task = asyncio.ensure_future(self.action.execute(self._call(slow_with, services)))
        await asyncio.wait([task], timeout=0.3)
        assert not task.done(), "`slow` must take long"
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=CANCEL_GRACE_S)
        assert done, "it must be over within CANCEL_GRACE_S"
        assert task.cancelled(), "it must pass the cancellation on"
