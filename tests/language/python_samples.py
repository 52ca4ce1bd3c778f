"""Workflows written in Python for the tests of the class form; at module level, so that their type hints resolve."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reactor import Retry, Step, Workflow, action, approval, emit, group, on, parallel, run_workflow, step, try_, wait


@dataclass
class Charge:
    """What a payment gave."""

    charge_id: str
    total: float


class ShipOrder(
    Workflow,
    version="1.2.0",
    description="Ship orders that were paid",
    tags=["orders", "eu"],
    metadata={"team": "shop"},
    on_error="fail_fast",
    timeout=600,
    parallel_limit=8,
    retry=Retry(limit=20),
    labels={"order": "${{ inputs.order_id }}"},
    limits={"throttle": {"max": 100, "per": timedelta(minutes=1)}},
    when=[on.kafka("orders", connection="broker", match={"data": {"status": ["paid"]}}, if_="event.data.total > 0")],
    cancel_on=[on.event("order.cancelled", by="event.data.order_id")],
):
    """Charges, ships and waits for the confirmation."""

    @step(retry=Retry(attempts=5, delay=0.2, on=["timeout", "http.5xx"]), timeout=10, on_error={"*": Retry(attempts=2)})
    async def charge(self, order_id: str, total: float) -> Charge:
        """Take the money."""
        return Charge(f"c-{order_id}", total)

    @charge.compensate(when="both", timeout=timedelta(seconds=3))
    async def refund(self, charge: Charge | None, order_id: str, error: Any) -> None:
        """Give it back."""

    @step
    def ship(self, charge: Charge, context: Any, express: bool = False) -> dict[str, str]:
        """Hand over the parcel."""
        return {"tracking": charge.charge_id}

    confirmed = wait(event="order.confirmed", by="event.data.order_id", timeout=86_400, needs=[ship])


SHIP_ORDER_YAML = """
workflow: ship-order
version: 1.2.0
description: Ship orders that were paid
tags: [orders, eu]
metadata: {team: shop}
on_error: fail_fast
timeout: 10m
parallel_limit: 8
retry: {limit: 20}
labels: {order: "${{ inputs.order_id }}"}
limits: {throttle: {max: 100, per: 1m}}
when:
  - kafka: {topic: orders, connection: broker}
    match: {data: {status: [paid]}}
    if: event.data.total > 0
cancel_on: [{event: order.cancelled, by: event.data.order_id}]
inputs:
  order_id: string
  total: number
  express: {type: boolean, default: false}
steps:
  charge:
    python:
      function: "ship-order:charge"
      args: {order_id: "${{ inputs.order_id }}", total: "${{ inputs.total }}"}
    retry: {attempts: 5, delay: 200ms, on: [timeout, http.5xx]}
    timeout: 10s
    on_error: {"*": {retry: {attempts: 2}}}
    compensate:
      when: both
      timeout: 3s
      python:
        function: "ship-order:charge.compensate"
        args: {charge: "${{ output }}", order_id: "${{ inputs.order_id }}", error: "${{ error }}"}
  ship:
    python:
      function: "ship-order:ship"
      args: {charge: "${{ steps.charge.output }}", express: "${{ inputs.express }}"}
  confirmed:
    wait: {event: {type: order.confirmed, by: event.data.order_id}, timeout: 1d}
    needs: [ship]
"""


def tidy_up(order_id: str) -> None:
    """A function from elsewhere."""


class Resource(Step):
    """A step that can be undone."""

    async def execute(self, order_id: str, context: Any) -> str:
        """Make it."""
        return f"r-{order_id}"

    async def compensate(self, context: Any, error: Any) -> None:
        """Remove it."""


class Blocks(Workflow, name="all-blocks"):
    """Every block and action that is carried out."""

    reserve = step(timeout=5)(Resource)

    @step
    def left(self, order_id: str) -> int:
        """In a branch."""
        return 1

    @step
    def right(self, left: int) -> int:
        """In the same branch, after the other."""
        return left + 1

    both = parallel(
        {"a": [left, right], "b": {"note": action("log", message="in b", tags=["quiet"], timeout=2)}},
        if_="inputs.order_id != ''",
    )
    safe = try_(
        [action("http", {"url": "http://localhost:1"}, name="call", retry=Retry(), output={"type": "object"})],
        catch=[action("log", {"message": "${{ error.message }}"})],
        finally_={"tidy": tidy_up},
        needs=[both],
    )
    together = group([emit("order.done", {"id": "${{ inputs.order_id }}"}, subject="s", name="tell")], tags=["x"])
    asked = approval("Ship?", approvers=["role:boss"], timeout=3600, on_timeout="approve", needs=["safe"])
    child = run_workflow(ShipOrder, {"order_id": "A1", "total": 1}, mode="detached", needs=[asked], unless="false")
    pause = wait(for_=30, needs="all")


BLOCKS_YAML = """
workflow: all-blocks
inputs: {order_id: string}
steps:
  reserve:
    python: {function: "all-blocks:reserve", args: {order_id: "${{ inputs.order_id }}"}}
    timeout: 5s
    compensate: {python: {function: "all-blocks:reserve", args: {order_id: "${{ inputs.order_id }}"}}}
  both:
    if: inputs.order_id != ''
    parallel:
      branches:
        a:
          - {name: left, python: {function: "all-blocks:left", args: {order_id: "${{ inputs.order_id }}"}}}
          - {name: right, python: {function: "all-blocks:right", args: {left: "${{ steps.left.output }}"}}}
        b:
          note: {log: {message: in b}, timeout: 2s, tags: [quiet]}
  safe:
    needs: [both]
    try:
      steps:
        - {name: call, http: {url: "http://localhost:1"}, retry: {}, output: {type: object}}
      catch: [{log: {message: "${{ error.message }}"}}]
      finally:
        tidy: {python: {function: "all-blocks:tidy", args: {order_id: "${{ inputs.order_id }}"}}}
  together:
    tags: [x]
    group:
      steps: [{name: tell, emit: {type: order.done, data: {id: "${{ inputs.order_id }}"}, subject: s}}]
  asked:
    needs: [safe]
    approval: {message: "Ship?", approvers: ["role:boss"], timeout: 1h, on_timeout: approve}
  child:
    needs: [asked]
    unless: "false"
    run-workflow: {workflow: ship-order, inputs: {order_id: A1, total: 1}, mode: detached}
  pause: {wait: {for: 30s}, needs: all}
"""


class Apart(Workflow):
    """Its steps run in other processes."""

    @step(isolation="process")
    async def where(self) -> int:
        """The number of the process."""
        return os.getpid()

    @where.compensate
    def undo(self, where: int, error: Any) -> None:
        """Nothing."""

    @step
    def after(self, where: int, fails: bool = False) -> list[int]:
        """The numbers of two processes."""
        if fails:
            raise ValueError("as asked")
        return [where, os.getpid()]
