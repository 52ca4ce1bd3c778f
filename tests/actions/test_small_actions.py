"""`transform`, `log`, `fail`, `emit`, `state`, the actions of the engine, and the catalogue."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import jsonschema
import msgspec
import pytest
from msgspec import UNSET
from pydantic import BaseModel

from reactor.core.errors import ReactorError, StepError
from reactor.engine.actions.catalogue import BUILT_IN, UNAVAILABLE, Catalogue
from reactor.engine.actions.contract import ActionBase, ActionInput, Call, EmitEffect, StateEffect
from reactor.engine.actions.emit import EmitAction
from reactor.engine.actions.fail import FailAction
from reactor.engine.actions.hosts import host_template
from reactor.engine.actions.log import LogAction
from reactor.engine.actions.outline import ApprovalAction, RunWorkflowAction, WaitAction
from reactor.engine.actions.state import StateAction
from reactor.engine.actions.transform import TransformAction
from reactor.store.contract import StateOp, StateResult
from reactor.testing.action_suite import ActionSuite
from reactor.tests.actions.rig import Rig


class TestTransform(ActionSuite):
    action = TransformAction()
    valid: ClassVar = {"any": ["thing", None]}


class TestLog(ActionSuite):
    action = LogAction()
    valid: ClassVar = {"message": "hello", "level": "warning", "fields": {"n": 1}}


class TestFail(ActionSuite):
    action = FailAction()
    valid: ClassVar = {"message": "no"}
    failing: ClassVar = {"message": "no", "code": "shop.closed"}
    carried_out = False


class TestEmit(ActionSuite):
    action = EmitAction()
    valid: ClassVar = {"type": "order.shipped", "data": {"n": 1}}
    failing: ClassVar = {"type": "reactor.run.completed"}


class TestState(ActionSuite):
    action = StateAction()
    valid: ClassVar = {"op": "set", "key": "k", "value": 1}
    failing: ClassVar = {"op": "set", "key": "k", "value": "x" * 70_000}


class TestWait(ActionSuite):
    action = WaitAction()
    valid: ClassVar = {"for": "5s"}
    carried_out = False


class TestRunWorkflow(ActionSuite):
    action = RunWorkflowAction()
    valid: ClassVar = {"workflow": "ship@^1", "inputs": {"a": 1}}
    carried_out = False


class TestApproval(ActionSuite):
    action = ApprovalAction()
    valid: ClassVar = {"message": "ok?", "approvers": ["ada", "role:boss"]}
    carried_out = False


async def test_transform_gives_back_what_it_is_given(rig: Rig) -> None:
    for value in ({"a": [1]}, [1], "text", None, 5):
        assert await rig("transform", value) == value


async def test_log_writes_both_logs(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "reactor.run"):
        assert await rig("log", {"message": "on its way: 100%", "level": "error", "fields": {"n": 1}}) == {}
    assert rig.lines == [("error", "on its way: 100%", {"n": 1})]
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname) == ("on its way: 100%", "ERROR")
    assert (record.run, record.step, record.fields) == ("5f3a-1-7", "charge", {"n": 1})


async def test_fail_raises_the_users_error(rig: Rig) -> None:
    given = {"message": "sold out", "code": "shop.sold_out", "class": "fix", "details": {"left": 0}}
    with pytest.raises(StepError) as caught:
        await rig("fail", given)
    error = caught.value
    assert (error.code, error.class_, str(error), error.details) == ("shop.sold_out", "fix", "sold out", {"left": 0})
    with pytest.raises(StepError) as caught:
        await rig("fail", {"message": "no"})
    assert (caught.value.code, caught.value.class_) == ("failed", "park")
    assert rig.catalogue.faults("fail", {"message": "m", "class": "none"}) == [
        ("class", 'expected one of retry, fix, park; found "none"')
    ]
    assert rig.catalogue.faults("fail", {"message": "m", "code": "Bad Code"}) == [
        ("code", 'must have the form ^[a-z][a-z0-9_-]*(\\.[a-z0-9_-]+)*$; found "Bad Code"')
    ]


async def test_emit_asks_for_an_event(rig: Rig) -> None:
    given = {"type": "order.shipped", "data": None, "subject": "A1"}
    assert await rig("emit", given) == EmitEffect("order.shipped", None, "A1")
    assert await rig("emit", {"type": "order.shipped"}) == EmitEffect("order.shipped", UNSET, None)
    assert rig.catalogue.faults("emit", {"type": "reactor.run.failed"}) == [
        ("type", "types that begin with `reactor.` are Reactor's own: choose another")
    ]
    with pytest.raises(StepError) as caught:
        await rig("emit", {"type": "t", "data": "x" * 1_048_576})
    assert str(caught.value) == "the event's data has 1048578 bytes; at most 1048576 are taken"


async def test_state_asks_for_changes(rig: Rig) -> None:
    effect = await rig("state", {"op": "set", "key": "k", "value": {"a": 1}})
    assert effect == StateEffect((StateOp("set", "workflow/ship-order", "k", {"a": 1}),))
    assert effect.made_of([StateResult({"a": 1}, None, 1)]) == {"value": {"a": 1}, "previous": None, "version": 1}
    effect = await rig("state", {"op": "increment", "key": "n", "scope": "run"})
    assert effect.ops == (StateOp("increment", "run/5f3a-1-7", "n", 1),)
    effect = await rig("state", {"op": "compare_and_set", "key": "n", "expected": None, "value": 2, "scope": "project"})
    assert effect.ops == (StateOp("compare_and_set", "project", "n", 2, None),)
    effect = await rig("state", {"ops": [{"op": "get", "key": "a"}, {"op": "delete", "key": "b"}]})
    assert [op.op for op in effect.ops] == ["get", "delete"]
    assert [row["version"] for row in effect.made_of([StateResult(1, 1, 4), StateResult(None, 2, 5)])] == [4, 5]


@pytest.mark.parametrize(
    ("with_", "faults"),
    [
        ({"op": "set", "key": "k"}, [("", "`value` is missing: `set` needs it")]),
        ({"op": "get"}, [("", "`key` is missing: which durable value?")]),
        ({}, [("", "one of `op` or `ops` is missing")]),
        ({"op": "get", "key": "k", "value": 1}, [("value", "is not read by `get`")]),
        (
            {"op": "compare_and_set", "key": "k", "value": 1},
            [("", "`expected` is missing: `compare_and_set` needs it (null: no value yet)")],
        ),
        ({"ops": [{"op": "set", "key": "k"}]}, [("ops[0]", "`value` is missing: `set` needs it")]),
        (
            {"ops": [{"op": "get", "key": "k"}], "scope": "run"},
            [("scope", "stands beside `op`; under `ops` each has its own")],
        ),
        ({"op": "incr", "key": "k"}, None),
    ],
)
def test_faults_of_state(rig: Rig, with_: Any, faults: Any) -> None:
    found = rig.catalogue.faults("state", with_)
    assert found == faults if faults is not None else found[0][0] == "op"


async def test_state_values_are_checked(rig: Rig) -> None:
    for with_, code, text in [
        ({"op": "merge", "key": "k", "value": 1}, "invalid_input", "`merge` of `k` needs a mapping as value"),
        ({"op": "increment", "key": "k", "value": "1"}, "invalid_input", "`increment` of `k` needs a number as value"),
        (
            {"op": "set", "key": "k", "value": "x" * 65_536},
            "too_large",
            "the value of `k` has 65538 bytes; at most 65536 are kept under one key",
        ),
    ]:
        with pytest.raises(StepError) as caught:
            await rig("state", with_)
        assert (caught.value.code, str(caught.value)) == (code, text)


@pytest.mark.parametrize(
    ("name", "with_", "faults"),
    [
        ("wait", {}, [("", "one of `for`, `until`, `event` or `run` is missing")]),
        (
            "wait",
            {"for": "5s", "run": "r"},
            [("", "only one of `for`, `until`, `event` or `run` may be given; found `for` and `run`")],
        ),
        ("wait", {"for": "400d"}, [("for", "must be at most 366d; found 400d")]),
        ("wait", {"for": "5s", "timeout": "1s"}, [("timeout", "has no meaning beside `for`: the wait ends by itself")]),
        ("wait", {"run": "r", "on_timeout": "continue"}, [("on_timeout", "has no meaning without `timeout`")]),
        (
            "wait",
            {"event": {"type": "a", "equals": "1"}},
            [("event.equals", "is compared with `by`, which is missing")],
        ),
        (
            "wait",
            {"event": {"typ": "a"}},
            [("event.type", "is required and missing"), ("event.typ", "unknown key `typ`; did you mean type?")],
        ),
        ("wait", {"event": {"type": "a", "if": "event.data.x", "by": "event.data.id"}, "timeout": "1h"}, []),
        (
            "run-workflow",
            {"workflow": "ship@"},
            [("workflow", "expected name or name@range, such as ship@^1; found 'ship@'")],
        ),
        (
            "run-workflow",
            {"workflow": "a", "mode": "synch"},
            [("mode", 'expected one of sync, async, detached; found "synch"; did you mean sync?')],
        ),
        (
            "run-workflow",
            {"workflow": "a", "priority": 10},
            [("priority", "expected 0 … 9, or low, medium, high, critical; found 10")],
        ),
        ("run-workflow", {"workflow": "a", "priority": "${{ inputs.p }}"}, []),
        (
            "approval",
            {"message": "m", "approvers": ["a"], "need": 2},
            [("need", "2 approvals are needed, but only 1 may approve")],
        ),
        (
            "approval",
            {"message": "m", "approvers": {"nats": "s", "conection": "c"}},
            [("approvers.conection", "unknown key `conection`; did you mean connection?")],
        ),
        ("approval", {"message": "m", "on_timeout": "approve"}, [("on_timeout", "has no meaning without `timeout`")]),
        ("approval", {"message": "m", "fields": {"type": "object"}, "timeout": "${{ vars.t }}"}, []),
    ],
)
def test_faults_of_what_the_engine_carries_out(rig: Rig, name: str, with_: Any, faults: Any) -> None:
    assert rig.catalogue.faults(name, with_) == faults


# -- the catalogue


class GreetInput(ActionInput):
    who: str


class Greet(ActionBase):
    name: ClassVar[str] = "shop.greet"
    Input: ClassVar[type[BaseModel] | None] = GreetInput

    async def execute(self, call: Call) -> Any:
        return f"Hello {call.inputs.who}"


@pytest.mark.req("E-ACT-5")
async def test_plugins() -> None:
    made: list[int] = []

    def make() -> Greet:
        made.append(1)
        return Greet()

    catalogue = Catalogue({"shop.greet": make})
    assert made == []
    assert catalogue.names() == sorted([*BUILT_IN, "shop.greet"])
    inputs = catalogue.inputs("shop.greet", {"who": "Ada"})
    assert await catalogue.action("shop.greet").execute(Call(inputs)) == "Hello Ada"
    assert catalogue.action("shop.greet") is catalogue.action("shop.greet")
    assert made == [1]
    with pytest.raises(StepError) as caught:
        catalogue.inputs("shop.greet", {"whom": "Ada"})
    assert (caught.value.code, str(caught.value)) == (
        "invalid_input",
        "shop.greet: who: is required and missing; whom: unknown key `whom`; did you mean who?",
    )
    with pytest.raises(ReactorError) as taken:
        catalogue.register("http", make)
    assert str(taken.value) == "an action is called `http` already: a plugin cannot replace it"
    await catalogue.close()


def test_names() -> None:
    catalogue = Catalogue()
    assert catalogue.unknown("http") is None
    assert catalogue.unknown("htpp") == ("unknown_action", "unknown action `htpp`; did you mean http?")
    for name in UNAVAILABLE:
        code, message = catalogue.unknown(name) or ("", "")
        assert (code, message) == ("unavailable", f"the action `{name}` is not carried out by this version yet")
        with pytest.raises(StepError) as caught:
            catalogue.action(name)
        assert caught.value.code == "unavailable"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_schemas_are_json_schema(name: str) -> None:
    schema = Catalogue().schema(name)
    assert msgspec.json.decode(msgspec.json.encode(schema)) == schema
    for part in schema.values():
        jsonschema.Draft202012Validator.check_schema(part)


def test_schema_agrees_with_the_faults() -> None:
    catalogue = Catalogue()
    for name, with_ in [
        ("http", {"url": "http://x", "json": 1}),
        ("http", {"url": "http://x", "json": 1, "text": "a"}),
        ("http", {"url": "http://x", "connection": "c"}),
        ("http", {}),
        ("command", {"argv": ["a", 1]}),
        ("command", {"shell": "a", "grace": "5s"}),
        ("command", {"shell": "a", "grace": 5}),
        ("email", {"to": "a@b.c", "subject": "s", "text": "t"}),
        ("email", {"to": ["a@b.c"], "subject": "s", "text": "t"}),
    ]:
        valid = jsonschema.Draft202012Validator(catalogue.schema(name)["with"]).is_valid(with_)
        assert valid == (catalogue.faults(name, with_) == []), (name, with_)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://${{ inputs.host }}/x/${{ event.id }}", "https://${{ inputs.host }}"),
        ("${{ vars.base }}/x/${{ event.id }}", "${{ vars.base }}"),
        (
            "${{ inputs.scheme }}://${{ inputs.host }}:${{ inputs.port }}?q=${{ event.id }}",
            "${{ inputs.scheme }}://${{ inputs.host }}:${{ inputs.port }}",
        ),
        ("http://a.b/${{ event.id }}", "http://a.b"),
        ("http://x.${{ inputs.map['a/b'] }}/y", "http://x.${{ inputs.map['a/b'] }}"),
        ("${{ inputs.url }}", "${{ inputs.url }}"),
    ],
)
def test_which_part_decides_the_host(url: str, host: str) -> None:
    assert host_template({"url": url, "json": "${{ event.data }}"}) == host
    assert host_template({"connection": "c", "path": url}) == ""
