"""Workflows made for tests and measurements."""

from __future__ import annotations

from ..core.clock import SYSTEM
from ..language.builder import BuiltWorkflow, WorkflowBuilder

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


async def wait_and_number(number: int, seconds: float) -> int:
    """Take so many seconds, give the number back."""
    await SYSTEM.sleep(seconds)
    return number


def build_parallel_workflow(n: int, *, seconds: float = 1.0, name: str = "") -> BuiltWorkflow:
    """`n` independent steps of so many seconds each, all at once; its outputs are their numbers, in order.

    It is called `parallel_ten` for 10, `parallel_20` for 20. Source: requirement EX-14.
    """
    word = _WORDS[n - 1] if 0 < n <= len(_WORDS) else str(n)
    builder = WorkflowBuilder(
        name or f"parallel_{word}",
        description=f"{n} independent steps of {seconds:g} s",
        parallel_limit=max(n, 1),
        outputs={f"step_{number}": f"${{{{ steps.step_{number}.output }}}}" for number in range(1, n + 1)},
    )
    for number in range(1, n + 1):
        builder.step(f"step_{number}", wait_and_number, with_={"args": {"number": number, "seconds": seconds}})
    return builder.build()
