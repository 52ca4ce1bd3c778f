"""Spans made of what intake and engine tell anyway: one an event, one a run, one a step.

Ids are derived from our own: an event's span from its key, a run's from its id. So a run that another process carried
on after a crash is still the child of its event, whose span was sent long ago. A trace id is the incoming
`traceparent`'s; else that of the run whose completion event started this one; else derived from the first event's key.
Source: W3C Trace Context; OpenTelemetry's conventions for CloudEvents and (in development) messaging.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from .. import __version__
from ..core.clock import Clock
from ..core.durations import parse_instant
from ..core.event import Event
from ..core.ids import event_text
from ..core.trace import parent_of

CHAINS_MAX = 10_000
"""Ended runs and accepted events whose trace is remembered, so that what follows from them joins it."""

_is_event_key = re.compile(r"e\d+-\d+").fullmatch
_FAULTS = ("failed", "timed_out", "compensated", "compensation_failed")


class _Ids(IdGenerator):
    """Gives the ids that were set just before: spans are started in one thread."""

    trace = 0
    span = 0

    def generate_span_id(self) -> int:
        """The one that was set."""
        return self.span

    def generate_trace_id(self) -> int:
        """The one that was set."""
        return self.trace


class _Step(NamedTuple):
    span: Span
    started_ns: int


class _Run:
    """A run whose end was not told yet."""

    __slots__ = ("span", "steps", "trace")

    def __init__(self, span: Span, trace: int) -> None:
        self.span = span
        self.trace = trace
        self.steps: dict[str, _Step] = {}


def exporting() -> SpanProcessor:
    """Sends in batches, in a thread of its own, over HTTP; what a slow receiver does not take is dropped and counted.

    Raises ValueError for a variable that cannot be read.
    """
    return BatchSpanProcessor(OTLPSpanExporter())


class Spans:
    """Listens, and hands finished spans to the processor."""

    def __init__(
        self,
        processor: SpanProcessor,
        clock: Clock,
        store_id: str,
        *,
        traced: Callable[[str, str], bool] = lambda workflow, version: True,
    ) -> None:
        self._clock = clock
        self._is_traced = traced
        self._silent: set[str] = set()  # open runs of workflows that say `trace: false`
        self._store = store_id[:8]
        self._ids = _Ids()
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "reactor"}))
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("reactor", __version__)
        self._runs: dict[str, _Run] = {}
        self._traces: OrderedDict[str, int] = OrderedDict()  # event's key or ended run → trace
        self._closed = False

    # -- events
    def accepted(self, event: Event, key: int) -> None:
        """An event is new and durable."""
        text = event_text(key)
        parent = self._cause(event)
        trace = parent.trace_id if parent is not None else self._trace_id(text)
        self._remember(text, trace)
        now = _ns(self._clock.now())
        attributes = {**_cloudevent(event), **_messaging(event), "reactor.event": text}
        if event.meta.get("trigger"):
            attributes["reactor.trigger"] = str(event.meta["trigger"])
        span = self._start(
            f"process {event.type}", (trace, self._span_id(text)), parent, SpanKind.CONSUMER, attributes, now
        )
        span.end(end_time=now)

    def _cause(self, event: Event) -> SpanContext | None:
        """What an event follows from: the run that sent it, or what its sender said."""
        run = str(event.extensions.get("runid", ""))
        if run in self._runs:
            return self._context(self._runs[run].trace, run)
        if run in self._traces:
            return self._context(self._traces[run], run)
        return _incoming(event)

    # -- what is sent on
    def current(self, run: str, step: str, given: str) -> str:
        """The `traceparent` of what a run, or a step of it, sends: its own span's, else the one that it was given."""
        known = self._runs.get(run)
        if known is None:
            return given
        context = (known.steps[step].span if step in known.steps else known.span).get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    # -- runs and steps
    def _is_silent(self, event: Event) -> bool:
        """Is this told of a run whose workflow says `trace: false`? It hands on what it was given, and has no span."""
        data: Any = event.data
        if not event.type.startswith(("reactor.run.", "reactor.step.")):
            return False
        run = str(data["run"])
        if run not in self._silent:
            if run in self._runs or self._is_traced(data["workflow"], data.get("version", "")):
                return False
            self._silent.add(run)
        if data.get("ended_at"):
            self._silent.discard(run)
        return True

    def told(self, event: Event) -> None:
        """Something happened to a run or a step."""
        if self._closed or self._is_silent(event):
            return
        data = event.data
        at = _ns(parse_instant(event.time or ""))
        if event.type.startswith("reactor.step."):
            self._step(event, data, at)
        elif event.type.startswith("reactor.run."):
            self._run(event, data, at)

    def _run(self, event: Event, data: Mapping[str, Any], at: int) -> None:
        state = str(data["state"])
        known = data["run"] in self._runs
        if not data.get("ended_at"):
            run = self._open(event, data, at)
            if known:
                run.span.add_event(f"run {state}", timestamp=at)
            return
        run = self._open(event, data, _ns(parse_instant(data["started_at"])) if data.get("started_at") else at)
        for step in run.steps.values():  # cut short with the run
            step.span.end(end_time=at)
        run.span.set_attribute("reactor.run.state", state)
        if state in _FAULTS:
            _fault(run.span, data.get("error"), state, at)
        run.span.end(end_time=at)
        del self._runs[data["run"]]
        self._remember(data["run"], run.trace)

    def _open(self, event: Event, data: Mapping[str, Any], at: int) -> _Run:
        """The run's span; begun now if this process sees the run for the first time."""
        text = str(data["run"])
        run = self._runs.get(text)
        if run is not None:
            return run
        parent = self._parent(event, text)
        trace = parent.trace_id if parent is not None else self._trace_id(text)
        attributes: dict[str, Any] = {"reactor.workflow": data["workflow"], "reactor.run": text}
        if "version" in data:
            attributes["reactor.workflow.version"] = data["version"]
        attributes["reactor.correlation"] = str(event.extensions.get("correlationid", ""))
        ids = (trace, self._span_id(text))
        span = self._start(f"run {data['workflow']}", ids, parent, SpanKind.INTERNAL, attributes, at)
        run = self._runs[text] = _Run(span, trace)
        return run

    def _parent(self, event: Event, run: str) -> SpanContext | None:
        """What started a run: an event, else the run or event at the head of its chain, else what its caller said."""
        incoming = _incoming(event)
        for name in ("causationid", "correlationid"):
            text = str(event.extensions.get(name, ""))
            if not text or text == run:
                continue
            if text in self._runs:
                return self._context(self._runs[text].trace, text)
            if text in self._traces or _is_event_key(text):
                trace = self._traces.get(text) or (incoming.trace_id if incoming else self._trace_id(text))
                return self._context(trace, text, incoming)
        return incoming

    def _step(self, event: Event, data: Mapping[str, Any], at: int) -> None:
        what, path = event.type.removeprefix("reactor.step."), str(data["step"])
        run = self._runs.get(data["run"]) or self._open(event, data, at)
        if what == "started":
            run.steps[path] = self._begin(run, event, data, at)
        elif what == "retrying" and path in run.steps:
            error: Mapping[str, Any] = data.get("error") or {}
            told = {"reactor.attempt": data["attempt"], "error.type": str(error.get("code", ""))}
            run.steps[path].span.add_event("retry", told, timestamp=at)
        elif "duration_ms" in data:
            length = round(data["duration_ms"] * 1_000_000)
            step = run.steps.pop(path, None) or self._begin(run, event, data, at - length)
            step.span.set_attribute("reactor.attempt", data["attempt"])
            step.span.set_attribute("reactor.step.state", what)
            if what == "failed":
                _fault(step.span, data.get("error"), what, at)
            step.span.end(end_time=step.started_ns + length)
        elif what == "compensated":
            run.span.add_event("step compensated", {"reactor.step": path}, timestamp=at)

    def _begin(self, run: _Run, event: Event, data: Mapping[str, Any], at: int) -> _Step:
        attributes = {
            "reactor.workflow": data["workflow"],
            "reactor.run": data["run"],
            "reactor.step": data["step"],
            "reactor.attempt": data["attempt"],
        }
        ids = (run.trace, self._span_id(f"{event.id}@{event.time}"))  # a run retried by hand takes a step again
        parent = run.span.get_span_context()
        return _Step(self._start(f"step {data['step']}", ids, parent, SpanKind.INTERNAL, attributes, at), at)

    # -- spans and ids
    def _start(
        self,
        name: str,
        ids: tuple[int, int],
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        at: int,
    ) -> Span:
        self._ids.trace, self._ids.span = ids
        context = set_span_in_context(NonRecordingSpan(parent)) if parent is not None else None
        kept = {key: value for key, value in attributes.items() if value not in (None, "")}
        return self._tracer.start_span(name, context=context, kind=kind, attributes=kept, start_time=at)

    def _context(self, trace: int, text: str, incoming: SpanContext | None = None) -> SpanContext:
        """The span of an event or run, as a parent; sampled as its trace is."""
        if incoming is not None:
            flags = incoming.trace_flags
        else:
            sampled = self._provider.sampler.should_sample(None, trace, text).decision.is_sampled()
            flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace, self._span_id(text), is_remote=True, trace_flags=flags)

    def _trace_id(self, text: str) -> int:
        return self._digest("trace", text, 16)

    def _span_id(self, text: str) -> int:
        return self._digest("span", text, 8)

    def _digest(self, what: str, text: str, size: int) -> int:
        body = f"{what} {self._store} {text}".encode()
        return int.from_bytes(hashlib.blake2b(body, digest_size=size).digest(), "big") or 1

    def _remember(self, text: str, trace: int) -> None:
        self._traces[text] = trace
        if len(self._traces) > CHAINS_MAX:
            self._traces.popitem(last=False)

    async def close(self) -> None:
        """Send what is left, and end: open runs go on elsewhere, and their spans with them. Safe twice."""
        if not self._closed:
            self._closed = True
            self._runs.clear()
            await asyncio.to_thread(self._provider.shutdown)


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _incoming(event: Event) -> SpanContext | None:
    """What `traceparent` says, if it says anything."""
    found = parent_of(str(event.extensions.get("traceparent", "")))
    if found is None:
        return None
    flags = TraceFlags(int(found.flags, 16) & TraceFlags.SAMPLED)
    return SpanContext(int(found.trace, 16), int(found.span, 16), is_remote=True, trace_flags=flags)


def _cloudevent(event: Event) -> dict[str, Any]:
    return {
        "cloudevents.event_id": event.id,
        "cloudevents.event_source": event.source,
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": event.type,
        "cloudevents.event_subject": event.subject,
    }


def _messaging(event: Event) -> dict[str, Any]:
    """Where a broker's message was."""
    known = event.extensions
    if "kafkatopic" in known:
        found: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.destination.name": known["kafkatopic"],
            "messaging.destination.partition.id": str(known.get("kafkapartition", "")),
            "messaging.kafka.offset": known.get("kafkaoffset"),
        }
    elif "natsstream" in known:
        found = {"messaging.system": "nats", "messaging.destination.name": known["natsstream"]}
    else:
        return {}
    found["messaging.operation.name"] = found["messaging.operation.type"] = "process"
    return {**found, "messaging.message.id": event.id}


def _fault(span: Span, error: Any, state: str, at: int) -> None:
    """Mark a span as failed, with the error that the history carries."""
    told: Mapping[str, Any] = msgspec.to_builtins(error) if error else {}
    code, message = str(told.get("code", state)), str(told.get("message", ""))
    span.set_status(Status(StatusCode.ERROR, message or state))
    span.set_attribute("error.type", code)
    span.add_event("exception", {"exception.type": code, "exception.message": message}, timestamp=at)
