"""A definition written out and loaded again is equal, as YAML and as JSON, whatever is in it."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reactor.core.durations import format_duration
from reactor.core.errors import ConfigError
from reactor.language.definition import Retry, Step, Steps, WorkflowDefinition, encode
from reactor.language.documents import load_document
from reactor.language.export import dump_yaml, to_json, to_mapping, to_yaml
from reactor.language.loader import load_mapping, load_text
from reactor.tests.language.words import WORDS

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    [
        "on",
        "yes",
        "No",
        "null",
        "~",
        "1e3",
        "0o17",
        "0x1F",
        "1.10",
        "12:30:45",
        "2026-01-01",
        "- a",
        "a: b",
        "a #b",
        "!x",
        "*a",
        "&a",
        "{a",
        "[a",
        "'",
        '"',
        "%",
        "@",
        "`",
        "a\nb",
        "a\n\nb\n",
        " a\nb",
        "a \nb",
        "\na",
        "a\n",
        "\t",
        "\ttab\nb",
        "=",
        "<<",
        "?",
        "",
        "${{ inputs.total }}",
        "x ${{ inputs.name }} y",
        "$${{ no",
        "| a",
        "> b",
        "é\u2028b",
        "\u00a0",
        "\ufeffa",
        "😀",
        "a\r\nb",
        "\x07",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
DURATIONS = st.integers(1_000, 86_400_000_000).map(lambda us: format_duration(us / 1_000_000))
WORDS_OF_TEXT = TEXTS.filter(lambda text: bool(text.strip()))


def keys(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name.rstrip("_"): value for name, value in optional.items()})


RETRY = keys(
    attempts=st.integers(1, 9),
    backoff=st.sampled_from(["exponential", "linear", "fixed"]),
    delay=st.sampled_from(["0s", "10ms", "1s"]),
    factor=st.sampled_from([1, 2, 2.5]),
    max_delay=st.sampled_from(["5m", "2s"]),
    jitter=st.booleans(),
    on=st.lists(st.sampled_from(["timeout", "http.5xx", "*"]), max_size=2),
    if_=st.just("error.code != 'x'"),
)
COMPENSATE = st.builds(
    lambda more, with_: {**more, "log": with_},
    keys(
        when=st.sampled_from(["completed", "failed", "both"]),
        if_=st.just("output != null"),
        retry=RETRY,
        timeout=DURATIONS,
    ),
    VALUES.filter(lambda value: value is not None),
)
ON_ERROR = st.sampled_from(
    [
        "continue",
        "fail_fast",
        {"timeout": "compensate", "*": "fail_fast"},
        {"*": {"retry": {"attempts": 7}}},
        {"http": "continue"},
    ]
)
COMMON = keys(
    if_=st.just("inputs.total > 1"),
    unless=st.just("vars.dry_run"),
    retry=RETRY,
    timeout=DURATIONS,
    compensate=COMPENSATE,
    on_error=ON_ERROR,
    tags=st.lists(WORDS_OF_TEXT, max_size=2),
)
ACTION = st.builds(
    lambda common, own, with_: {**common, **own, **with_},
    COMMON,
    keys(
        output=st.sampled_from([{}, {"type": "object", "required": ["a"]}]),
        at_most_once=st.booleans(),
        isolation=st.sampled_from(["task", "thread", "process"]),
        parallel=st.booleans(),
        intensity=st.sampled_from([0, 1, 2.5]),
    ),
    st.builds(lambda value: {"transform": value} if value is not None else {"uses": "log"}, VALUES),
)


BLOCK = COMMON.map(  # a block is not repeated as a whole yet
    lambda common: {
        key: value
        for key, value in common.items()
        if key != "retry" and not (key == "on_error" and "retry" in str(value))
    }
)


def _block(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda common, block: {**common, **block},
        BLOCK,
        st.builds(lambda one: {"group": {"steps": one}}, steps)
        | st.builds(lambda one, two: {"parallel": {"branches": {"left": one, "right-2": two}}}, steps, steps)
        | st.builds(lambda one, two: {"try": {"steps": one, **two}}, steps, keys(catch=steps, finally_=steps)),
    )


def _steps(step: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(step, min_size=1, max_size=3).flatmap(
        lambda found: st.sampled_from([("list", found), ("graph", found)])
    )


STEPS = st.recursive(_steps(ACTION), lambda inner: _steps(ACTION | _block(inner)), max_leaves=3)
WHEN = st.lists(
    st.builds(
        lambda kind, guards: {**kind, **guards},
        st.sampled_from(
            [
                {"trigger": "orders"},
                {"event": "a.b.*", "source": "/s"},
                {"workflow": "x-*@^1", "state": ["failed", "timed_out"]},
                {"cron": {"schedule": "*/5 * * * *", "overlap": "skip"}, "description": "often"},
                {
                    "http": {"path": "/a", "method": ["POST", "PUT"]},
                    "settle": "completed",
                    "max_bytes": "3KiB",
                    "id": "event.data.id",
                },
                {
                    "kafka": {"connection": "broker", "topic": "a"},
                    "start": {"time": "2h"},
                    "fetch": 5,
                    "format": "json",
                    "enabled": False,
                    "reconnect": {"delay": "10ms", "factor": 3, "jitter": False},
                    "schema": {"type": "object"},
                    "subject": "${{ event.id }}",
                },
            ]
        ),
        st.builds(
            lambda guards, more: {**guards, "with": {"total": 1, "name": "a", "more": more}},
            keys(
                match=st.just({"data": {"a": ["x", {"prefix": "y"}]}}),
                if_=st.just("event.data.a == 1"),
                unless=st.just("vars.dry_run"),
            ),
            VALUES.map(lambda value: json.loads(json.dumps(value).replace("inputs.", "event.data."))),
        ),
    ),
    max_size=3,
)
LIMITS = keys(
    concurrency=st.just({"max": 2, "key": "inputs.name", "overflow": "skip"}) | st.just([{"max": 1}, {"max": 3}]),
    throttle=st.builds(lambda per: {"max": 5, "per": per, "overflow": "drop"}, DURATIONS),
)
HEAD = keys(
    version=st.sampled_from(["0.0.0", "1.2.3-rc.1"]),
    description=TEXTS,
    tags=st.lists(WORDS_OF_TEXT, max_size=2),
    metadata=st.dictionaries(TEXTS, VALUES, max_size=2),
    labels=st.just({"a": "${{ inputs.name }}"}),
    when=WHEN,
    cancel_on=st.just(
        [
            {"event": "a", "by": "event.data.a"},
            {"trigger": "orders", "match": {"data": {"a": [1]}}, "if": "event.id == 'x'"},
        ]
    ),
    if_=st.just("event.data.a == 1"),
    unless=st.just("vars.dry_run"),
    limits=LIMITS,
    priority=st.integers(0, 9) | st.sampled_from(["high", "${{ inputs.total }}"]),
    timeout=DURATIONS,
    on_error=st.sampled_from(["compensate_all", "compensate_failed", "fail_fast", "continue"]),
    parallel_limit=st.integers(1, 20),
    retry=RETRY | st.just({"limit": 3}) | st.just({}) | st.just({"limit": 3, "attempts": 3}),
    metrics=st.booleans(),
    trace=st.booleans(),
    outputs=st.just({"a": "${{ inputs.name }}"}),
)
INPUTS = {"total": "integer", "name": {"type": "string", "minLength": 0}, "more": {"default": None}}


def _named(steps: Any, number: list[int]) -> Any:
    """Steps get names that differ, as a list or as a graph."""
    form, items = steps
    out: list[tuple[str, dict[str, Any]]] = []
    for item in items:
        number[0] += 1
        name = f"s{number[0]}"
        step = dict(item)
        for block in ("group", "try", "parallel"):
            if isinstance(step.get(block), dict):
                step[block] = {
                    key: {branch: _named(inner, number) for branch, inner in part.items()}
                    if key == "branches"
                    else _named(part, number)
                    for key, part in step[block].items()
                }
        out.append((name, step))
    return [{"name": name, **step} for name, step in out] if form == "list" else dict(out)


@pytest.mark.req("E-DEF-2")
@pytest.mark.req("C-8")
@given(HEAD, STEPS)
def test_written_and_loaded_again_it_is_equal(head: dict[str, Any], steps: Any) -> None:
    written = {"workflow": "a.b-c", "inputs": INPUTS, **head, "steps": _named(steps, [0])}
    first = load_mapping(written, WORDS)
    for text in (to_yaml(first), to_json(first)):
        result = load_text(text, "a.yaml" if text[0] != "{" else "a.json", WORDS)
        assert not result.diagnostics.errors, text + result.diagnostics.render()
        again = result.loaded[0].definition
        assert again == first, text
        assert encode(again) == encode(first), text


@given(VALUES)
def test_any_value_as_yaml(value: Any) -> None:
    text = dump_yaml([value])
    document = load_document(text)
    assert document is not None
    assert document.value == [value], text


def test_it_is_written_as_people_would() -> None:
    text = """workflow: ship-order
version: 1.2.0
tags: [orders, eu]
inputs:
  order_id: string
  total:
    type: number
    minimum: 0
when:
  - trigger: orders
    match:
      data:
        status: [paid]
    with:
      order_id: "${{ event.data.order_id }}"
      total: "${{ event.data.total }}"
limits:
  concurrency:
    max: 10
timeout: 1h30m
retry:
  limit: 3
steps:
  charge:
    if: inputs.total > 0
    http:
      method: POST
      url: http://localhost:9000/charges
      body: |
        two
        lines
    retry: {}
    timeout: 200ms
    on_error: fail_fast
  ship:
    needs: [charge]
    uses: log
"""
    assert to_yaml(load_text(text, "a.yaml", WORDS).loaded[0].definition) == text


def test_a_step_that_is_called_like_a_key_has_its_long_form() -> None:
    definition = WorkflowDefinition("a", Steps((Step("b", "tags", {"x": 1}),)))
    assert to_mapping(definition)["steps"] == {"b": {"uses": "tags", "with": {"x": 1}}}


def test_three_attempts_and_a_limit() -> None:
    definition = WorkflowDefinition("a", Steps((Step("b", "log", {"message": "a"}),)), retry=Retry(), retry_limit=5)
    assert to_mapping(definition)["retry"] == {"attempts": 3, "limit": 5}
    assert load_mapping(to_mapping(definition), WORDS) == definition


def test_inputs_that_cannot_be_written() -> None:
    definition = WorkflowDefinition("a", Steps(()), inputs={"type": "object", "properties": {"x": {"type": "string"}}})
    with pytest.raises(ConfigError) as caught:
        to_mapping(definition)
    assert str(caught.value) == "the inputs of `a` cannot be written as names with types"
    assert caught.value.path == "inputs"
