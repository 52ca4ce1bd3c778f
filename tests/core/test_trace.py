"""Which `traceparent` headers count (W3C Trace Context, section 3.2)."""

import pytest

from reactor.core.trace import trace_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KNOWN = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (KNOWN, KNOWN),
        (f" {KNOWN}\t", KNOWN),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"cc-{TRACE}-{PARENT}-03", KNOWN),
        (f"cc-{TRACE}-{PARENT}-02-what-the-future-will-be-like", f"00-{TRACE}-{PARENT}-00"),
    ],
)
def test_a_header_that_says_something(header: str, value: str) -> None:
    assert trace_of({"traceparent": header}) == {"traceparent": value}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "mine",
        KNOWN.upper(),
        f"{KNOWN}-more",
        f"{KNOWN}, {KNOWN}",
        f"{KNOWN}\n",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"cc-{TRACE}-{PARENT}-01-{'x' * 512}",
    ],
)
def test_one_that_says_nothing_is_ignored(header: str) -> None:
    assert trace_of({"traceparent": header}) == {}


def test_no_header() -> None:
    assert trace_of({"tracestate": "a=b"}) == {}
