"""Log lines as text and as JSON."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.core import logs
from reactor.core.errors import ErrorInfo, StepError

log = logging.getLogger("reactor.engine")


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("reactor")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    chatty = {name: logging.getLogger(name).level for name in logs.CHATTY}
    yield
    for name, level in chatty.items():
        logging.getLogger(name).setLevel(level)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def start(**options: Any) -> io.StringIO:
    stream = io.StringIO()
    logs.start(stream=stream, **options)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.req("P-13")
def test_a_json_line_says_what_it_is_about() -> None:
    stream = start(format="json")
    about = {"run": "1-2", "step": "charge", "attempt": 2, "trigger": "orders", "event": "e1-1", "correlation": "c",
             "workflow": "ship", "code": "http.503"}  # fmt: skip
    log.warning("it %s", "failed", extra={**about, "fields": {"total": 3}})
    (line,) = lines(stream)
    time = line.pop("time")
    assert str(time).endswith("Z")
    assert line == {
        "level": "warning", "logger": "reactor.engine", "message": "it failed", "fields": {"total": 3}, **about,
    }  # fmt: skip


@pytest.mark.req("P-13")
def test_an_error_object_and_an_exception_are_told() -> None:
    stream = start(format="json")
    log.error("told", extra={"error": ErrorInfo("http.503", "away", step="charge")})
    try:
        raise StepError("timeout", "too slow")
    except StepError:
        log.exception("caught")
    try:
        raise ValueError("no")
    except ValueError as error:
        log.error("foreign", exc_info=error)
    told, caught, foreign = (line["error"] for line in lines(stream))
    assert isinstance(told, dict)
    assert (told["code"], told["message"], told["step"]) == ("http.503", "away", "charge")
    assert isinstance(caught, dict)
    assert (caught["type"], caught["message"], caught["code"]) == ("StepError", "too slow", "timeout")
    assert isinstance(foreign, dict)
    assert (foreign["type"], foreign["message"]) == ("ValueError", "no")
    assert "Traceback (most recent call last)" in foreign["trace"]


@pytest.mark.req("P-13")
@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked(form: str) -> None:
    stream = start(format=form, mask=lambda text: text.replace("swordfish", "***"))
    try:
        raise ValueError("swordfish")
    except ValueError:
        log.exception("the password is swordfish", extra={"fields": {"p": "swordfish"}})
    assert "swordfish" not in stream.getvalue()
    assert "the password is ***" in stream.getvalue()


@pytest.mark.req("P-13")
def test_a_masked_line_of_json_is_json() -> None:
    stream = start(format="json", mask=lambda text: text.replace("20", "***"))
    log.info("20 times", extra={"fields": {"n": 20, "m": 120, "all": ["20", True]}})
    line = json.loads(stream.getvalue())
    assert (line["message"], line["fields"]) == ("*** times", {"n": "***", "m": 120, "all": ["***", True]})


def test_a_text_line() -> None:
    stream = start()
    log.info("two\nlines", extra={"run": "1-2", "fields": {"total": 3}})
    log.error("failed", extra={"error": StepError("timeout", "too slow")})
    first, second, third = stream.getvalue().splitlines()
    assert first.partition(" ")[2] == "INFO    engine: two"
    assert second == "    lines (run 1-2, total=3)"
    assert third.partition(" ")[2] == "ERROR   engine: failed (timeout: too slow)"


def test_a_text_line_with_a_traceback() -> None:
    stream = start()
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("failed")
    assert "engine: failed\nTraceback (most recent call last):" in stream.getvalue()
    assert stream.getvalue().endswith("ValueError: no\n")


def test_starting_again_changes_form_and_level() -> None:
    first = start(level="debug")
    second = start(format="json", level="error")
    log.warning("not shown")
    log.error("shown")
    logging.getLogger("library").info("not shown either")
    assert first.getvalue() == ""
    assert [line["message"] for line in lines(second)] == ["shown"]


def test_libraries_that_repeat_what_is_told_already_are_heard_where_all_is_wanted() -> None:
    heard: dict[str, io.StringIO] = {}
    for level in ("info", "debug"):
        heard[level] = start(level=level)
        logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages")
        logging.getLogger("asyncpg.pool").warning("Failed to restore the pool")
        logging.getLogger("another.library").warning("look here")
    told = {level: [line.split(": ", 1)[1] for line in text.getvalue().splitlines()] for level, text in heard.items()}
    assert told["info"] == ["look here"]
    assert told["debug"] == ["Failed fetch messages", "Failed to restore the pool", "look here"]


@pytest.mark.parametrize("created", [1_700_000_000.0, 1_700_000_000.25, 1_700_000_000.9996])
def test_times_have_one_width(created: float) -> None:
    record = log.makeRecord(log.name, logging.INFO, "f", 1, "said", (), None)
    record.created = created
    second, millis = divmod(round(created * 1000), 1000)
    time = f"2023-11-14T22:13:{second - 1_700_000_000 + 20}.{millis:03d}Z"
    assert json.loads(logs.JsonLines().format(record))["time"] == time
    assert logs.TextLines().format(record) == f"{time} INFO    engine: said"
