"""What is lived through: one scenario for each way in which a run can wait, end, or lead to another."""

from __future__ import annotations

import contextlib
import itertools

from reactor.engine.signals import SignalRefused
from reactor.store.contract import RunState
from reactor.tests.crash.lives import Life, Outside, Scenario

ORDER = """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
on_error: compensate_all
outputs: {id: "${{ inputs.id }}"}
steps:
  - name: reserve
    python: {function: "m:do", args: {what: reserve}}
    compensate: {python: {function: "m:do", args: {what: release}}}
  - {name: price, transform: {total: "${{ size(inputs.id) }}"}}
  - name: charge
    python: {function: "m:do", args: {what: charge}}
    compensate: {python: {function: "m:do", args: {what: refund}}}
  - {name: ship, python: {function: "m:do", args: {what: ship}}}
---
workflow: after
inputs: {run: string}
when: [{workflow: order, state: [completed, failed, compensated], with: {run: "${{ event.data.run }}"}}]
steps: [{name: tell, python: {function: "m:do", args: {what: tell}}}]
---
workflow: counted
inputs: {id: string}
when: [{workflow: order, state: [completed], with: {id: "${{ event.data.outputs.id }}"}}]
steps: [{name: count, python: {function: "m:do", args: {what: count}}}]
"""


async def order(life: Life, id: str) -> None:
    """One event."""
    await life.post(id, "order.new", {"id": id})


def no_shipping(outside: Outside) -> None:
    """The last step fails for good."""
    outside.fails.add("ship")


COMPLETES = Scenario(
    "an event, a run, its completion event, a second run",
    ORDER,
    order,
    {"reserve": 1, "charge": 1, "ship": 1, "tell": 1, "count": 1},
    {"order": 1, "counted": 1},
)
COMPENSATES = Scenario(
    "a failure, handlers in reverse order, the event of that end",
    ORDER,
    order,
    {"reserve": 1, "charge": 1, "ship": 1, "refund": 1, "release": 1, "tell": 1},
    {"order": 1},
    no_shipping,
)

EMIT = Scenario(
    "emit: the event and the result are one unit",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: pack, python: {function: "m:do", args: {what: pack}}}
  - {name: say, emit: {type: order.packed, data: {id: "${{ inputs.id }}"}}}
  - {name: done, python: {function: "m:do", args: {what: done}}}
---
workflow: hear
inputs: {id: string}
when: [{event: order.packed, with: {id: "${{ event.data.id }}"}}]
steps: [{name: heard, python: {function: "m:do", args: {what: heard}}}]
""",
    order,
    {"pack": 1, "done": 1, "heard": 1},
    {"order": 1, "hear": 1},
)


async def counted_once(life: Life, id: str, outside: Outside) -> list[str]:
    """The durable value was raised once."""
    found = await life.rig.store._all("SELECT value FROM state WHERE key = ?", id)
    values = [bytes(row[0]).decode() if row[0] is not None else None for row in found]
    return [] if values == ["1"] else [f"the durable value is {values}, not 1"]


STATE = Scenario(
    "state: an operation and its result are one unit",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: first, python: {function: "m:do", args: {what: first}}}
  - {name: raise, state: {op: increment, key: "${{ inputs.id }}"}}
  - {name: last, python: {function: "m:do", args: {what: last}}}
""",
    order,
    {"first": 1, "last": 1},
    {"order": 1},
    judge=counted_once,
)

CHILD = Scenario(
    "a sub-workflow that its parent waits for",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: before, python: {function: "m:do", args: {what: before}}}
  - {name: inner, run-workflow: {workflow: child, inputs: {id: "${{ inputs.id }}"}}}
  - {name: later, python: {function: "m:do", args: {what: later, value: "${{ steps.inner.output.made }}"}}}
---
workflow: child
inputs: {id: string}
outputs: {made: "${{ steps.make.output }}"}
steps: [{name: make, python: {function: "m:do", args: {what: make}}}]
""",
    order,
    {"before": 1, "make": 1, "later": 1},
    {"order": 1, "child": 1},
)


async def paid(life: Life, id: str) -> None:
    """What the run waits for comes right behind."""
    await life.post(id, "order.new", {"id": id})
    await life.post(f"{id}-paid", "order.paid", {"id": id})


WAIT = Scenario(
    "a wait for an event, which may come before the wait looks back, or after",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: bill, python: {function: "m:do", args: {what: bill}}}
  - {name: paid, wait: {event: {type: order.paid, by: event.data.id}, timeout: 1h}}
  - {name: thank, python: {function: "m:do", args: {what: thank}}}
""",
    paid,
    {"bill": 1, "thank": 1},
    {"order": 1},
)


def weak_carrier(outside: Outside) -> None:
    """The carrier fails the first time it is asked."""
    outside.weak.add("call")


async def waited_long_enough(life: Life, id: str, outside: Outside) -> list[str]:
    """The back-off of 5 s was kept, whatever died meanwhile."""
    waited = outside.last["call"] - outside.last.get("retry.recorded", 0.0)
    return [] if waited >= 5.0 else [f"the second attempt came {waited:.1f} s after the back-off was recorded, not 5"]


RETRY = Scenario(
    "a retry whose back-off is durable",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: call, python: {function: "m:do", args: {what: call}}, retry: {attempts: 4, delay: 5s, jitter: false}}
  - {name: done, python: {function: "m:do", args: {what: done}}}
""",
    order,
    {"call": 1, "done": 1},
    {"order": 1},
    weak_carrier,
    waited_long_enough,
    virtual=True,
)


async def two(life: Life, id: str) -> None:
    """Two events that want the same place."""
    await life.post(f"{id}", "order.new", {"id": id})
    await life.post(f"{id}-b", "order.new", {"id": id})


HELD = Scenario(
    "runs of one key, one at a time: the second is held",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
limits: {concurrency: {max: 1, key: inputs.id}}
steps:
  - {name: first, python: {function: "m:do", args: {what: first}}}
  - {name: last, python: {function: "m:do", args: {what: last}}}
""",
    two,
    {"first": 2, "last": 2},
    {"order": 2},
    alone=("first", "last"),
)


async def apart(life: Life, id: str, outside: Outside) -> list[str]:
    """The two starts are a window apart."""
    times = sorted(outside.first.values())
    gaps = [b - a for a, b in itertools.pairwise(times)]
    return [f"the second run began {gap:.1f} s after the first, not 90" for gap in gaps if gap < 89.0]


THROTTLE = Scenario(
    "a throttle whose window outlives every process",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
limits: {throttle: {max: 1, per: 90s, key: inputs.id}}
steps: [{name: first, python: {function: "m:do", args: {what: first}}}]
""",
    two,
    {"first": 2},
    {"order": 2},
    judge=apart,
    virtual=True,
)


async def at_rest(life: Life) -> None:
    """Wait until what was begun is durable and a run waits: a step in flight, cancelled, has nothing to undo."""

    def rests() -> bool:
        runs = life.rig.engine.executor.runs.values()
        return life.dead or any(r.parked for r in runs) or not any(r.state is RunState.RUNNING for r in runs)

    await life.rig.until(rests)


async def called_off(life: Life, id: str) -> None:
    """A run begins, one is held behind it, both are cancelled by an event."""
    await two(life, id)
    await at_rest(life)
    await life.post(f"{id}-off", "order.off", {"id": id})


CANCELLED = Scenario(
    "cancel_on: the event and the cancels are one unit, for running and for held runs",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
cancel_on: [{event: order.off, by: event.data.id}]
limits: {concurrency: {max: 1, key: inputs.id}}
steps:
  - name: reserve
    python: {function: "m:do", args: {what: reserve}}
    compensate: {python: {function: "m:do", args: {what: release}}}
  - {name: rest, wait: {for: 1h}}
---
workflow: after
inputs: {run: string}
when: [{workflow: order, state: [cancelled], with: {run: "${{ event.data.run }}"}}]
steps: [{name: tell, python: {function: "m:do", args: {what: tell}}}]
""",
    called_off,
    {"reserve": 1, "release": 1, "tell": 2},
    {"order": 2},
)


async def stopped(life: Life, id: str) -> None:
    """A person cancels the run once it has taken its first effect."""
    await life.post(id, "order.new", {"id": id})
    runs = life.outside.acknowledged[id]
    await at_rest(life)
    with contextlib.suppress(SignalRefused):  # asked again, it is being compensated or has ended: 409
        await life.rig.runs.cancel(runs[0], reason="a test")


STOPPED = Scenario(
    "a cancel by a person: durable before it is carried out, asked again after a death",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - name: reserve
    python: {function: "m:do", args: {what: reserve}}
    compensate: {python: {function: "m:do", args: {what: release}}}
  - {name: rest, wait: {for: 1h}}
""",
    stopped,
    {"reserve": 1, "release": 1},
    {"order": 1},
)

ONCE = Scenario(
    "at_most_once: never called twice, though its outcome may be unknown",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
on_error: continue
steps:
  call: {python: {function: "m:do", args: {what: call}}, at_most_once: true}
  other: {python: {function: "m:do", args: {what: other}}}
""",
    order,
    {"call": 1, "other": 1},
    {"order": 1},
    at_most_once=("call",),
    maybe=("call",),
)

LARGE = Scenario(
    "a result that is kept apart, read by the next step; branches and a try beside it",
    """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: make, python: {function: "m:do", args: {what: make, value: 70000}}}
  - name: both
    parallel:
      branches:
        a: [{name: left, python: {function: "m:do", args: {what: left}}}]
        b: [{name: right, python: {function: "m:do", args: {what: right}}}]
  - name: risky
    try:
      steps: [{name: bad, python: {function: "m:do", args: {what: bad}}}]
      catch: [{name: mend, python: {function: "m:do", args: {what: mend}}}]
  - {name: use, python: {function: "m:do", args: {what: use, value: "${{ size(steps.make.output) == 70000 }}"}}}
""",
    order,
    {"make": 1, "left": 1, "right": 1, "bad": 1, "mend": 1, "use": 1},
    {"order": 1},
    lambda outside: outside.fails.add("bad"),
)

SCENARIOS = {
    "completes": COMPLETES,
    "compensates": COMPENSATES,
    "emit": EMIT,
    "state": STATE,
    "child": CHILD,
    "wait": WAIT,
    "retry": RETRY,
    "held": HELD,
    "throttle": THROTTLE,
    "cancel_on": CANCELLED,
    "cancelled": STOPPED,
    "at_most_once": ONCE,
    "large": LARGE,
}
