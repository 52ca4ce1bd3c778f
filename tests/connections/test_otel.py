"""Traces event → run → step, seen by the library's own in-memory exporter, and by a server that speaks OTLP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from reactor.app import App
from reactor.connections.otel import Off, tracing
from reactor.connections.otel_spans import Spans
from reactor.core.clock import SYSTEM
from reactor.core.errors import ConfigError
from reactor.core.event import Event
from reactor.language.loader import load_text

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FLOWS = {
    "ship": """
        workflow: ship
        version: 1.2.0
        when: [{event: shop.paid}]
        steps:
          - name: pack
            emit: {type: shop.packed, data: 1}
          - name: label
            log: {message: done}
    """,
    "tell": """
        workflow: tell
        when: [{workflow: ship}]
        steps: [{log: {message: shipped}}]
    """,
    "hear": """
        workflow: hear
        when: [{event: shop.told}]
        steps: [{log: {message: heard}}]
    """,
    "break": """
        workflow: break
        when: [{event: shop.broken}]
        steps:
          - name: fall
            command: {argv: ["false"]}
            retry: {attempts: 2, delay: 10ms}
    """,
    "outer": """
        workflow: outer
        when: [{event: shop.outer}]
        steps: [{name: call, run-workflow: {workflow: inner}}]
    """,
    "inner": """
        workflow: inner
        steps: [{name: say, log: {message: inside}}]
    """,
}


class Teller:
    """Nobody who tells."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Event], None]] = []
        self.current: Callable[[str, str, str], str] = lambda run, step, given: given
        self.traced: Callable[[str, str], bool] = lambda workflow, version: True


class Traced:
    """An app whose spans are kept."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.exporter = InMemorySpanExporter()

    def listen(self) -> None:
        telling = self.app.engine.telling
        self.spans = Spans(SimpleSpanProcessor(self.exporter), SYSTEM, self.app.store.id, traced=telling.traced)
        telling.listeners.append(self.spans.told)
        telling.current = self.spans.current
        self.app.intake.keyed.append(self.spans.accepted)

    async def emit(self, type: str, **extensions: str) -> None:
        await self.app.events_api.publish(
            [Event(type=type, source="/shop", id="o-1", subject="A1", data={}, extensions=extensions)]
        )

    async def until(self, *names: str) -> dict[str, ReadableSpan]:
        """The spans by name, once all of these have ended."""
        async with asyncio.timeout(15):
            while True:
                found = {span.name: span for span in self.exporter.get_finished_spans()}
                if set(names) <= set(found):
                    return found
                await asyncio.sleep(0.01)


def write_project(folder: Path) -> Path:
    (folder / "reactor.yaml").write_text("vars: {}\n")
    (folder / "workflows").mkdir()
    for name, text in FLOWS.items():
        lines = text.strip("\n").splitlines()
        (folder / "workflows" / f"{name}.yaml").write_text("\n".join(line[8:] for line in lines) + "\n")
    return folder


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[Traced]:
    async with App(":memory:", project=write_project(tmp_path)) as app:
        result = await app.load()
        assert not result.failed, str(result.diagnostics.items)
        found = Traced(app)
        found.listen()
        yield found
        await found.spans.close()


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def own(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


async def test_event_run_and_steps_are_one_trace_below_the_callers_span(traced: Traced) -> None:
    await traced.emit("shop.paid", traceparent=f"00-{TRACE}-{CALLER}-01")
    found = await traced.until("run ship", "step pack", "step label", "process shop.paid")
    event, run = found["process shop.paid"], found["run ship"]
    assert {f"{span.context.trace_id:032x}" for span in found.values() if span.context} == {TRACE}
    assert parent(event) == int(CALLER, 16)
    assert parent(run) == own(event)
    assert {parent(found[name]) for name in ("step pack", "step label")} == {own(run)}
    assert dict(attributes(event)) == {
        "cloudevents.event_id": "o-1",
        "cloudevents.event_source": "/shop",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "shop.paid",
        "cloudevents.event_subject": "A1",
        "reactor.event": attributes(event)["reactor.event"],
        "reactor.trigger": attributes(event)["reactor.trigger"],
    }
    text = attributes(run)["reactor.run"]
    assert dict(attributes(run)) == {
        "reactor.workflow": "ship",
        "reactor.workflow.version": "1.2.0",
        "reactor.run": text,
        "reactor.run.state": "completed",
        "reactor.correlation": attributes(event)["reactor.event"],
    }
    assert dict(attributes(found["step pack"])) == {
        "reactor.workflow": "ship",
        "reactor.run": text,
        "reactor.step": "pack",
        "reactor.attempt": 1,
        "reactor.step.state": "completed",
    }
    for span in (found["step pack"], found["step label"]):
        assert span.start_time is not None
        assert span.end_time is not None
        assert run.start_time is not None
        assert run.end_time is not None
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time + 1_000_000


async def test_what_a_completion_event_starts_joins_the_trace(traced: Traced) -> None:
    await traced.emit("shop.paid")
    found = await traced.until("run tell", "run ship", "process reactor.run.completed")
    assert len({span.context.trace_id for span in found.values() if span.context}) == 1
    assert parent(found["process shop.paid"]) is None
    assert parent(found["process reactor.run.completed"]) == own(found["run ship"])
    assert parent(found["run tell"]) == own(found["process reactor.run.completed"])


async def test_a_run_that_a_step_starts_is_in_the_trace(traced: Traced) -> None:
    await traced.emit("shop.outer")
    found = await traced.until("run outer", "run inner", "step say")
    assert len({span.context.trace_id for span in found.values() if span.context}) == 1


async def test_a_failed_step_carries_its_error_and_its_repetitions(traced: Traced) -> None:
    await traced.emit("shop.broken")
    found = await traced.until("run break", "step fall")
    step, run = found["step fall"], found["run break"]
    assert step.status.status_code is StatusCode.ERROR
    message = step.status.description
    assert (attributes(step)["error.type"], attributes(step)["reactor.attempt"]) == ("max_retries_exceeded", 2)
    assert [(event.name, dict(event.attributes or {})) for event in step.events] == [
        ("retry", {"reactor.attempt": 1, "error.type": "command.exit"}),
        ("exception", {"exception.type": "max_retries_exceeded", "exception.message": message}),
    ]
    assert (run.status.status_code, attributes(run)["reactor.run.state"]) == (StatusCode.ERROR, "failed")
    assert attributes(run)["error.type"] == "max_retries_exceeded"


SENDS = """
workflow: sends
when: [{{event: shop.sent}}]
trace: {trace}
on_error: compensate_all
steps:
  - name: call
    http: {{url: "{url}/call", method: POST}}
    compensate: {{uses: http, with: {{url: "{url}/undo", method: POST}}}}
  - name: told
    emit: {{type: shop.told}}
  - name: own
    http: {{url: "{url}/own", headers: {{traceparent: mine}}}}
  - name: env
    command: {{shell: 'printf %s "$TRACEPARENT"'}}
outputs: {{env: "${{{{ steps.env.output.stdout }}}}"}}
"""


@pytest.fixture
async def seen() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A server, and the `traceparent` that each of its paths was called with."""
    got: dict[str, str] = {}

    async def take(request: web.Request) -> web.Response:
        got[request.path] = request.headers.get("traceparent", "")
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{name}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", got
    await runner.cleanup()


async def sends(traced: Traced, url: str, trace: str) -> dict[str, Any]:
    """Run the workflow that sends; the run."""
    loaded = load_text(SENDS.format(url=url, trace=trace), "sends.yaml", traced.app.vocabulary())
    loaded.diagnostics.raise_errors()
    await traced.app.deploys.deploy(loaded.loaded, origin="test")
    event = Event(type="shop.sent", source="/s", id=trace, extensions={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    (receipt,) = await traced.app.events_api.publish([event])
    await traced.app.runs_api.outcome(receipt.runs[0])
    return await traced.app.get(receipt.runs[0])


async def told_event(traced: Traced) -> Mapping[str, Any]:
    """The event that the workflow emitted."""
    async with asyncio.timeout(15):
        while not (found := (await traced.app.events_api.list(type="shop.told"))["items"]):
            await asyncio.sleep(0.01)
    return found[0]


async def test_what_a_step_sends_is_below_its_own_span(traced: Traced, seen: tuple[str, dict[str, str]]) -> None:
    url, got = seen
    run = await sends(traced, url, "true")
    found = await traced.until("run sends", "step call", "step told", "step env")

    def of(name: str) -> str:
        return f"00-{TRACE}-{own(found[name]):016x}-01"

    assert got == {"/call": of("step call"), "/own": "mine"}
    assert run["outputs"] == {"env": of("step env")}
    assert (await told_event(traced))["traceparent"] == of("step told")
    assert traced.spans.current(run["id"], "call", "given") == "given"  # it has ended


async def test_a_workflow_without_a_trace_has_no_span_and_hands_on_what_it_was_given(
    traced: Traced, seen: tuple[str, dict[str, str]]
) -> None:
    url, got = seen
    given = f"00-{TRACE}-{CALLER}-01"
    run = await sends(traced, url, "false")
    assert got == {"/call": given, "/own": "mine"}
    assert run["outputs"] == {"env": given}
    assert (await told_event(traced))["traceparent"] == given
    await traced.emit("shop.paid")
    found = await traced.until("run ship")
    assert {name for name in found if "sends" in name or "step call" in name} == set()
    assert traced.spans._silent == set()


async def test_a_caller_that_does_not_sample_is_obeyed(traced: Traced) -> None:
    await traced.emit("shop.paid", traceparent=f"00-{TRACE}-{CALLER}-00")
    async with asyncio.timeout(15):
        while (await traced.app.runs(workflow="ship", state="completed"))["items"] == []:
            await asyncio.sleep(0.01)
    assert [span for span in traced.exporter.get_finished_spans() if span.name == "run ship"] == []


def test_another_process_gives_a_run_the_same_place() -> None:
    """Its event's span was sent before a crash; the run is told only afterwards, by a process that never saw it."""

    def run(spans: Spans) -> None:
        about = {"run": "01234567-1-9", "workflow": "ship", "version": "1", "state": "completed"}
        for state, ended in (("running", None), ("completed", "2026-03-01T10:00:02Z")):
            data = {**about, "state": state, "started_at": "2026-03-01T10:00:00Z", "ended_at": ended}
            more = {"runid": about["run"], "causationid": "e1-5", "correlationid": "e1-5"}
            spans.told(
                Event(type=f"reactor.run.{state}", source="/w", time="2026-03-01T10:00:01Z", data=data, extensions=more)
            )

    places: list[Any] = []
    for knows_the_event in (True, False):
        exporter = InMemorySpanExporter()
        spans = Spans(SimpleSpanProcessor(exporter), SYSTEM, "0123456789abcdef")
        if knows_the_event:
            spans.accepted(Event(type="t", source="/s", id="1"), (1 << 40) | 5)
            (event,) = exporter.get_finished_spans()
            exporter.clear()
            assert event.context is not None
            places.append((event.context.trace_id, event.context.span_id))
        run(spans)
        (span,) = exporter.get_finished_spans()
        assert span.context is not None
        assert span.parent is not None
        assert (span.context.trace_id, span.parent.span_id) == places[0]
        places.append((span.context.trace_id, span.context.span_id))
    assert places[1] == places[2]


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (
            {"kafkatopic": "orders", "kafkapartition": 3, "kafkaoffset": 77},
            {
                "messaging.system": "kafka",
                "messaging.destination.name": "orders",
                "messaging.destination.partition.id": "3",
                "messaging.kafka.offset": 77,
            },
        ),
        (
            {"natsstream": "ORDERS", "natssequence": 5},
            {"messaging.system": "nats", "messaging.destination.name": "ORDERS"},
        ),
    ],
)
def test_messages_of_brokers(extensions: dict[str, Any], expected: dict[str, Any]) -> None:
    exporter = InMemorySpanExporter()
    Spans(SimpleSpanProcessor(exporter), SYSTEM, "s").accepted(
        Event(type="t", source="/s", id="1", extensions=extensions), 5
    )
    (span,) = exporter.get_finished_spans()
    found = {key: value for key, value in attributes(span).items() if key.startswith("messaging.")}
    operation = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    assert found == {**expected, **operation, "messaging.message.id": "1"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
async def test_off_nobody_listens(environ: dict[str, str]) -> None:
    accepted: list[Any] = []
    teller = Teller()
    off = tracing(environ, SYSTEM, "s", teller, accepted)
    assert (type(off), teller.listeners, accepted) == (Off, [], [])
    assert teller.current("run", "step", "given") == "given"
    await off.close()


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "reactor.connections.otel_spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError) as caught:
        tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, SYSTEM, "s", Teller(), [])
    assert caught.value.code == "missing_extra"
    assert str(caught.value) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends traces is not installed: import of "
        "opentelemetry.exporter.otlp.proto.http.trace_exporter halted; None in sys.modules"
    )
    assert caught.value.hint == "pip install 'reactor-triggers[otel]', or unset it"


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[ExportTraceServiceRequest]]:
    """What a server that speaks OTLP over HTTP was sent; the environment names it."""
    got: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        got.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    yield got
    await runner.cleanup()


async def test_an_application_sends_its_traces_where_the_environment_says(
    collector: list[ExportTraceServiceRequest], tmp_path: Path
) -> None:
    async with App(":memory:", project=write_project(tmp_path)) as app:
        await app.load()
        await app.emit("shop.outer")
        async with asyncio.timeout(15):
            while (await app.runs(workflow="outer", state="completed"))["items"] == []:
                await asyncio.sleep(0.01)
    sent = {
        span.name
        for request in collector
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert {"process shop.outer", "run outer", "step call", "run inner", "step say"} <= sent


async def test_spans_are_sent_to_the_endpoint(collector: list[ExportTraceServiceRequest]) -> None:
    accepted: list[Any] = []
    spans = tracing(os.environ, SYSTEM, "s", Teller(), accepted)
    accepted[0](Event(type="shop.paid", source="/s", id="1"), 5)
    await spans.close()
    await spans.close()
    (sent,) = collector[0].resource_spans
    names = {each.key: each.value.string_value for each in sent.resource.attributes}
    assert names["service.name"] == "reactor"
    assert [span.name for scope in sent.scope_spans for span in scope.spans] == ["process shop.paid"]
