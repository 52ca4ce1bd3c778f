"""Small workflows made by chance, whose end does not hang on who is faster: what they come to without a death is what
they must come to with one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Step = dict[str, Any]
LONG = "40h"  # what rests this long is ended by something else
LIMIT = "20h"  # of a run that is to be timed out


@dataclass
class Flow:
    """A workflow by chance, with what the outside does to it."""

    seed: int
    steps: list[Step] | dict[str, Step] = field(default_factory=list[Step])
    more: dict[str, Any] = field(default_factory=dict[str, Any])  # `on_error`, `timeout`, `limits`
    weak: set[str] = field(default_factory=set[str])
    tired: set[str] = field(default_factory=set[str])
    hangs: set[str] = field(default_factory=set[str])
    fails: set[str] = field(default_factory=set[str])
    once: set[str] = field(default_factory=set[str])  # steps that a death may leave without an end
    approvals: dict[str, bool] = field(default_factory=dict[str, bool])  # step → what the person says
    told: list[str] = field(default_factory=list[str])  # types of events that waits look for
    raised: int = 0  # how often the durable value is
    runs: int = 1
    superseded: bool = False  # its second run ends the first
    gated: bool = False  # its runs wait for a word that comes when all events are in
    pauses: bool = False
    limited: bool = False
    repeats: bool = False  # the sender says again in each life what was acknowledged
    rests: dict[str, str] = field(default_factory=dict[str, str])  # step that rests → how
    lies: bool = False  # what rests is ended by a failure beside it
    stop: str = ""  # who ends what rests: "person", "event", "limit"
    retried: bool = False  # once it has failed, what failed is mended, and a person says `retry`
    replayed: bool = False

    @property
    def text(self) -> str:
        """The workflow, with those that it calls and that hear of it."""
        return self._text(self.steps, self.more)

    @property
    def changed(self) -> str:
        """Another revision of it, as a reload may bring: runs that are under way keep theirs."""
        other = [{"name": "other", "fail": {"message": "the run was begun under another revision"}}]
        return self._text(other, {key: value for key, value in self.more.items() if key == "limits"})

    def _text(self, steps: list[Step] | dict[str, Step], more: dict[str, Any]) -> str:
        main = {
            "workflow": "main",
            "inputs": {"id": "string"},
            "when": [{"event": "order.new", "with": {"id": "${{ event.data.id }}"}}],
            "cancel_on": [{"event": "order.off", "by": "event.data.id"}],
            **more,
            "steps": steps,
        }
        return "\n---\n".join(json.dumps(each) for each in (main, *_OTHERS))


def _do(what: str, **more: Any) -> Step:
    return {"python": {"function": "m:do", "args": {"what": what}}, **more}


_ID = {"id": "string"}
_GIVEN = {"id": "${{ inputs.id }}"}
_SAID = {"id": "${{ event.data.id }}"}
_END = {"id": "${{ event.data.inputs.id }}", "state": "${{ event.type }}"}
_ENDS = ["completed", "failed", "cancelled", "compensated", "timed_out", "compensation_failed"]
_OTHERS: tuple[Step, ...] = (
    {
        "workflow": "child",
        "inputs": _ID,
        "outputs": {"made": "${{ steps.made.output }}"},
        "steps": [{"name": "made", **_do("made", compensate=_do("unmade"))}, {"name": "nap", "wait": {"for": "2s"}}],
    },
    {
        "workflow": "idle",
        "inputs": _ID,
        "steps": [
            {"name": "lit", **_do("lit", compensate=_do("put-out"))},
            {"name": "inner-rest", "wait": {"for": LONG}},
        ],
    },
    {"workflow": "broken", "inputs": _ID, "steps": [{"name": "a", **_do("begun", compensate=_do("undone"))},
                                                    {"name": "b", "fail": {"message": "broken", "code": "broken"}}]},
    {
        "workflow": "hears",
        "inputs": _ID,
        "when": [{"event": "order.said", "with": _SAID}],
        "steps": [{"name": "heard", **_do("heard")}],
    },
    {
        "workflow": "chained",
        "inputs": _ID,
        "when": [{"event": "order.chain", "with": _SAID}],
        "steps": [
            {"name": "link", **_do("link")},
            {"name": "on", "emit": {"type": "order.chain", "data": _GIVEN}},
        ],
    },
    {
        "workflow": "after",
        "inputs": {"id": "string", "state": "string"},
        "when": [{"workflow": "main", "state": _ENDS, "with": _END}],
        "steps": [{"name": "tell", **_do("tell")}],
    },
    {
        "workflow": "stopping",
        "inputs": {"id": "string"},
        "when": [{"event": "reactor.run.cancelling", "if": "event.data.workflow == 'main'",
                  "with": {"id": "${{ event.data.inputs.id }}"}}],
        "steps": [{"name": "saw", **_do("saw")}],
    },
)  # fmt: skip


class Maker:
    """Makes a flow of a seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._count = 0
        self.flow = Flow(seed)
        self._kinds: tuple[Callable[[str, int], Step], ...] = (
            self._call, self._call, self._weak, self._undone, self._computed, self._raised, self._said, self._nap,
            self._waits, self._late, self._asked, self._child, self._apart, self._skipped, self._joined, self._once,
            self._unanswered, self._slow, self._many, self._group, self._branches, self._limited, self._tried,
            self._tried,
        )  # fmt: skip

    def make(self) -> Flow:
        """A flow."""
        flow, chance = self.flow, self._chance
        shape = chance.random()
        if shape < 0.25:
            self._graph()
        elif shape < 0.35:
            self._gated()
        else:
            self._list_of_all()
        flow.pauses = chance.random() < 0.3 and not flow.limited
        flow.repeats = chance.random() < 0.3
        if flow.runs == 1 and chance.random() < 0.2:
            flow.replayed = not flow.stop
        if flow.runs == 1 and not flow.stop and flow.fails and not flow.lies:  # what rests would rest again
            flow.retried = chance.random() < 0.5
        return flow

    def _list_of_all(self) -> None:
        flow, chance = self.flow, self._chance
        steps = flow.steps = [self._step(0) for _ in range(chance.randint(2, 5))]
        end = chance.random()
        if end < 0.3:
            steps.append(self._broken())
        elif end < 0.65:
            steps += self._stopped()
        elif end < 0.7:
            steps.append({"name": "chain", "emit": {"type": "order.chain", "data": _GIVEN}})
        if chance.random() < 0.3:
            flow.runs = 2
            one = {"max": 1, "key": "inputs.id"}
            drop = {**one, "per": "200h", "overflow": "drop"}
            wide = {"throttle": {**one, "per": "90s"}} if flow.stop != "event" else {"throttle": drop}
            flow.more["limits"] = chance.choice([{"concurrency": one}, wide, {"throttle": drop}])

    def _gated(self) -> None:
        """Two events under a limit that lets one run alone be: the second comes while the first waits."""
        flow, chance = self.flow, self._chance
        gate = {"name": "gate", "wait": {"event": {"type": "order.go", "by": "event.data.id"}}}
        flow.steps = [gate, *(self._step(1) for _ in range(chance.randint(1, 2)))]
        flow.gated, flow.runs = True, 2
        overflow = chance.choice(["skip", "cancel_running", "queue"])
        flow.superseded = overflow == "cancel_running"
        flow.more["limits"] = {"concurrency": {"max": 1, "key": "inputs.id", "overflow": overflow}}

    def _stopped(self) -> list[Step]:
        """What rests until somebody ends the run."""
        flow, chance = self.flow, self._chance
        flow.stop = chance.choice(["person", "event", "limit"])
        if flow.stop == "limit":
            flow.more["timeout"] = LIMIT
        if chance.random() < 0.5:
            return [self._rest("rest")]
        branches = {"a": [self._call_named("r1"), self._rest("rest")], "b": [self._rest("rest2")]}
        return [{"name": "both", "parallel": {"branches": branches}}]

    def _call_named(self, name: str) -> Step:
        return {"name": name, **_do(name, compensate=_do(f"undo-{name}"))}

    def _rest(self, name: str, kinds: tuple[str, ...] = ("wait", "event", "asked", "child", "backoff", "hang")) -> Step:
        if "child" in self.flow.rests.values():  # of two, either may end first
            kinds = tuple(kind for kind in kinds if kind != "child")
        kind = self.flow.rests[name] = self._chance.choice(kinds)
        undo = {"compensate": {**_do(f"undo-{name}"), "when": self._chance.choice(["completed", "failed", "both"])}}
        more = undo if self._chance.random() < 0.5 else {}
        if kind == "wait":
            return {"name": name, "wait": {"for": LONG}, **more}
        if kind == "event":
            return {"name": name, "wait": {"event": {"type": "order.never", "by": "event.data.id"}}, **more}
        if kind == "asked":
            return {"name": name, "approval": {"message": "?", "approvers": ["bob"]}, **more}
        if kind == "child":
            return {"name": name, "run-workflow": {"workflow": "idle", "inputs": _GIVEN}, **more}
        if kind == "backoff":
            self.flow.tired.add(name)
            retry = {"attempts": 2, "delay": LONG, "max_delay": LONG, "jitter": False}
            return {"name": name, **_do(name, retry=retry), **more}
        self.flow.hangs.add(name)
        return {"name": name, **_do(name), **more}

    def _graph(self) -> None:
        """Steps beside one another, of which one fails, or all are stopped."""
        flow, chance = self.flow, self._chance
        p1 = {"p1": self._bare(self._undone("p1", 2))}
        if chance.random() < 0.4:
            flow.stop = chance.choice(["person", "event"])
            flow.steps = {**p1, "r": self._bare(self._rest("r")), "q": {"needs": ["p1"], **self._bare(self._rest("q"))},
                          "t": {"needs": ["r"], **_do("t")}}  # fmt: skip
            return
        policy = flow.more["on_error"] = chance.choice(["compensate_all", "compensate_failed", "fail_fast", "continue"])
        flow.fails.add("bad")
        bad = {"needs": ["p1"], **_do("bad", compensate={**_do("undo-bad"), "when": "both"})}
        kinds = {"fail_fast": ("wait", "event", "asked", "backoff"), "continue": ()}.get(
            policy, ("wait", "event", "asked")
        )
        beside = self._bare(self._rest("r", kinds)) if kinds else {"wait": {"for": "7s"}}
        flow.rests.clear()
        flow.lies = bool(kinds)
        flow.steps = {
            **p1,
            "bad": bad,
            "r": beside,
            "t": {"needs": ["r"], **_do("t")},
            "u": {"needs": ["bad"], **_do("u")},
        }
        if policy in ("compensate_all", "compensate_failed"):
            flow.steps["c"] = {"run-workflow": {"workflow": "child", "inputs": _GIVEN}}
            if chance.random() < 0.5:
                flow.weak.add("w")
                flow.steps["w"] = _do("w", retry={"attempts": 4, "delay": "35s", "jitter": False})

    def _bare(self, step: Step) -> Step:
        return {key: value for key, value in step.items() if key != "name"}

    def _name(self) -> str:
        self._count += 1
        return f"s{self._count}"

    def _step(self, depth: int) -> Step:
        kinds = self._kinds if depth < 2 else self._kinds[:10]
        name = self._name()
        return {"name": name, **self._chance.choice(kinds)(name, depth)}

    def _list(self, depth: int) -> list[Step]:
        return [self._step(depth + 1) for _ in range(self._chance.randint(1, 2))]

    def _broken(self) -> Step:
        name = self._name()
        self.flow.fails.add(name)
        return {"name": name, **_do(name)}

    def _caught(self, name: str, step: Step) -> Step:
        """A step whose failure is caught."""
        return {"try": {"steps": [step], "catch": [{"name": f"{name}-c", **_do(f"{name}-c")}]}}

    def _call(self, name: str, depth: int) -> Step:
        return _do(name)

    def _weak(self, name: str, depth: int) -> Step:
        self.flow.weak.add(name)
        return _do(name, retry={"attempts": 4, "delay": self._chance.choice(["5s", "35s"]), "jitter": False})

    def _undone(self, name: str, depth: int) -> Step:
        undo = f"undo-{name}"
        end = self._chance.random()
        if end < 0.2:
            self.flow.fails.add(undo)
        elif end < 0.4:
            self.flow.weak.add(undo)
            return _do(name, compensate=_do(undo, retry={"attempts": 3, "delay": "5s", "jitter": False}))
        return _do(name, compensate=_do(undo))

    def _computed(self, name: str, depth: int) -> Step:
        return {"transform": {"of": "${{ inputs.id }}", "size": "${{ size(inputs.id) }}"}}

    def _raised(self, name: str, depth: int) -> Step:
        self.flow.raised += 1
        return {"state": {"op": "increment", "key": "${{ inputs.id }}"}}

    def _said(self, name: str, depth: int) -> Step:
        return {"emit": {"type": "order.said", "data": {"id": "${{ inputs.id }}"}}}

    def _nap(self, name: str, depth: int) -> Step:
        return {"wait": {"for": self._chance.choice(["1s", "7s"])}}

    def _waits(self, name: str, depth: int) -> Step:
        type = f"order.{name}"
        self.flow.told.append(type)
        return {"wait": {"event": {"type": type, "by": "event.data.id"}, "timeout": "90h"}}

    def _late(self, name: str, depth: int) -> Step:
        """The event never comes."""
        on_timeout = self._chance.choice(["fail", "continue"])
        wait = {
            "wait": {"event": {"type": "order.never", "by": "event.data.id"}, "timeout": "3s", "on_timeout": on_timeout}
        }
        return wait if on_timeout == "continue" else self._caught(name, {"name": f"{name}-w", **wait})

    def _asked(self, name: str, depth: int) -> Step:
        gate = {"name": f"{name}-ok", "approval": {"message": "?", "approvers": ["ann"], "timeout": "90h"}}
        self.flow.approvals[f"{name}-ok"] = yes = self._chance.random() < 0.7
        return {"group": {"steps": [gate]}} if yes else self._caught(name, gate)

    def _unanswered(self, name: str, depth: int) -> Step:
        end = self._chance.choice(["approve", "reject"])
        gate = {"approval": {"message": "?", "timeout": "3s", "on_timeout": end}}
        return gate if end == "approve" else self._caught(name, {"name": f"{name}-a", **gate})

    def _slow(self, name: str, depth: int) -> Step:
        """A step, or a wait, over its time limit."""
        if self._chance.random() < 0.5:
            return self._caught(name, {"name": f"{name}-l", "wait": {"for": LONG}, "timeout": "3s"})
        self.flow.hangs.add(f"{name}-h")
        return self._caught(name, {"name": f"{name}-h", **_do(f"{name}-h"), "timeout": "50ms"})

    def _limited(self, name: str, depth: int) -> Step:
        """A block over its time limit, which a pause does not stop."""
        self.flow.limited = True
        inner = [{"name": f"{name}-l", "wait": {"for": LONG}}]
        return self._caught(name, {"name": f"{name}-g", "group": {"steps": inner}, "timeout": "4s"})

    def _child(self, name: str, depth: int) -> Step:
        if self._chance.random() < 0.6:
            return {"run-workflow": {"workflow": "child", "inputs": _GIVEN}}
        return self._caught(name, {"name": f"{name}-w", "run-workflow": {"workflow": "broken", "inputs": _GIVEN}})

    def _apart(self, name: str, depth: int) -> Step:
        """A child nobody waits for."""
        return {"run-workflow": {"workflow": "child", "inputs": _GIVEN, "mode": "detached"}}

    def _joined(self, name: str, depth: int) -> Step:
        """A child that is waited for later."""
        workflow = self._chance.choice(["child", "broken"])
        run = "${{ steps['" + name + "-b'].output.run }}"
        steps = [
            {"name": f"{name}-b", "run-workflow": {"workflow": workflow, "inputs": _GIVEN, "mode": "async"}},
            {"name": f"{name}-j", "wait": {"run": run}},
        ]
        if workflow == "child":
            return {"group": {"steps": steps}}
        return {"try": {"steps": steps, "catch": [{"name": f"{name}-c", **_do(f"{name}-c")}]}}

    def _once(self, name: str, depth: int) -> Step:
        self.flow.once |= {name, f"{name}-o"}
        step = {"name": f"{name}-o", **_do(f"{name}-o"), "at_most_once": True, "on_error": "continue"}
        return {"group": {"steps": [step]}}

    def _many(self, name: str, depth: int) -> Step:
        """Several changes at once: all, or none."""
        ops: list[Step] = [
            {"op": "increment", "key": "${{ inputs.id }}-m"},
            {"op": "set", "key": "${{ run.id }}", "value": 1},
        ]
        if self._chance.random() < 0.6:
            return {"state": {"ops": ops}}
        refused = {"op": "compare_and_set", "key": "${{ inputs.id }}-m", "expected": "no", "value": 0}
        return self._caught(name, {"name": f"{name}-m", "state": {"ops": [*ops, refused]}})

    def _skipped(self, name: str, depth: int) -> Step:
        return _do(name, **{"if": "size(inputs.id) == 0"})

    def _group(self, name: str, depth: int) -> Step:
        return {"group": {"steps": self._list(depth)}}

    def _branches(self, name: str, depth: int) -> Step:
        return {"parallel": {"branches": {"a": self._list(depth), "b": self._list(depth)}}}

    def _tried(self, name: str, depth: int) -> Step:
        steps = self._list(depth)
        if self._chance.random() < 0.7:
            steps.append(self._broken())
        found: Step = {"steps": steps, "catch": self._list(depth)}
        if self._chance.random() < 0.4:
            found["finally"] = self._list(depth)
        return {"try": found}
