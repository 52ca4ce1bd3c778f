"""Which `traceparent` headers count (W3C Trace Context, section 3.2)."""

import pytest

from reactor.core.trace import continued, kept, split, trace_of

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


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("a=1", "a=1"),
        (" rojo=00f067aa0ba902b7 ,\t, t61@con-go=t61rcWkgMzE;x y", "rojo=00f067aa0ba902b7,t61@con-go=t61rcWkgMzE;x y"),
        (",".join(f"k{n}=v" for n in range(32)), ",".join(f"k{n}=v" for n in range(32))),
    ],
)
def test_what_senders_of_their_own_say_goes_on(header: str, value: str) -> None:
    found = trace_of({"traceparent": KNOWN, "tracestate": header})
    assert found == {"traceparent": KNOWN, "tracestate": value}
    assert split(kept(found)) == (KNOWN, value)


@pytest.mark.parametrize(
    "header",
    [
        "",
        " , ",
        "a",
        "a=",
        "A=1",
        "a=1,b",
        "a=1=2",
        "a=é",
        "a=1\nx: y",
        f"a={'x' * 257}",
        f"a={'x' * 250},b={'x' * 250},c={'x' * 10}",
        ",".join(f"k{n}=v" for n in range(33)),
    ],
)
def test_a_tracestate_that_cannot_be_read_is_left_out(header: str) -> None:
    assert trace_of({"traceparent": KNOWN, "tracestate": header}) == {"traceparent": KNOWN}
    assert kept({"traceparent": KNOWN, "tracestate": header}) == KNOWN
    assert split(KNOWN) == (KNOWN, "")


def test_a_trace_is_taken_as_a_whole_or_not_at_all() -> None:
    given = {"traceparent": KNOWN, "tracestate": "a=1", "n": 1}
    assert continued(given, {"m": 2}) == {**given, "m": 2}
    assert continued(given, {"traceparent": "own"}) == {"traceparent": "own", "n": 1}
    assert kept({"tracestate": "a=1"}) == ""


def test_no_header() -> None:
    assert trace_of({"tracestate": "a=b"}) == {}
