"""Every named point between receipt and completion event, and what a death there leaves behind."""

from __future__ import annotations

POINTS: dict[str, str] = {
    "intake.submit": "an event was matched, its unit is about to be handed to the store: nothing is durable",
    "store.before_commit": "the rows of a group are written and not committed: nothing of them is durable",
    "store.after_commit": "a group is durable, and nobody has been told",
    "lane.before_statement": "a group that is one statement of PostgreSQL's is about to be sent: nothing is durable",
    "lane.after_statement": "a group of one statement is durable, and nobody has been told",
    "intake.durable": "an event and its runs are durable; the source is not told, no run has begun",
    "run.recovered": "a run is claimed and restored from its journal, and not yet carried on with",
    "run.admitted": "a held run has its place, durably, and has not begun",
    "step.call": "a step's inputs are ready, its action is about to be called",
    "step.called": "the action took effect, its result is in memory alone",
    "step.result": "a result is about to be written",
    "step.recorded": "a result is durable, what depends on it has not started",
    "retry.recorded": "the instant and the number of the next attempt are durable",
    "wait.noted": "a wait for an event is durable and has not looked back",
    "child.started": "the run of a `run-workflow` step is durable; its parent does not know it yet",
    "undo.result": "a handler took effect, its result is in memory alone",
    "undo.recorded": "a handler's result is durable, the next one has not started",
    "cancel.durable": "a cancel is durable and nothing of it is carried out",
    "run.end": "result, outcome and completion event are about to be written as one unit",
    "run.ended": "a run's end is durable; who waits for it is not told, its place not given on",
}
