"""Workflow classes: everything that is wrong, told at once."""

import re
from abc import abstractmethod
from typing import Any

import pytest

from reactor import Retry, Workflow, action, branch, for_each, step, while_
from reactor.language.built_in import BUILT_IN
from reactor.language.diagnostics import InvalidDefinition
from reactor.language.python_mapping import coded
from reactor.tests.language.python_samples import tidy_up


def errors(cls: type[Workflow]) -> str:
    """The whole text of what is wrong, with the line numbers of this file relative to the class."""
    with pytest.raises(InvalidDefinition) as told:
        coded(cls).load(BUILT_IN)
    text = str(told.value).replace(__file__, "flow.py")
    first = cls.__workflow_place__[1]
    for number in range(first + 40, first - 1, -1):
        text = re.sub(rf"flow\.py:{number}\b", f"flow.py:+{number - first}", text)
    return text


@pytest.mark.req("E-DEF-5")
def test_no_step() -> None:
    class Empty(Workflow):
        def helper(self) -> None:
            pass

    assert errors(Empty) == (
        "error: the workflow `empty` has no step\n  --> flow.py:+0 (steps)\n  = help: write a method with @step"
    )


@pytest.mark.req("E-DEF-5")
def test_steps_without_implementation() -> None:
    class Hollow(Workflow):
        charge = step(timeout=3)
        ship: Any = step(None)

        @step
        @abstractmethod
        def tell(self) -> None:
            pass

        nothing: Any = step(3)

    assert errors(Hollow) == (
        "error: the step `charge` has no implementation: `step(…)` was not applied to a function\n"
        "  --> flow.py:+1 (steps.charge)\n"
        "  = help: write it above a method: @step(…)\n"
        "\n"
        "error: the step `ship` has no implementation: `step(…)` was not applied to a function\n"
        "  --> flow.py:+2 (steps.ship)\n"
        "  = help: write it above a method: @step(…)\n"
        "\n"
        "error: the step `tell` has no implementation: its method is abstract\n"
        "  --> flow.py:+4 (steps.tell)\n"
        "  = help: write it in the class that is registered\n"
        "\n"
        "error: the step `nothing` has no implementation: `3` was given in place of a function\n"
        "  --> flow.py:+9 (steps.nothing)\n"
        "  = help: give a function, a `Step` class or an action"
    )


def test_everything_at_once() -> None:
    inputs = {"order_id": "string", "ship": "string"}

    class Wrong(Workflow, version="one", on_error="stop", inputs=inputs, descripton=""):
        @step(retry=Retry(attempts=0), timeout=-1, tag=["x"])
        def charge(self, order_ids: str, ship: str) -> None:
            pass

        @step(if_="inputs.oder_id == ''")
        def ship(self, charge: Any, /) -> None:
            pass

    assert errors(Wrong) == (
        'error: "one" is not a version such as 1.2.0\n'
        "  --> flow.py:+0 (version)\n"
        "  = expected: a version such as 1.2.0\n"
        '  = found: the text "one"\n'
        "\n"
        "error: `on_error` must be one of compensate_all, compensate_failed, fail_fast, continue; "
        'found the text "stop"\n'
        "  --> flow.py:+0 (on_error)\n"
        "  = expected: compensate_all, compensate_failed, fail_fast, continue\n"
        '  = found: the text "stop"\n'
        "\n"
        "error: `descripton` is not a key of a workflow\n"
        "  --> flow.py:+0 (descripton)\n"
        "  = found: descripton\n"
        "  = help: did you mean description?\n"
        "\n"
        "error: the argument `order_ids` of `charge` is neither an input nor a step\n"
        "  --> flow.py:+1 (steps.charge)\n"
        "  = found: order_ids\n"
        "  = help: did you mean order_id?\n"
        "\n"
        "error: `attempts` must be from 1 to 10000; found 0\n"
        "  --> flow.py:+1 (steps.charge.retry.attempts)\n"
        "  = expected: from 1 to 10000\n"
        "  = found: 0\n"
        "\n"
        "error: `timeout`: the duration '-1s' is negative\n"
        "  --> flow.py:+1 (steps.charge.timeout)\n"
        "  = expected: a duration such as 10s or 1h30m\n"
        "  = found: -1s\n"
        "  = help: write a duration like 10s\n"
        "\n"
        "error: `tag` is not a key of a step\n"
        "  --> flow.py:+1 (steps.charge.tag)\n"
        "  = found: tag\n"
        "  = help: did you mean tags?\n"
        "\n"
        "error: the argument `charge` of `ship` can only be given by its place; arguments are given by name\n"
        "  --> flow.py:+5 (steps.ship)\n"
        "  = help: remove the `/` from the function's arguments\n"
        "\n"
        "error: `ship` is both an input and a step\n"
        "  --> flow.py:+5 (inputs.ship)\n"
        "  = help: rename one of them: an argument of this name could mean either\n"
        "\n"
        "error: the workflow has no input `oder_id`\n"
        "  --> flow.py:+5 (steps.ship.if)\n"
        "  = help: did you mean order_id?"
    )


def test_steps_that_wait_for_each_other() -> None:
    class Loop(Workflow):
        @step
        def first(self, second: Any) -> None:
            pass

        @step
        def second(self, first: Any) -> None:
            pass

        @step
        def third(self, third: Any) -> None:
            pass

    assert errors(Loop) == (
        "error: these steps wait for each other: first → second → first\n"
        "  --> flow.py:+1 (steps.first)\n"
        "  = found: first → second → first\n"
        "  = help: `first` reads `second`; `second` reads `first`\n"
        "\n"
        "error: the step `third` waits for itself: third → third\n"
        "  --> flow.py:+9 (steps.third)\n"
        "  = found: third → third\n"
        "  = help: `third` reads `third`"
    )


class Session:
    """Nothing that JSON could become."""


def test_inputs_that_cannot_be() -> None:
    class Inputs(Workflow):
        @step
        def first(self, client: Session, total: int, when: Any = object(), unit: str = "s") -> None:
            pass

        @step
        def second(self, total: str, unit: str = "ms") -> None:
            pass

    assert errors(Inputs) == (
        "error: the argument `client` of `first` is a Session, which JSON cannot become\n"
        "  --> flow.py:+1 (inputs.client)\n"
        "  = help: annotate it with a dataclass or a plain type, or name a step `client`\n"
        "\n"
        "error: the default of the argument `when` of `first` is a object, which has no JSON form\n"
        "  --> flow.py:+1 (inputs.when)\n"
        "  = help: give a plain default, or none\n"
        "\n"
        'error: the input `total` is {"type": "string"} in `second`, but {"type": "integer"} in `first`\n'
        "  --> flow.py:+5 (inputs.total)\n"
        "  = help: annotate it alike in both, or declare it in `inputs`\n"
        "\n"
        'error: the input `unit` has two defaults: "s" and "ms"\n'
        "  --> flow.py:+5 (inputs.unit)\n"
        "  = help: give it the same in every step"
    )


def test_values_without_a_json_form() -> None:
    class Strange(Workflow, metadata={"session": Session()}):
        note = action("log", {"message": "x", "fields": {"a": [Session()]}})

    assert errors(Strange) == (
        "error: `session` is a Session, which has no JSON form\n"
        "  --> flow.py:+0 (metadata.session)\n"
        "  = help: give text, numbers, true or false, and lists and mappings of them\n"
        "\n"
        "error: `0` is a Session, which has no JSON form\n"
        "  --> flow.py:+1 (steps.note.with.fields.a[0])\n"
        "  = help: give text, numbers, true or false, and lists and mappings of them"
    )


def test_blocks_that_are_not_carried_out_yet() -> None:
    class Later(Workflow):
        each = for_each("inputs.items", do=tidy_up, max_parallel=10)
        one = branch({"if": "true", "steps": [tidy_up]}, {"else": [tidy_up]})
        again = while_("index < 3", do=tidy_up)

    assert errors(Later) == (
        "error: `for_each` is not available in this version\n"
        "  --> flow.py:+1 (steps.each.for_each)\n"
        "  = found: for_each\n"
        "  = help: loop in a `python` step, or send an event for each item with `emit`\n"
        "\n"
        "error: `branch` is not available in this version\n"
        "  --> flow.py:+2 (steps.one.branch)\n"
        "  = found: branch\n"
        "  = help: use `if` and `unless` on the steps, or on a `group`\n"
        "\n"
        "error: `while` is not available in this version\n"
        "  --> flow.py:+3 (steps.again.while)\n"
        "  = found: while\n"
        "  = help: loop in a `python` step"
    )


def test_a_class_that_cannot_be_made() -> None:
    class Needy(Workflow):
        def __init__(self, client: Any) -> None:
            self.client = client

        @step
        def first(self) -> None:
            pass

    assert errors(Needy) == (
        "error: the class Needy cannot be made without arguments; each call of a step makes one\n"
        "  --> flow.py:+0\n"
        "  = help: give the arguments of `__init__` defaults"
    )


def test_a_process_needs_a_function_that_can_be_imported() -> None:
    class Local(Workflow):
        @step(isolation="process")
        def first(self) -> None:
            pass

    qualified = "test_a_process_needs_a_function_that_can_be_imported.<locals>.Local.first"
    assert errors(Local) == (
        f"error: `isolation: process` of `first`: another process cannot import `{qualified}` from `{__name__}`\n"
        "  --> flow.py:+1 (steps.first.isolation)\n"
        "  = help: put it at the top level of a module that is not the program itself"
    )
