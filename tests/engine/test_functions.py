"""Registered workflows and their functions: what is refused, whose code runs, what a step is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import msgspec
import pytest
from pydantic import BaseModel

from reactor import ConfigError, Step, StepError, Workflow, WorkflowBuilder, step
from reactor.engine.actions.catalogue import Catalogue
from reactor.engine.actions.contract import Call
from reactor.engine.actions.python import PythonAction
from reactor.engine.functions import Functions
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import Loaded, decode, encode
from reactor.language.diagnostics import InvalidDefinition
from reactor.testing.action_suite import LentServices


@dataclass
class Charge:
    charge_id: str


class Parcel(TypedDict):
    tracking: str


class Receipt(BaseModel):
    number: int


class Note(msgspec.Struct):
    text: str


class ShipOrder(Workflow, version="1.2.0"):
    @step
    async def charge(self, order_id: str) -> Charge:
        return Charge(f"c-{order_id}")

    @charge.compensate
    async def refund(self, charge: Charge) -> str:
        return charge.charge_id

    @step
    def ship(self, charge: Charge) -> Parcel:
        return {"tracking": charge.charge_id + "-p"}

    @step
    async def receipt(self, ship: Parcel, number: int = 7) -> Receipt:
        return Receipt(number=number)

    @step
    async def note(self, receipt: Receipt, context: Any) -> Note:
        return Note(f"{receipt.number} {context.idempotency_key}")

    @step
    def plain(self, note: Note) -> list[str]:
        return [note.text]


@pytest.fixture
def functions(tmp_path: Path) -> Functions:
    return Functions(tmp_path)


async def called(functions: Functions, reference: str, args: dict[str, Any], *, output: Any = None) -> Any:
    """What `python` gives back."""
    action = PythonAction()
    services = LentServices()
    services.function = functions.function
    context = {"inputs": args, "output": output}
    inputs = Catalogue().inputs("python", {"function": reference, "args": args})
    try:
        return await action.execute(Call(inputs, key="k1", services=services, undo=output is not None, context=context))
    finally:
        await action.close()


async def test_results_come_back_as_the_annotated_type(functions: Functions) -> None:
    functions.register(ShipOrder)
    charge = await called(functions, "ship-order:charge", {"order_id": "A1"})
    assert charge == {"charge_id": "c-A1"}
    parcel = await called(functions, "ship-order:ship", {"charge": charge})
    assert parcel == {"tracking": "c-A1-p"}
    receipt = await called(functions, "ship-order:receipt", {"ship": parcel})
    assert receipt == {"number": 7}
    note = await called(functions, "ship-order:note", {"receipt": receipt})
    assert note == {"text": "7 k1"}
    assert await called(functions, "ship-order:plain", {"note": note}) == ["7 k1"]
    assert await called(functions, "ship-order:charge.compensate", {"charge": charge}) == "c-A1"


async def test_a_wrong_argument_is_told(functions: Functions) -> None:
    functions.register(ShipOrder)
    with pytest.raises(StepError) as told:
        await called(functions, "ship-order:charge", {"order_id": 3})
    assert told.value.code == "invalid_input"
    assert str(told.value) == "argument `order_id` of ship-order:charge: expected text (str); found 3 (int)"


class MyStep(Step):
    """Makes a resource, and removes it."""

    resources: ClassVar[list[str]] = []

    def validate_input(self, context: Any) -> Any:
        return "no name" if context.inputs.get("name") == "" else None

    async def execute(self, context: Any, name: str) -> str:
        self.resources.append(name)
        return name

    async def compensate(self, context: Any, error: Any) -> None:
        self.resources.remove(context.output)


@pytest.mark.req("E-STEP-1")
@pytest.mark.req("EX-13")
async def test_a_step_class(functions: Functions) -> None:
    built = WorkflowBuilder("made").step("my_step", MyStep).build()
    loaded = functions.register(built)
    assert loaded.definition.steps.steps[0].compensate is not None
    assert functions.function("made:my_step") is MyStep
    assert await called(functions, "made:my_step", {"name": "123"}) == "123"
    assert MyStep.resources == ["123"]
    await called(functions, "made:my_step", {"name": "123"}, output="123")
    assert MyStep.resources == []
    with pytest.raises(StepError) as told:
        await called(functions, "made:my_step", {"name": ""})
    assert str(told.value) == "made:my_step refused the input: no name"


@pytest.mark.req("E-DEF-3")
def test_what_can_be_registered(functions: Functions) -> None:
    loaded = functions.register(ShipOrder)
    assert isinstance(loaded, Loaded)
    assert functions.register(loaded) is loaded
    plain = decode(encode(loaded.definition))
    assert functions.register(plain).definition is plain
    built = WorkflowBuilder("one").step("a", lambda: 1).build()
    assert functions.register(built).definition == built
    assert functions.function("one:a")() == 1
    with pytest.raises(ConfigError) as told:
        functions.register({"workflow": "x"})
    assert str(told.value) == "a workflow is a class, what a builder built, or a definition; found a dict"
    assert told.value.hint == "derive the class from reactor.Workflow, or call `build()`"


def test_names(functions: Functions) -> None:
    loaded = functions.register(ShipOrder)
    for each in ("ship-order", ShipOrder, loaded, loaded.definition):
        assert functions.name_of(each) == "ship-order"
    for each in (3, str, object()):
        with pytest.raises(ConfigError) as told:
            functions.name_of(each)
        assert str(told.value) == (
            f"a workflow is given by its name, class or definition; found a {type(each).__name__}"
        )


def test_an_error_registers_nothing(functions: Functions) -> None:
    class Broken(Workflow):
        @step
        def fine(self) -> None:
            pass

        hollow = step(timeout=1)

    with pytest.raises(InvalidDefinition):
        functions.register(Broken)
    with pytest.raises(StepError) as told:
        functions.function("broken:fine")
    assert told.value.code == "unknown_action"


def versions() -> tuple[type[Workflow], type[Workflow]]:
    class Old(Workflow, name="two", version="1.0.0"):
        @step
        def shared(self) -> str:
            return "old"

        @step
        def gone(self) -> str:
            return "gone"

    class New(Workflow, name="two", version="1.10.0"):
        @step
        def shared(self) -> str:
            return "new"

    return Old, New


@pytest.mark.rule("10.5")
@pytest.mark.parametrize("backwards", [False, True])
def test_the_newest_code_runs(functions: Functions, backwards: bool) -> None:
    for each in reversed(versions()) if backwards else versions():
        functions.register(each)
    assert functions.function("two:shared")() == "new"
    assert functions.function("two:gone")() == "gone"


def test_the_same_version_again_replaces_the_code(functions: Functions) -> None:
    for answer in (1, 2):
        functions.register(WorkflowBuilder("again").step("a", lambda answer=answer: answer).build())
    assert functions.function("again:a")() == 2


def test_functions_that_nobody_registered(functions: Functions, tmp_path: Path) -> None:
    functions.register(ShipOrder)
    (tmp_path / "steps_of_project.py").write_text("def fetch():\n    return 1\n")
    assert functions.function("steps_of_project:fetch")() == 1
    with pytest.raises(StepError) as told:
        functions.function("ship-order:chrage")
    assert str(told.value) == "`ship-order:chrage`: this program registered no step `chrage` of `ship-order`"
    assert told.value.hint == "did you mean ship-order:charge?"
    with pytest.raises(StepError) as told:
        functions.function("other-order:charge")
    assert str(told.value) == "`other-order:charge`: this program registered nothing of `other-order`"
    assert told.value.hint == "register its class before the app opens: app.register(…)"
    with pytest.raises(StepError) as told:
        functions.function("steps_of_project:fetsh")
    assert str(told.value) == "`steps_of_project:fetsh`: module `steps_of_project` has no `fetsh`"


def test_the_project_is_asked_at_each_registration(tmp_path: Path) -> None:
    asked: list[int] = []

    def catalogue() -> Any:
        asked.append(1)
        return BUILT_IN

    functions = Functions(tmp_path, catalogue)
    functions.register(ShipOrder)
    functions.register(ShipOrder)
    assert len(asked) == 2


def test_a_registered_reference_is_a_good_one() -> None:
    faults = Catalogue().faults
    for reference in ("ship-order:charge", "shop.ship-order:charge.compensate", "shop.orders:charge"):
        assert faults("python", {"function": reference}) == []
    assert faults("python", {"function": "ship order:charge"}) == [
        ("function", "expected module:name, such as shop.orders:charge; found 'ship order:charge'")
    ]
