"""Every bound of the system, named, with its unit last, and checked against the others at import."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# events
EVENT_BYTES_MAX = 1 * MIB  # one event, encoded: `server.limits.body`, a trigger's `max_bytes`
EVENT_DEPTH_MAX = 64  # nesting of its data: `server.limits.depth`
ANSWER_DEPTH_MAX = 500  # nesting of JSON that an action is answered, reads or is given by a program
EVENT_BATCH_MAX = 1_000  # events of one batched POST (semantics 1.10)
EVENT_HOPS_MAX = 16  # runs chained by events (semantics 7.5)
CAUSE_RUNS_MAX = 10_000  # runs of one correlationid (semantics 7.5)
FAN_OUT_RUNS_MAX = 1_000  # runs that one event starts (semantics 2.2)
EXTENSION_NAME_CHARS_MAX = 64
UNMATCHED_PER_S_MAX = 200  # events a second kept in the unmatched log, the rest is counted (semantics 1.4)
UNMATCHED_ROWS_MAX = 10_000
PATTERN_BRANCHES_MAX = 1_000  # branches of one pattern after its `$or` are multiplied out, as in EventBridge

# intake
INBOX_DELIVERIES_MAX = 1_024  # of one trigger: read and not yet durable
OUTBOX_INBOX_MAX = 1_024  # the outbox's own share
SETTLE_WAIT_S_MAX = 600.0  # `settle: completed` becomes `accepted` after this (semantics 1.6)
PENDING_RUNS_MAX = 100_000  # held runs of one workflow (semantics 5.9)

# store
GROUP_ROWS_MAX = 1_000
GROUP_BYTES_MAX = 1 * MIB
GROUP_S_MAX = 10.0  # a commit that takes longer is given up by the database
READ_TXN_S_MAX = 5.0
REFUSED_INPUT_S_MAX = 5.0  # new input waits so long for a store that refuses, then it is given back (semantics 1.8)
INLINE_BYTES_MAX = 64 * KIB  # a larger value is a blob (semantics 11.1)
BLOB_GRACE_S = 86_400.0
OUTPUT_BYTES_MAX = 64 * MIB  # one step's output: `server.limits.output`
OUTBOX_ROWS_MAX = 1_000_000
NODE_TTL_S = 5.0
SWEEP_S = 1.0
STATE_VALUE_BYTES_MAX = 64 * KIB

# engine
STEPS_MAX = 10_000  # of one definition
PARALLEL_LIMIT_DEFAULT = 10
NESTED_RUNS_MAX = 16  # run-workflow inside run-workflow: `depth_limit`
BACKOFF_TIMER_S = 1.0  # a retry's back-off over this is durable
RECOVERIES_MAX = 5  # semantics 4.8
RECOVERIES_ALONE = 3  # from here on such runs start one at a time
RECOVERY_ALONE_S = 60.0  # one that lives so long alone is innocent: the next starts beside it
CANCEL_GRACE_S = 10.0
WAIT_S_MAX = 366 * 86_400.0
PRIORITY_AGE_S = 60.0  # each counts as one level of priority (semantics 3.3)
MISFIRE_RUNS_MAX = 1_000
PARTIALS_MAX = 100_000

# expressions and definitions
EXPRESSION_BYTES_MAX = 4 * KIB
DEFINITION_BYTES_MAX = 4 * MIB  # one file of workflows
DEFINITION_DEPTH_MAX = 64

# faces
REQUEST_S_MAX = 30.0  # until an HTTP request is here whole, beside a second for each REQUEST_BYTES_PER_S_MIN
REQUEST_BYTES_PER_S_MIN = 32 * KIB
HEAD_BYTES_MAX = 64 * KIB  # of an HTTP request, and of what frames its body
STREAM_BUFFER_EVENTS = 10_000  # SSE: what a reconnect can ask for again
PAGE_ROWS_MAX = 500
EXPLAIN_RUNS_MAX = 1_000  # of a workflow, the newest that were there when an event came: which of them heard it?
CLOSE_S_MAX = 5.0  # a trigger's `close`

# plugins
IMPORT_S_MAX = 2.0  # of a plugin's module, trial and all: the loop may wait so long once, and must not lose its lease
TRIAL_S_MAX = 60.0  # of its first import, in a process of its own, until it counts as one that hangs
FILE_IMPORT_S_MAX = 20.0  # of a Python file among the workflows, until the others are read without it
CHECK_S_MAX = 600.0  # of the public suite over one kind or action
CHECK_TEST_S_MAX = 120.0  # of one test of it

assert EVENT_BATCH_MAX <= FAN_OUT_RUNS_MAX
assert INLINE_BYTES_MAX <= GROUP_BYTES_MAX
assert RECOVERIES_ALONE <= RECOVERIES_MAX
assert BACKOFF_TIMER_S <= WAIT_S_MAX
assert IMPORT_S_MAX < NODE_TTL_S
assert IMPORT_S_MAX < TRIAL_S_MAX
