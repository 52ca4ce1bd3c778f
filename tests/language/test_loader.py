"""What a workflow file becomes: every key of the language, lists and mappings, short and long forms, documents."""

from dataclasses import replace
from pathlib import Path

import pytest

from reactor.core.errors import ErrorPlace
from reactor.core.limits import DEFINITION_BYTES_MAX
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import (
    CancelOn,
    Compensate,
    Concurrency,
    Group,
    Parallel,
    Reaction,
    Retry,
    Step,
    Steps,
    Throttle,
    TriggerSpec,
    Try,
    When,
    WorkflowDefinition,
    encode,
)
from reactor.language.diagnostics import InvalidDefinition
from reactor.language.loader import LoadCache, load_files, load_mapping, load_text
from reactor.tests.language.words import WORDS

WHOLE = """
workflow: ship-order
version: 1.2.0
description: Ship orders that were paid
tags: [orders, 1.10]
metadata: {team: shop}
inputs:
  order_id: string
  total: {type: number, minimum: 0}
  express: {type: boolean, default: false}
outputs: {tracking: "${{ steps.ship.output.tracking }}"}
labels: {order: "${{ inputs.order_id }}"}
when:
  - trigger: orders
    match: {data: {status: [paid]}}
    if: event.data.total > 1.5
    with: {order_id: "${{ event.data.order_id }}", total: "${{ event.data.total }}"}
  - http: {path: /orders, method: POST}
    settle: completed
    max_bytes: 64KiB
  - event: com.shop.order.*
    source: /shop
  - event: {type: com.shop.order.sent, subject: a}
  - workflow: charge-card@^1
    state: [failed, timed_out]
    with: {order_id: "${{ event.data.run }}", total: 1}
  - cron: {schedule: "*/30 * * * * *", overlap: skip, data: {order_id: x, total: 1}}
cancel_on:
  - {event: order.cancelled, by: event.data.order_id}
  - {trigger: orders, match: {data: {status: [void]}}, if: event.data.x == 1}
if: event.data.country in ["DE", "FR"]
unless: vars.dry_run
limits:
  concurrency: {max: 10, key: inputs.order_id, overflow: skip}
  throttle: [{max: 100, per: 1m}, {max: 5, per: 1s, overflow: drop}]
priority: high
timeout: 10m
on_error: fail_fast
parallel_limit: 8
retry: {attempts: 2, limit: 20}
metrics: false
trace: false
steps:
  charge:
    uses: http
    with: {url: "${{ vars.pay }}/charges"}
    if: inputs.total > 0
    unless: vars.dry_run
    retry:
      {attempts: 5, backoff: linear, delay: 200ms, factor: 3, max_delay: 30s, jitter: true,
       on: [timeout, http.5xx], if: error.code != "x"}
    timeout: 10s
    output: {type: object, required: [charge_id]}
    compensate: {when: both, if: output != null, http: {url: "${{ vars.pay }}/refunds"}, timeout: 5s, retry: {}}
    on_error: {"http.4xx": continue, timeout: {retry: {attempts: 2}}, "*": fail_fast}
    isolation: thread
    at_most_once: true
    parallel: false
    tags: [pay]
    intensity: 0
  ship: {needs: [charge], run-workflow: {workflow: ship@^1}}
  last: {needs: all, log: {message: done}}
"""


def one(text: str) -> WorkflowDefinition:
    result = load_text(text, "flow.yaml", WORDS)
    assert not result.diagnostics.errors, result.diagnostics.render()
    return result.loaded[0].definition


@pytest.mark.req("E-DEF-1")
@pytest.mark.req("E-DEF-6")
def test_head_of_a_workflow() -> None:
    got = one(WHOLE)
    assert replace_steps(got) == WorkflowDefinition(
        workflow="ship-order",
        steps=Steps(()),
        version="1.2.0",
        description="Ship orders that were paid",
        tags=("orders", "1.10"),
        metadata={"team": "shop"},
        inputs={
            "type": "object",
            "properties": {
                "order_id": {"type": "string"},
                "total": {"type": "number", "minimum": 0},
                "express": {"type": "boolean", "default": False},
            },
            "additionalProperties": False,
            "required": ["order_id", "total"],
        },
        outputs={"tracking": "${{ steps.ship.output.tracking }}"},
        labels={"order": "${{ inputs.order_id }}"},
        when=got.when,
        cancel_on=(
            CancelOn(event="order.cancelled", by="event.data.order_id"),
            CancelOn(trigger="orders", match={"data": {"status": ["void"]}}, if_="event.data.x == 1"),
        ),
        if_='event.data.country in ["DE", "FR"]',
        unless="vars.dry_run",
        concurrency=(Concurrency(10, "inputs.order_id", "skip"),),
        throttle=(Throttle(100, 60.0), Throttle(5, 1.0, overflow="drop")),
        priority=7,
        timeout_s=600.0,
        on_error="fail_fast",
        parallel_limit=8,
        retry=Retry(attempts=2),
        retry_limit=20,
        metrics=False,
        trace=False,
    )


def replace_steps(definition: WorkflowDefinition) -> WorkflowDefinition:
    fields = {name: getattr(definition, name) for name in definition.__struct_fields__}
    return WorkflowDefinition(**{**fields, "steps": Steps(())})


def test_entries_of_when() -> None:
    named, http, event, own, workflow, cron = one(WHOLE).when
    assert named == When(
        trigger="orders",
        match={"data": {"status": ["paid"]}},
        if_="event.data.total > 1.5",
        with_={"order_id": "${{ event.data.order_id }}", "total": "${{ event.data.total }}"},
    )
    assert http.spec == TriggerSpec(
        "http-74863f65", "http", {"path": "/orders", "method": "POST"}, "completed", max_bytes=65_536, inline=True
    )
    assert http == When(trigger="http-74863f65", spec=http.spec)
    assert event == When(event="com.shop.order.*", source="/shop")
    assert own == When(event="com.shop.order.sent", subject="a")
    assert workflow == When(
        workflow="charge-card@^1",
        states=("failed", "timed_out"),
        with_={"order_id": "${{ event.data.run }}", "total": 1},
    )
    assert cron.overlap == "skip"
    assert cron.spec is not None
    assert cron.spec.config["overlap"] == "skip"


@pytest.mark.req("E-DEF-13")
def test_every_key_of_a_step() -> None:
    charge, ship, last = one(WHOLE).steps.steps
    assert charge == Step(
        name="charge",
        uses="http",
        with_={"url": "${{ vars.pay }}/charges"},
        if_="inputs.total > 0",
        unless="vars.dry_run",
        retry=Retry(5, "linear", 0.2, 3.0, 30.0, True, ("timeout", "http.5xx"), 'error.code != "x"'),
        timeout_s=10.0,
        output={"type": "object", "required": ["charge_id"]},
        compensate=Compensate("http", {"url": "${{ vars.pay }}/refunds"}, "both", "output != null", Retry(), 5.0),
        on_error=(
            Reaction("http.4xx", "continue"),
            Reaction("timeout", "retry", Retry(attempts=2)),
            Reaction("*", "fail_fast"),
        ),
        at_most_once=True,
        isolation="thread",
        parallel=False,
        tags=("pay",),
        intensity=0.0,
    )
    assert ship == Step("ship", "run-workflow", {"workflow": "ship@^1"}, needs=("charge",))
    assert last == Step("last", "log", {"message": "done"}, needs_all=True)


def test_lists_and_blocks() -> None:
    got = one("""
workflow: a
steps:
  - log: {message: first}
  - name: halves
    parallel:
      branches:
        left: [{log: {message: l}}, {name: more, log: {message: m}}]
        right: {r: {log: {message: r}}}
  - try:
      steps: [{log: {message: t}}]
      catch: [{log: {message: "${{ error.code }}"}}]
      finally: {f: {log: {message: f}}}
    timeout: 5s
    tags: [x]
  - name: both
    group: {steps: [{log: {message: g}}]}
""")

    def log(name: str, message: str) -> Step:
        return Step(name, "log", {"message": message})

    assert got.steps == Steps(
        (
            log("step1", "first"),
            Step(
                "halves",
                block=Parallel(
                    {
                        "left": Steps((log("halves_left1", "l"), log("more", "m")), True),
                        "right": Steps((log("r", "r"),)),
                    }
                ),
            ),
            Step(
                "step3",
                block=Try(
                    Steps((log("step3_step1", "t"),), True),
                    Steps((log("step3_catch1", "${{ error.code }}"),), True),
                    Steps((log("f", "f"),)),
                ),
                timeout_s=5.0,
                tags=("x",),
            ),
            Step("both", block=Group(Steps((log("both_step1", "g"),), True))),
        ),
        True,
    )


def test_retry_of_the_workflow() -> None:
    def read(retry: str) -> tuple[Retry | None, int | None]:
        got = one(f"workflow: a\nretry: {retry}\nsteps: [{{log: {{message: a}}}}]")
        return got.retry, got.retry_limit

    assert read("{limit: 3}") == (None, 3)
    assert read("{}") == (Retry(), None)
    assert read("{limit: 3, delay: 2s}") == (Retry(delay_s=2.0), 3)


def test_a_default_written_out_is_the_default() -> None:
    short = one("workflow: a\nsteps: [{log: {message: a}}]")
    long = one(
        "workflow: a\nversion: 0.0.0\non_error: compensate_all\nparallel_limit: 10\nsteps: [{log: {message: a}}]"
    )
    assert encode(short) == encode(long)


def test_one_name_for_equal_triggers_in_place() -> None:
    short = one('workflow: a\nwhen: [{cron: "*/5 * * * *"}]\nsteps: [{log: {message: a}}]').when[0]
    long = one('workflow: b\nwhen: [{cron: {schedule: "*/5 * * * *"}}]\nsteps: [{log: {message: a}}]').when[0]
    other = one('workflow: b\nwhen: [{cron: {schedule: "*/6 * * * *"}}]\nsteps: [{log: {message: a}}]').when[0]
    assert short == long
    assert short.trigger == "cron-a00e3ffb"
    assert other.trigger != short.trigger


@pytest.mark.req("E-DEF-1")
def test_several_documents() -> None:
    result = load_text(
        "workflow: a\nsteps: [{log: {message: a}}]\n---\n---\nworkflow: b\nsteps: [{log: {message: b}}]",
        "f.yaml",
        WORDS,
    )
    assert [each.definition.name for each in result.loaded] == ["a", "b"]
    assert result.failed == set()


def test_a_good_document_beside_a_bad_one() -> None:
    result = load_text("workflow: a\nsteps: [{log: {message: a}}]\n---\nworkflow: b\nsteps: []", "f.yaml", WORDS)
    assert [each.definition.name for each in result.loaded] == ["a"]
    assert result.failed == {"f.yaml"}
    assert result.broken == set()


@pytest.mark.req("E-DEF-2")
def test_json_is_the_same() -> None:
    text = '{"workflow": "a", "version": "1.2.0", "steps": [{"log": {"message": "a"}}]}'
    assert one(text) == one("workflow: a\nversion: 1.2.0\nsteps: [{log: {message: a}}]")


def test_places_by_step_name() -> None:
    text = """workflow: a
steps:
  - name: first
    log: {message: a}
  - name: both
    group:
      steps:
        inner:
          uses: log
          with: {message: b}
"""
    places = load_text(text, "f.yaml", WORDS).loaded[0].places
    assert places["steps.first"] == ErrorPlace("f.yaml", 3, 5, "steps[0]")
    assert places["steps.first.with.message"] == ErrorPlace("f.yaml", 4, 20, "steps[0].log.message")
    assert places["steps.inner.with.message"].line == 10
    assert places["workflow"] == ErrorPlace("f.yaml", 1, 11, "workflow")
    assert list(places) == ["steps.first", "steps.both", "steps.inner"]


def test_plain_data() -> None:
    got = load_mapping({"workflow": "a", "steps": [{"log": {"message": "a"}, "if": False}]}, WORDS)
    assert got.steps.steps[0].if_ == "false"
    with pytest.raises(InvalidDefinition) as caught:
        load_mapping({"workflow": "a", "version": 1, "steps": {"b": {"lgo": {}}}}, WORDS)
    assert str(caught.value) == (
        "error: `version` must be a version such as 1.2.0; found the number 1\n"
        "  --> version\n"
        "  = expected: a version such as 1.2.0\n"
        "  = found: the number 1\n"
        "  = help: write it in quotes\n"
        "\n"
        "error: `lgo` is neither an action nor a key of a step\n"
        "  --> steps.b.lgo\n"
        "  = found: lgo\n"
        "  = help: did you mean log?"
    )


def test_without_a_project_nothing_of_it_is_checked() -> None:
    text = 'workflow: a\nwhen: [{trigger: x}]\nsteps: [{http: {connection: y, path: "${{ vars.z }}${{ secrets.w }}"}}]'
    assert not load_text(text, "f.yaml", BUILT_IN).diagnostics


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(f"workflow: {name}\nsteps: [{{log: {{message: a}}}}]")
    files = sorted(tmp_path.iterdir())
    cache = LoadCache()
    first = load_files(files, WORDS, cache)
    (tmp_path / "b.yaml").write_text("workflow: b\nsteps: [{log: {message: changed}}]")
    second = load_files(files, WORDS, cache)
    assert second.loaded[0] is first.loaded[0]
    assert second.loaded[1].definition.steps.steps[0].with_ == {"message": "changed"}
    again = load_files(files, replace(WORDS), cache)
    assert again.loaded[0] is first.loaded[0]
    third = load_files(files, replace(WORDS, timezone="Europe/Berlin"), cache)
    assert third.loaded[0] is not first.loaded[0]
    assert third.definitions == second.definitions


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    result = load_files([tmp_path / "none.yaml"], WORDS)
    assert result.failed == {str(tmp_path / "none.yaml")}
    assert result.diagnostics.render() == (
        "error: the file cannot be read: No such file or directory\n"
        f"  --> {tmp_path / 'none.yaml'}\n"
        "  = help: check that it exists, and who may read it"
    )


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_an_error_for_it_may_be_in_the_middle_of_being_written(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    result = load_files([file], WORDS)
    assert (result.loaded, result.failed) == ([], {str(file)})
    assert result.diagnostics.render() == (
        "error: the file is empty\n"
        f"  --> {file}\n"
        "  = help: write a workflow in it, or remove it: until then what it held stays in force"
    )
    file.write_text("# nothing yet\n")
    assert load_files([file], WORDS).failed == set()


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_file_over_the_limit_is_not_read(as_bytes: bool) -> None:
    text = "workflow: a\nsteps: [{log: {message: ok}}]\n"
    most = text + "#" * (DEFINITION_BYTES_MAX - len(text) - 1) + "\n"
    assert load_text(most, "a.yaml", WORDS).failed == set()
    over = "#" + most
    found = load_text(over.encode() if as_bytes else over, "a.yaml", WORDS)
    assert ([each.code for each in found.diagnostics.items], found.loaded, found.failed) == (
        ["too_large"],
        [],
        {"a.yaml"},
    )
    (error,) = found.diagnostics.items
    assert error.message == "the file has 4194305 bytes; at most 4MiB are read"
    assert error.hint == "split it: one file a workflow"
