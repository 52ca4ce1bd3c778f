"""From bytes and headers to an event: formats, native CloudEvents, overrides, schema, limits, dropped credentials."""

from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec import UNSET

from reactor.core.errors import ConfigError, PermanentError
from reactor.core.event import Event, Undecodable, check, decode_stored, encode
from reactor.language.definition import TriggerSpec
from reactor.testing.clock import VirtualClock
from reactor.triggers.shape import Shaper


def shaper(**spec: Any) -> Shaper:
    return Shaper(
        TriggerSpec(name="orders", kind="kafka", config={}, **spec), drop=["X-Signature"], clock=VirtualClock()
    )


def shape(payload: bytes | None, *, of: Shaper | None = None, **more: Any) -> Event | Undecodable:
    more = {"source": "/kafka/orders/t", "type": "reactor.kafka.message", "id": "0/7@1", **more}
    return (of or shaper()).message(payload, **more)


def event(payload: bytes | None, **more: Any) -> Event:
    found = shape(payload, **more)
    assert isinstance(found, Event), found
    return found


def dead(payload: bytes | None, **more: Any) -> Undecodable:
    found = shape(payload, **more)
    assert isinstance(found, Undecodable), found
    return found


@pytest.mark.req("T-GEN-6")
def test_wraps_a_message() -> None:
    found = event(
        b'{"order": 1}',
        subject="k",
        time=1_767_225_600.25,
        extensions={"kafkapartition": 0},
        headers={"Trace": "x"},
        meta={"key": "k"},
    )
    assert found.view() == {
        "specversion": "1.0",
        "id": "0/7@1",
        "source": "/kafka/orders/t",
        "type": "reactor.kafka.message",
        "subject": "k",
        "time": "2026-01-01T00:00:00.25Z",
        "kafkapartition": 0,
        "data": {"order": 1},
        "meta": {"trigger": "orders", "key": "k", "headers": {"trace": "x"}},
    }


def test_the_time_is_that_of_arrival_unless_the_source_knows_it() -> None:
    assert event(b"1").time == "2026-01-01T00:00:00Z"
    assert event(b"1", time="2020-02-02T02:02:02Z").time == "2020-02-02T02:02:02Z"


@pytest.mark.parametrize(
    ("payload", "content_type", "data", "data_type"),
    [
        (b'{"a": 1}', "", {"a": 1}, None),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}, "application/json; charset=utf-8"),
        (b'{"a": 1}', "application/vnd.shop+json", {"a": 1}, "application/vnd.shop+json"),
        (b"7", "", 7, None),
        (b'"text"', "", "text", None),
        (b"hello", "", "hello", "text/plain"),
        (b"hello", "text/markdown", "hello", "text/markdown"),
        (b"caf\xe9", "text/plain; charset=latin-1", "café", "text/plain; charset=latin-1"),
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}, "application/json"),
        (b"\xff\x00", "", b"\xff\x00", "application/octet-stream"),
        (b"+2AA-", "application/xml; charset=utf-7", b"+2AA-", "application/xml; charset=utf-7"),
        (b"[1]", "application/octet-stream", b"[1]", "application/octet-stream"),
        (b"[1]", "image/png", b"[1]", "image/png"),
        (b"<a/>", "application/xml", "<a/>", "application/xml"),
        (b"\xff", "application/xml", b"\xff", "application/xml"),
        (b"", "", UNSET, None),
        (None, "", None, None),
    ],
)
def test_finds_out_what_a_payload_is(
    payload: bytes | None, content_type: str, data: Any, data_type: str | None
) -> None:
    found = event(payload, content_type=content_type)
    assert (found.data, found.datacontenttype) == (data, data_type)


@pytest.mark.parametrize(
    ("form", "payload", "data"),
    [
        ("json", b"[1]", [1]),
        ("text", b"[1]", "[1]"),
        ("binary", b"[1]", b"[1]"),
        ("binary", b"", b""),
        ("text", b"", ""),
    ],
)
def test_takes_the_written_format(form: str, payload: bytes, data: Any) -> None:
    assert event(payload, of=shaper(format=form), headers={"ce-specversion": "1.0"}).data == data


@pytest.mark.req("T-GEN-8")
@pytest.mark.parametrize(
    ("form", "payload", "content_type", "message"),
    [
        ("json", b"{not", "", "the message is not valid JSON: "),
        ("json", b"", "", "the message is not valid JSON: "),
        ("auto", b"{not", "application/json", "the message is not valid JSON: "),
        ("text", b"\xff", "", "the message is not text in utf-8: "),
        ("auto", b"x", "text/plain; charset=klingon", "the message is not text in klingon: unknown encoding: klingon"),
        ("auto", b"x", "text/plain; charset=a\0", "the message is not text in a\0: embedded null character"),
        (
            "auto",
            b"x",
            "text/plain; charset=undefined",
            "the message is not text in undefined: decoding with 'undefined' codec failed (UnicodeError: undefined enc",
        ),
        (
            "auto",
            b"+2AA-",
            "text/plain; charset=utf-7",
            "the message is not text in utf-7: 'utf-8' codec can't encode character '\\ud800' in position 0",
        ),
        (
            "cloudevents",
            b"{}",
            "",
            "the event has no `specversion`: CloudEvents require specversion, id, source and type",
        ),
        ("json", b"[" * 65 + b"]" * 65, "", "the data is nested deeper than 64 levels"),
    ],
)
def test_what_cannot_be_decoded_is_a_dead_letter(form: str, payload: bytes, content_type: str, message: str) -> None:
    found = dead(payload, of=shaper(format=form), content_type=content_type, meta={"offset": 7})
    assert found.reason.message.startswith(message)
    assert (found.raw, found.source, found.id) == (payload, "/kafka/orders/t", "0/7@1")
    assert found.meta == {"trigger": "orders", "offset": 7}
    assert found.reason.class_ == "park"


@pytest.mark.parametrize("time", [1_794_000_000_000.0, -99_999_999_999.0, 1e19], ids=["late", "early", "later"])
def test_a_time_that_no_calendar_has_is_that_of_arrival(time: float) -> None:
    assert event(b"1", time=time).time == event(b"1").time != ""


def test_64_levels_are_not_too_deep() -> None:
    assert event(b"[" * 64 + b"]" * 64).data != UNSET
    assert event(b"[" + b"[]," * 100 + b"1]").data[-1] == 1


@pytest.mark.req("T-GEN-8")
def test_what_is_too_large_is_a_dead_letter_with_its_beginning() -> None:
    found = dead(b"x" * 1025, of=shaper(max_bytes=1024))
    assert found.reason.code == "too_large"
    assert found.reason.message == "the message has 1025 bytes; the trigger takes at most 1KiB"
    assert found.reason.hint == "raise the trigger's `max_bytes`"
    found = dead(b"x" * 3_000_000)
    assert len(found.raw) == 1 << 20
    assert found.reason.details == {"bytes": 3_000_000, "kept": 1 << 20}


NATIVE = {"ce-specversion": "1.0", "ce-id": "9", "ce-source": "/shop", "ce-type": "order.paid"}


def test_a_native_event_in_headers_keeps_its_attributes() -> None:
    headers = {**NATIVE, "CE-Subject": "caf%C3%A9", "ce-tenant": "a", "Content-Type": "application/json"}
    found = event(b'{"a": 1}', headers=headers, extensions={"kafkaoffset": 7, "tenant": "b"})
    assert (found.id, found.source, found.type, found.subject) == ("9", "/shop", "order.paid", "café")
    assert found.extensions == {"kafkaoffset": 7, "tenant": "a"}
    assert (found.data, found.datacontenttype) == ({"a": 1}, "application/json")
    assert found.meta["headers"]["ce-id"] == "9"


def test_headers_of_kafka_have_another_prefix_and_no_escapes() -> None:
    headers = {name.replace("ce-", "ce_"): value for name, value in NATIVE.items()} | {"ce_subject": "50%25"}
    found = event(b"\x00\xff", headers=headers, prefix="ce_", percent=False, content_type="application/octet-stream")
    assert (found.id, found.subject, found.data) == ("9", "50%25", b"\x00\xff")


def test_a_native_event_without_data() -> None:
    assert event(None, headers=NATIVE).data is UNSET
    assert event(b"", headers=NATIVE).data is UNSET


def test_a_faulty_native_event_is_a_dead_letter() -> None:
    found = dead(b"1", headers={"ce-specversion": "1.0", "ce-id": "9"})
    message = "the event has no `source`: CloudEvents require specversion, id, source and type"
    assert (found.reason.code, found.reason.message) == ("invalid_data", message)


def test_a_structured_event_by_its_content_type() -> None:
    native = Event(type="order.paid", source="/shop", id="9", data={"a": 1}, time="2026-01-01T00:00:00Z")
    found = event(encode(native), headers={"content-type": "application/cloudevents+json; charset=utf-8"})
    assert (found.id, found.source, found.data) == ("9", "/shop", {"a": 1})
    assert event(encode(native), of=shaper(format="cloudevents")).id == "9"
    assert event(encode(native)).id == "0/7@1", "JSON that looks like one is data"


def test_credentials_are_dropped() -> None:
    headers = {"Authorization": "a", "cookie": "b", "Proxy-Authorization": "c", "X-SIGNATURE": "d", "Host": "e"}
    assert event(b"1", headers=headers).meta["headers"] == {"host": "e"}


def test_overrides() -> None:
    of = shaper(id="event.data.order_id", type="order.created", subject="order/${{ event.data.order_id }}")
    found = event(b'{"order_id": 4711}', of=of)
    assert (found.id, found.type, found.subject, found.source) == (
        "4711",
        "order.created",
        "order/4711",
        "/kafka/orders/t",
    )
    assert found.meta == {"trigger": "orders"}
    assert event(b'{"order_id": "a"}', of=shaper(subject="fixed")).subject == "fixed"


def test_overrides_of_what_a_source_made_itself() -> None:
    made = Event(type="reactor.file.created", source="/file/in", id="1", data={"name": "a"}, meta={"x": 1})
    found = shaper(id="event.data.name + event.meta.trigger").event(made)
    assert isinstance(found, Event)
    assert (found.id, found.meta) == ("aorders", {"trigger": "orders", "x": 1})


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        (b"{}", "expression", None),
        (b'{"order_id": null}', "invalid_data", "the trigger's `id` must give text or a whole number; it gave null"),
        (b'{"order_id": ""}', "invalid_data", 'the trigger\'s `id` must give text or a whole number; it gave ""'),
        (b'{"order_id": true}', "invalid_data", "the trigger's `id` must give text or a whole number; it gave true"),
    ],
)
def test_an_id_that_is_none_is_a_dead_letter(payload: bytes, code: str, message: str | None) -> None:
    found = dead(payload, of=shaper(id="event.data.order_id"))
    assert found.reason.code == code
    assert message is None or found.reason.message == message


def test_faults_of_overrides_are_told_at_once() -> None:
    with pytest.raises(ConfigError):
        shaper(id="evnt.data")
    with pytest.raises(ConfigError):
        shaper(subject="${{ evnt.data }}")
    with pytest.raises(ConfigError):
        shaper(schema={"type": "strng"})


def test_a_schema() -> None:
    of = shaper(schema={"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})
    assert event(b'{"a": 1}', of=of).data == {"a": 1}
    found = dead(b'{"a": "x"}', of=of)
    assert found.reason.code == "invalid_data"
    assert found.reason.message.startswith("`data` does not satisfy the trigger's `schema`: a: ")
    assert (found.raw, found.reason.details["path"]) == (b'{"a": "x"}', "a")
    assert dead(b"[]", of=of).reason.message.startswith("`data` does not satisfy the trigger's `schema`: the data: ")


def test_what_an_adapter_refuses_itself() -> None:
    found = shaper().refused(PermanentError("trimmed", code="lost"), b"raw", source="/s", id="1", meta={"entry": "1-0"})
    assert (found.reason.code, found.raw, found.meta) == ("lost", b"raw", {"trigger": "orders", "entry": "1-0"})


HEADERS = st.dictionaries(
    st.sampled_from(
        ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-x", "content-type", "Ce-Data", "a"]
    ),
    st.sampled_from(
        [
            *("1.0", "", "application/json", "application/cloudevents+json", "text/plain; charset=x", "é", "%ff"),
            *("text/plain; charset=utf-7", "text/plain; charset=undefined", "text/plain; charset=\0"),
        ]
    ),
)


@given(st.binary(max_size=60) | st.none(), HEADERS, st.sampled_from(["auto", "cloudevents", "json", "text", "binary"]))
def test_no_message_raises_and_every_event_is_storable(
    payload: bytes | None, headers: dict[str, str], form: Any
) -> None:
    found = shape(payload, of=shaper(format=form), headers=headers)
    if isinstance(found, Event):
        check(found)
        assert decode_stored(encode(found, meta=True)) == found
