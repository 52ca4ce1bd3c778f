"""What is counted and timed, under fixed names; the metrics page and the tracer read it.

Histograms are plain lists of bucket counts: observing costs well under a microsecond, and nothing is formatted until
asked. Labels are workflow, step and state, never an id. Names follow Prometheus' conventions: base units, `_total` for
counters.
"""

from __future__ import annotations

from bisect import bisect_left

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the duration buckets, in seconds."""

RUN_SECONDS = "reactor_workflow_execution_seconds"
STEP_SECONDS = "reactor_workflow_step_seconds"
EVENTS = "reactor_events_total"
DEAD_LETTERS = "reactor_dead_letters_total"
UNMATCHED_LEFT_OUT = "reactor_unmatched_left_out_total"
RUNS_OPEN = "reactor_runs_open"
RUNS_HELD = "reactor_runs_held"
STORE_REFUSING = "reactor_store_refusing"
BUS_REFUSING = "reactor_bus_refusing"
BUS_GIVEN_UP = "reactor_bus_given_up_total"
BUILD = "reactor_build_info"
LOOP_FAILURES = "reactor_loop_failures_total"
TRIGGER_STATE = "reactor_trigger_connected"
TRIGGER_MISSING = "reactor_trigger_missing"
TRIGGER_READ = "reactor_trigger_deliveries_total"
TRIGGER_UNSETTLED = "reactor_trigger_oldest_unsettled_seconds"


class Histogram:
    """Counts by bucket, sum and number of observations."""

    __slots__ = ("buckets", "count", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.count = 0
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """One duration."""
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.count += 1
        self.sum += seconds


class Telemetry:
    """Durations and ends of runs and steps since the start of the process."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], Histogram] = {}  # (workflow, state)
        self.steps: dict[tuple[str, str, str], Histogram] = {}  # (workflow, step, state)
        self.quiet: set[str] = set()  # workflows with `metrics: false`

    def run_ended(self, workflow: str, state: str, seconds: float) -> None:
        """A run ended in this state."""
        if workflow in self.quiet:
            return
        found = self.runs.get((workflow, state))
        if found is None:
            found = self.runs[workflow, state] = Histogram()
        found.observe(seconds)

    def step_ended(self, workflow: str, step: str, state: str, seconds: float) -> None:
        """A step ended in this state."""
        if workflow in self.quiet:
            return
        found = self.steps.get((workflow, step, state))
        if found is None:
            found = self.steps[workflow, step, state] = Histogram()
        found.observe(seconds)
