"""What `import reactor` gives: the public names alone, each loaded when it is first used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import reactor

SAMPLE = """
from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

from reactor import Retry, Workflow, WorkflowBuilder, action, on, parallel, step, wait


@dataclass
class Charge:
    charge_id: str


class ShipOrder(Workflow, version="1.2.0", on_error="compensate_all", when=[on.kafka("orders", match={"data": {}})]):
    @step(retry=Retry(attempts=5), timeout=10)
    async def charge(self, order_id: str, total: float) -> Charge:
        return Charge(order_id)

    @charge.compensate
    async def refund(self, charge: Charge) -> None: ...

    @step
    async def ship(self, charge: Charge) -> str:
        return charge.charge_id

    @ship.compensate(when="both", timeout=timedelta(seconds=3))
    def unship(self, ship: str | None) -> None: ...

    @step
    def inner(self, ship: str) -> None: ...

    confirmed = wait(event="order.confirmed", by="event.data.order_id", timeout=86_400, needs=[ship])
    both = parallel({"a": [inner], "b": {"note": action("log", message="x")}}, if_="inputs.total > 0.0")


def first(value: int) -> int:
    return value


async def check() -> None:
    assert_type(await ShipOrder().charge("A1", 2.0), Charge)
    assert_type(await ShipOrder.ship(Charge("c")), str)
    assert_type(WorkflowBuilder("w", tags=["a"]).step("a", first, timeout=1).build().name, str)


class Wrong(Workflow, versoin="1"):
    @step(retrys=3)
    def a(self) -> None: ...

    @step
    def b(self) -> None: ...

    @b.compensate(whn="both")
    def c(self) -> None: ...


ShipOrder().charge(1)
"""


def test_every_name_is_there() -> None:
    assert sorted(reactor.__all__) == reactor.__all__ == sorted(set(reactor.__all__))
    for name in reactor.__all__:
        assert getattr(reactor, name) is not None
    assert set(reactor.__all__) <= set(dir(reactor))
    with pytest.raises(AttributeError, match=r"^module 'reactor' has no attribute 'nothing'$"):
        _ = reactor.nothing


def test_importing_loads_nothing_else() -> None:
    heavy = ("reactor.", "msgspec", "pydantic", "asyncio")
    code = f"import sys, reactor; print([name for name in sys.modules if name.startswith({heavy})])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.slow
def test_types_of_users_are_checked(tmp_path: Path) -> None:
    root = Path(reactor.__file__).parent
    (tmp_path / "sample.py").write_text(SAMPLE)
    config = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": [f"{root}/.types"]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**config, "include": ["sample.py"]}))
    command = [sys.executable, "-P", "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line.strip().removeprefix(f"{tmp_path}/") for line in ran.stdout.splitlines() if " - error: " in line]
    untyped = (
        " - error: Untyped function decorator obscures type of function; ignoring decorator "
        "(reportUntypedFunctionDecorator)"
    )
    assert found == [
        "sample.py:48:7 - error: Incorrect keyword arguments for __init_subclass__ method (reportGeneralTypeIssues)",
        'sample.py:48:23 - error: No parameter named "versoin" (reportCallIssue)',
        'sample.py:49:6 - error: No overloads for "step" match the provided arguments',
        f"sample.py:49:6{untyped}",
        'sample.py:55:6 - error: No overloads for "compensate" match the provided arguments',
        f"sample.py:55:6{untyped}",
        'sample.py:59:1 - error: Argument missing for parameter "total" (reportCallIssue)',
    ]
