"""`GET /metrics`: what the process counts, in the text format of Prometheus, under the names of core/telemetry.py.

Labels are workflow, step, state, trigger, kind, verdict and code: bounded, and never an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import __version__
from ..core import telemetry
from ..core.loops import LOOPS
from ..core.telemetry import BUCKETS_S, Histogram

if TYPE_CHECKING:
    from ..app import App

CONTENT_TYPE = CONTENT_TYPE_LATEST
PROCESS = ProcessCollector(registry=None)  # process_resident_memory_bytes, process_cpu_seconds_total, …
OWN = "reactor"  # the label of events of our own


def page(app: App) -> bytes:
    """The whole page."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(app))
    return generate_latest(registry)


class Families(Collector):
    """Reads the counters of an app when asked."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from self._work()
        yield from self._intake()
        yield from self._triggers()
        yield from self._loops()
        yield from self._process()

    def _work(self) -> Iterator[Metric]:
        app = self._app
        runs = HistogramMetricFamily(
            telemetry.RUN_SECONDS, "Runs that ended, from their start", labels=("workflow", "state")
        )
        for labels, histogram in app.telemetry.runs.items():
            _add(runs, labels, histogram)
        yield runs
        steps = HistogramMetricFamily(
            telemetry.STEP_SECONDS, "Steps that ended, from their start", labels=("workflow", "step", "state")
        )
        for labels, histogram in app.telemetry.steps.items():
            _add(steps, labels, histogram)
        yield steps
        yield GaugeMetricFamily(
            telemetry.RUNS_OPEN, "Runs that this process is stepping", value=len(app.engine.executor.runs)
        )
        held = GaugeMetricFamily(
            telemetry.RUNS_HELD, "Runs that wait for a place under a limit of their workflow", labels=("workflow",)
        )
        for workflow, count in app.engine.held.counts.items():
            held.add_metric((workflow,), count)
        yield held

    def _intake(self) -> Iterator[Metric]:
        app = self._app
        events = CounterMetricFamily(
            telemetry.EVENTS, "Events taken, by what became of them", labels=("trigger", "verdict")
        )
        for (trigger, verdict), count in app.counts.by_verdict.items():
            events.add_metric((trigger or OWN, verdict), count)
        yield events
        dead = CounterMetricFamily(telemetry.DEAD_LETTERS, "Dead letters, by reason", labels=("trigger", "code"))
        for (trigger, code), count in app.counts.dead_by_code.items():
            dead.add_metric((trigger or OWN, code), count)
        yield dead
        yield CounterMetricFamily(
            telemetry.UNMATCHED_LEFT_OUT,
            "Events that nobody wanted and no row was kept of",
            value=app.unmatched.left_out,
        )

    def _loops(self) -> Iterator[Metric]:
        failures = CounterMetricFamily(
            telemetry.LOOP_FAILURES, "Times that a part of the process failed and began again", labels=("loop",)
        )
        for name, count in LOOPS.failures.items():
            failures.add_metric((name,), count)
        yield failures

    def _process(self) -> Iterator[Metric]:
        app = self._app
        yield GaugeMetricFamily(
            telemetry.STORE_REFUSING,
            "1 while the store refuses new input",
            value=bool(app.store.refusing),
        )
        yield GaugeMetricFamily(
            telemetry.BUS_REFUSING, "1 while the bus takes no events: they wait", value=bool(app.outbox.bus_error)
        )
        yield CounterMetricFamily(
            telemetry.BUS_GIVEN_UP,
            "Events that the bus never gets, because too many waited",
            value=app.outbox.backlog.given_up,
        )
        build = GaugeMetricFamily(telemetry.BUILD, "1; the version is the label", labels=("version",))
        build.add_metric((__version__,), 1.0)
        yield build
        yield from PROCESS.collect()

    def _triggers(self) -> Iterator[Metric]:
        labels = ("trigger", "kind")
        connected = GaugeMetricFamily(telemetry.TRIGGER_STATE, "1 if the trigger reads its source", labels=labels)
        read = CounterMetricFamily(
            telemetry.TRIGGER_READ, "Events read, by what its source was told", labels=(*labels, "outcome")
        )
        oldest = GaugeMetricFamily(
            telemetry.TRIGGER_UNSETTLED, "Age of the oldest event that was read and is not settled", labels=labels
        )
        missing = GaugeMetricFamily(
            telemetry.TRIGGER_MISSING, "Topics that it names and that are not there", labels=labels
        )
        for status in self._app.supervisor.status():
            names = (status.name, status.kind)
            missing.add_metric(names, float(len(status.details.get("missing", ()))))
            connected.add_metric(names, 1.0 if status.state == "connected" else 0.0)
            read.add_metric((*names, "settled"), status.settled)
            read.add_metric((*names, "refused"), status.refused)
            oldest.add_metric(names, status.oldest_unsettled_s)
        yield connected
        yield missing
        yield read
        yield oldest


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*BUCKETS_S, float("inf")), histogram.buckets, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.sum)
