"""How far a run is: which steps are ready, which have ended, what a block makes of the ends inside it. Pure; no
clock, no store.

The executor tells it of ends (`ended`) and is told what may start. Recovery tells it of the same ends out of the
journal, so
there is one way through a plan. A *frame* is one part (the root, a branch, a `catch`) that is being carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..core.errors import ErrorInfo
from ..language.definition import OnError, Parallel, Try
from .plan import Node, Part, Plan
from .run import StepState, StepSummary

_P, _C, _F, _S, _X = StepState.PENDING, StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED


class Frame:
    """One part being carried out."""

    __slots__ = ("error", "error_at", "open", "part", "stopping", "under_way")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.open = len(part.nodes)  # nodes that have not ended
        self.under_way = 0  # nodes handed out and not ended
        self.stopping = False  # start nothing new here
        self.error: ErrorInfo | None = None
        self.error_at = -1  # the step it failed with


class Outcome:
    """What one end led to: steps that may start, steps to cancel, and whether the root is through."""

    __slots__ = ("cancel", "ready")

    def __init__(self) -> None:
        self.ready: list[int] = []
        self.cancel: list[int] = []


class Progress:
    """The state of every step of one run."""

    __slots__ = (
        "completed",
        "continued",
        "errors",
        "frames",
        "left",
        "lost",
        "on_error",
        "outputs",
        "over",
        "plan",
        "root",
        "skip_causes",
        "smooth",
        "states",
        "stopped",
    )

    def __init__(self, plan: Plan) -> None:
        size = len(plan.nodes)
        self.plan = plan
        self.on_error: OnError = plan.definition.on_error
        self.states: list[StepState] = [_P] * size
        self.outputs: list[Any] = [None] * size
        self.errors: list[ErrorInfo | None] = [None] * size
        self.left: list[int] = [0] * size
        self.skip_causes: dict[int, ErrorInfo] = {}
        self.continued: set[int] = set()  # failed, and `on_error: continue` said to go on
        self.completed: list[int] = []  # in order of completion: handlers run in reverse
        self.frames: list[Frame | None] = [None] * len(plan.parts)
        self.over: set[int] = set()  # blocks over their time limit
        self.stopped = False  # the whole run starts nothing new
        self.lost = 0  # steps of the root that ended undone: failed, cancelled, or skipped because of one
        self.smooth = True  # every step that has ended was completed: no need can be a bad one
        self.root: Frame | None = None

    # -- asked by the executor
    @property
    def through(self) -> bool:
        """Is nothing under way and nothing more to start?"""
        root = self.root
        return root is not None and root.under_way == 0 and (root.open == 0 or root.stopping or self.stopped)

    @property
    def failure(self) -> tuple[int, ErrorInfo] | None:
        """The step that failed the run, with its error."""
        root = self.root
        return (root.error_at, root.error) if root is not None and root.error is not None else None

    @property
    def failing(self) -> bool:
        """Did a failure stop the root, so that nothing new starts?"""
        return self.root is not None and self.root.error is not None and self.root.stopping

    def start(self) -> Outcome:
        """Open the root."""
        out = Outcome()
        self.root = self._open(self.plan.root, out)
        return out

    def stop(self) -> None:
        """Start nothing new anywhere."""
        self.stopped = True

    def open_block(self, index: int) -> Outcome:
        """A block is ready: open its first parts."""
        out = Outcome()
        node = self.plan.nodes[index]
        self.states[index] = StepState.RUNNING
        parts = [self.plan.parts[p] for p in node.parts]
        for part in parts if isinstance(node.step.block, Parallel) else parts[:1]:
            self._open(part, out)
        self._close_if_through(node, out)  # a block of no steps
        return out

    def ended(
        self, index: int, state: StepState, output: Any = None, error: ErrorInfo | None = None, *, reaction: str = ""
    ) -> Outcome:
        """A step ended. `reaction` is what its `on_error` said of a failure: continue, fail_fast, compensate or
        nothing.
        """
        out = Outcome()
        self._end(self.plan.nodes[index], state, output, error, reaction, out)
        return out

    def fail_block(self, index: int, error: ErrorInfo) -> Outcome:
        """A block is over its time limit: nothing new starts in it, what runs in it is cancelled, nothing is caught."""
        out = Outcome()
        node = self.plan.nodes[index]
        self.over.add(index)
        for part in node.parts:
            frame = self.frames[part]
            if frame is not None:
                frame.stopping = True
                frame.error, frame.error_at = error, index
                out.cancel += self.running_in(part)
        self._close_if_through(node, out)
        return out

    def withdraw(self, index: int) -> Outcome:
        """A step that was handed out never starts: its part, or the whole run, is stopping."""
        out = Outcome()
        node = self.plan.nodes[index]
        frame = self._frame(node)
        frame.under_way -= 1
        self.states[index] = _P
        self._close(frame, out)
        return out

    def running_in(self, part: int) -> list[int]:
        """Actions under way in a part and in the blocks inside it."""
        found: list[int] = []
        for index in self.plan.parts[part].nodes:
            if self.states[index] in (StepState.RUNNING, StepState.WAITING):
                node = self.plan.nodes[index]
                if node.parts:
                    for inner in node.parts:
                        found += self.running_in(inner)
                else:
                    found.append(index)
        return found

    # -- inside
    def _open(self, part: Part, out: Outcome) -> Frame:
        frame = self.frames[part.index] = Frame(part)
        for index, needs in part.needing:
            self.left[index] = needs
        for index in part.roots:
            self._hand_out(frame, index, out)
        return frame

    def _hand_out(self, frame: Frame, index: int, out: Outcome) -> None:
        if not (frame.stopping or self.stopped):
            frame.under_way += 1
            self.states[index] = StepState.RUNNING
            out.ready.append(index)

    def _end(
        self, node: Node, state: StepState, output: Any, error: ErrorInfo | None, reaction: str, out: Outcome
    ) -> None:
        index = node.index
        frame = self.frames[node.part]
        assert frame is not None
        if self.states[index] is not _P:
            frame.under_way -= 1
        frame.open -= 1
        self.states[index] = state
        self.outputs[index] = output
        self.errors[index] = error
        if state is _C:
            self.completed.append(index)
        else:
            self.smooth = False
            self.lost += frame is self.root and not (state is _S and error is None)
            self._not_completed(frame, node, state, error, reaction, out)
        for dependent in node.dependents:
            self.left[dependent] -= 1
            if not self.left[dependent]:
                if self.smooth:
                    self._hand_out(frame, dependent, out)
                else:
                    self._next(frame, dependent, out)
        if frame.part.owner >= 0:
            self._close(frame, out)

    def _not_completed(
        self, frame: Frame, node: Node, state: StepState, error: ErrorInfo | None, reaction: str, out: Outcome
    ) -> None:
        index = node.index
        if state is _S:
            if error is not None:
                self.skip_causes[index] = error
        elif reaction == "continue":
            self.continued.add(index)
        else:
            self._failed(frame, node, error, reaction, out)

    def _failed(self, frame: Frame, node: Node, error: ErrorInfo | None, reaction: str, out: Outcome) -> None:
        if frame.error is None:
            frame.error, frame.error_at = error, node.index
        policy = "compensate_all" if reaction == "compensate" else reaction or self.on_error
        if policy != "continue":
            frame.stopping = True
        if policy == "fail_fast":
            out.cancel += [i for i in self.running_in(frame.part.index) if i != node.index]

    def _next(self, frame: Frame, index: int, out: Outcome) -> None:
        """All that `index` waited for has ended: it starts, or is skipped because a need failed."""
        cause = self._bad_need(self.plan.nodes[index])
        if cause is None:
            self._hand_out(frame, index, out)
        elif not frame.stopping:
            self._end(self.plan.nodes[index], _S, None, cause, "", out)

    def _bad_need(self, node: Node) -> ErrorInfo | None:
        for dep in node.deps:
            state = self.states[dep]
            if (state is _F or state is _X) and dep not in self.continued:
                name = self.plan.nodes[dep].path
                return ErrorInfo(
                    "dependency_failed",
                    f"step `{node.path}` needs `{name}`, which failed",
                    "none",
                    node.path,
                    cause=self.errors[dep],
                )
            if state is _S and dep in self.skip_causes:
                return self.skip_causes[dep]
        return None

    def _frame(self, node: Node) -> Frame:
        frame = self.frames[node.part]
        assert frame is not None
        return frame

    def _close(self, frame: Frame, out: Outcome) -> None:
        if frame.part.owner >= 0 and self._through(frame):
            self._close_if_through(self.plan.nodes[frame.part.owner], out)

    def _through(self, frame: Frame) -> bool:
        return frame.under_way == 0 and (frame.open == 0 or frame.stopping or self.stopped)

    def _close_if_through(self, node: Node, out: Outcome) -> None:
        """The parts of a block have ended, or the next one is due (`catch`, `finally`), or it goes on."""
        if self.states[node.index] is not StepState.RUNNING:
            return
        opened = [f for f in (self.frames[p] for p in node.parts) if f is not None]
        if not all(self._through(f) for f in opened):
            return
        timed_out = node.index in self.over
        if isinstance(node.step.block, Try) and not timed_out and self._next_of_try(node, out):
            return
        error, at = self._error_of(node, opened)
        if error is None and self.stopped and any(f.open for f in opened):
            cause = ErrorInfo("cancelled", f"`{node.path}` was stopped with its run", "none", node.path)
            self._end(node, _X, None, cause, "", out)
        elif error is None:
            self._end(node, _C, self._output_of(node), None, "", out)
        else:
            reaction = reaction_of(node, error)
            self._end(node, _F, None, _in_block(error, self.plan.nodes[at].path), reaction, out)

    def _next_of_try(self, node: Node, out: Outcome) -> bool:
        """Open the `catch` of a failed try, or its `finally`; False if nothing is left to open."""
        by_name = {self.plan.parts[p].name: self.plan.parts[p] for p in node.parts}
        steps = self.frames[by_name["steps"].index]
        assert steps is not None
        if self.stopped:
            return False
        catch, final = by_name.get("catch"), by_name.get("finally")
        if steps.error is not None and catch is not None and self.frames[catch.index] is None:
            return not self._through(self._open(catch, out))
        if final is not None and self.frames[final.index] is None:
            return not self._through(self._open(final, out))
        return False

    def _error_of(self, node: Node, opened: list[Frame]) -> tuple[ErrorInfo | None, int]:
        """What a block fails with: a caught error counts no more; that of `finally` counts last."""
        if isinstance(node.step.block, Try) and node.index not in self.over:
            by_name = {f.part.name: f for f in opened}
            final, catch, steps = by_name.get("finally"), by_name.get("catch"), by_name["steps"]
            failed = [f for f in (final, catch, steps) if f is not None and f.error is not None]
            if catch is not None and catch.error is None:
                failed = [f for f in failed if f is final]
            if not failed:
                return None, -1
            error, *before = [cast("ErrorInfo", f.error) for f in failed]
            for earlier in before:
                error = error.after(earlier)
            return error, failed[0].error_at
        for frame in opened:
            if frame.error is not None:
                return frame.error, frame.error_at
        return None, -1

    def _output_of(self, node: Node) -> Any:
        """`parallel`: branch → (step → output); `try` and `group`: step → output."""
        if isinstance(node.step.block, Parallel):
            return {self.plan.parts[p].name: self._outputs(p) for p in node.parts}
        found: dict[str, Any] = {}
        for part in node.parts:
            if self.frames[part] is not None:
                found.update(self._outputs(part))
        return found

    def _outputs(self, part: int) -> dict[str, Any]:
        return {self.plan.nodes[i].name: self.outputs[i] for i in self.plan.parts[part].nodes}

    def caught(self, node: Node) -> ErrorInfo | None:
        """The error that is in scope for a step inside a `catch` (the innermost)."""
        part = self.plan.parts[node.part]
        while part.owner >= 0:
            owner = self.plan.nodes[part.owner]
            if part.name in ("catch", "finally") and isinstance(owner.step.block, Try):
                steps = self.frames[owner.parts[0]]
                return steps.error if steps is not None else None
            part = self.plan.parts[owner.part]
        return None

    def over_around(self, node: Node) -> Node | None:
        """The innermost block around a step that is over its time limit."""
        part = self.plan.parts[node.part]
        while part.owner >= 0 and part.owner not in self.over:
            part = self.plan.parts[self.plan.nodes[part.owner].part]
        return self.plan.nodes[part.owner] if part.owner >= 0 else None

    def percent(self) -> float:
        """Steps done among all steps of the root, in percent; those skipped by their `if` count, those that failed or
        needed one that did do not.
        """
        total = len(self.plan.root.nodes)
        if self.root is None:
            return 0.0
        return 100.0 * (total - self.root.open - self.lost) / total if total else 100.0


def percent_of(lines: Sequence[StepSummary]) -> float:
    """The same of a run that ended without being completed."""
    root = [line for line in lines if "/" not in line.name]
    done = [line for line in root if line.state == "completed" or (line.state == "skipped" and not line.cause)]
    return 100.0 * len(done) / len(root) if root else 0.0


def reaction_of(node: Node, error: ErrorInfo) -> str:
    """What a step's `on_error` says of an error, but for retries: the first pattern that matches it or one of its
    causes.
    """
    from ..core.errors import code_matches

    for reaction in node.reactions:
        if reaction.action != "retry" and any(code_matches(reaction.pattern, code) for code in error.codes()):
            return reaction.action
    return ""


def _in_block(error: ErrorInfo, path: str) -> ErrorInfo:
    """The error of a step as its block's: it keeps the step's own path."""
    return (
        error
        if error.step is not None
        else ErrorInfo(
            error.code,
            error.message,
            error.class_,
            path,
            error.attempt,
            error.cause,
            error.place,
            error.hint,
            error.details,
        )
    )
