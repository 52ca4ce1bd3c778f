"""`POST /events`: three content modes, one answer; every malformed request its own words."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from reactor.core.limits import EVENT_BATCH_MAX
from reactor.tests.web.site import Site

STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


def event(id: str = "1", **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": "thing", "data": {"n": 1}, **more}


async def refused(site: Site, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return (await site.call("POST", "/events", data=data, headers=headers)).problem()


@pytest.mark.req("T-HTTP-4")
async def test_three_content_modes_store_equal_events(site: Site) -> None:
    await site.put_flow()
    whole = event("a", time="2026-03-01T10:00:00Z", subject="x y", datacontenttype="application/json", partitionkey="é")
    one = await site.call("POST", "/events", data=json.dumps(whole), headers=STRUCTURED)
    two = await site.call("POST", "/events", data=json.dumps([whole | {"id": "b"}]), headers=BATCH)
    binary = {f"ce-{k}": v for k, v in whole.items() if k not in ("data", "datacontenttype")}
    binary |= {"ce-id": "c", "ce-partitionkey": "%C3%A9", "content-type": "application/json"}
    three = await site.call("POST", "/events", data=json.dumps(whole["data"]), headers=binary)
    assert [one.status, two.status, three.status] == [202, 202, 202]
    assert one.json.keys() == {"id", "key", "verdict", "runs"}
    assert (one.json["id"], one.json["verdict"], len(one.json["runs"])) == ("a", "accepted", 1)
    assert (two.json["ids"], two.json["verdicts"], len(two.json["runs"])) == (["b"], ["accepted"], 1)
    found = [await site.get(f"/api/v1/events/{id}") for id in "abc"]
    for each in found:
        for own in ("id", "key", "runs", "accepted_at"):
            del each[own]
    assert found[0] == found[1] == found[2]
    assert found[0]["partitionkey"] == "é"


async def test_the_trace_of_the_request_is_that_of_its_events(site: Site) -> None:
    header, own = (f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b{n}-01" for n in (7, 8))
    trace = {"traceparent": header, "tracestate": "a=1"}
    binary = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "thing", "ce-id": "a"}
    both = json.dumps([event("c"), event("d", traceparent=own)])
    for body, heads in (
        ("1", binary | trace),
        ("1", binary | trace | {"ce-id": "b", "ce-traceparent": own}),
        (both, BATCH | trace),
        (json.dumps(event("e")), STRUCTURED | trace),
        (json.dumps(event("f")), STRUCTURED | {"traceparent": header.upper()}),
    ):
        assert (await site.call("POST", "/events", data=body, headers=heads)).status == 202
    events = [await site.get(f"/api/v1/events/{id}") for id in "abcdef"]
    assert [each.get("traceparent") for each in events] == [header, own, header, own, header, None]
    assert [each.get("tracestate") for each in events] == ["a=1", None, "a=1", None, "a=1", None]


async def test_text_and_bytes_travel_in_binary_mode(site: Site) -> None:
    heads = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "thing"}
    await site.call(
        "POST",
        "/events",
        data="grüß".encode("latin-1"),
        headers={**heads, "ce-id": "t", "content-type": "text/plain; charset=latin-1"},
    )
    await site.call("POST", "/events", data=b"\xff\x00", headers={**heads, "ce-id": "b", "content-type": "image/png"})
    await site.call("POST", "/events", headers={**heads, "ce-id": "n", "ce-subject": '"a\\"b"'})
    assert (await site.get("/api/v1/events/t"))["data"] == "grüß"
    assert (await site.get("/api/v1/events/b"))["data_base64"] == base64.b64encode(b"\xff\x00").decode()
    empty = await site.get("/api/v1/events/n")
    assert "data" not in empty
    assert empty["subject"] == 'a"b'


async def test_answers_an_unmatched_event_too(site: Site) -> None:
    reply = await site.call("POST", "/events", data=json.dumps(event()), headers=STRUCTURED)
    assert reply.status == 202
    assert (reply.json["verdict"], reply.json["runs"]) == ("unmatched", [])


async def test_a_repetition_answers_with_the_first_runs(site: Site) -> None:
    await site.put_flow()
    first = await site.call("POST", "/events", data=json.dumps(event()), headers=STRUCTURED)
    again = await site.call("POST", "/events", data=json.dumps(event()), headers=STRUCTURED)
    assert again.status == 202
    assert again.json == {**first.json, "verdict": "duplicate"}


@pytest.mark.rule("1.10")
async def test_a_batch_is_taken_whole_or_not_at_all(site: Site) -> None:
    await site.put_flow()
    bad = [event("1"), event("2", source=""), event("3")]
    assert await refused(site, bad, BATCH) == {
        "status": 400,
        "code": "invalid_data",
        "detail": 'event 1 of the batch: `source` must be a non-empty URI reference; found ""',
        "hint": "",
    }
    assert (await site.get("/api/v1/events"))["items"] == []
    many = [event(str(i), data=0) for i in range(EVENT_BATCH_MAX + 1)]
    assert await refused(site, many, BATCH) == {
        "status": 413,
        "code": "too_large",
        "detail": "the batch has 1001 events; at most 1000 are taken at once",
        "hint": "",
    }
    assert (await site.call("POST", "/events", data="[]", headers=BATCH)).json == {
        "ids": [],
        "keys": [],
        "verdicts": [],
        "runs": [],
    }
    good = await site.call("POST", "/events", data=json.dumps([event("1"), event("2")]), headers=BATCH)
    assert len(good.json["runs"]) == 2


BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "application/json"}
DEEP = '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":' + "[" * 65 + "]" * 65 + "}"
FAULTS: list[tuple[Any, dict[str, str], int, str]] = [
    (b"{", STRUCTURED, 400, "the event is not valid JSON: Input data was truncated"),
    (b"[]", STRUCTURED, 400, "an event in the JSON format is one JSON object; found something else"),
    (b'"\xff"', STRUCTURED, 400, "an event in the JSON format is one JSON object; found something else"),
    (event(specversion="0.3"), STRUCTURED, 400, '`specversion` must be "1.0"; found "0.3"'),
    (
        {"id": "1"},
        STRUCTURED,
        400,
        "the event has no `specversion`: CloudEvents require specversion, id, source and type",
    ),
    (event(type=7), STRUCTURED, 400, "`type` must be text; found 7"),
    (
        event(time="yesterday"),
        STRUCTURED,
        400,
        '`time` must be an RFC 3339 instant such as 2026-03-01T10:00:00Z; found "yesterday"',
    ),
    (
        event(data_base64="AA=="),
        STRUCTURED,
        400,
        "the event has both `data` and `data_base64`: only one may be present",
    ),
    (event(Big=1), STRUCTURED, 400, "the extension `Big` is not named by lower-case letters and digits alone"),
    (event(meta={}), STRUCTURED, 400, "`meta` is a word of Reactor's own and no extension: rename the member"),
    (event(hops="many"), STRUCTURED, 400, "`hops` must be a whole number; found 'many'"),
    (DEEP, STRUCTURED, 413, "the data is nested deeper than 64 levels"),
    (
        DEEP.replace("[" * 65, "[" * 90000).replace("]" * 65, "]" * 90000),
        STRUCTURED,
        413,
        "the event is nested too deeply to be read",
    ),
    (
        b"{}",
        {"content-type": "application/cloudevents+json; charset=utf-16"},
        415,
        "events in the JSON format are UTF-8; found charset=utf-16",
    ),
    (
        b"<x/>",
        {"content-type": "application/cloudevents+xml"},
        415,
        (
            "events in the format application/cloudevents+xml are not taken; "
            "the JSON format is: application/cloudevents+json"
        ),
    ),
    (
        b"{}",
        {"content-type": "application/json"},
        415,
        "the request carries no CloudEvent: found Content-Type application/json and no header ce-specversion",
    ),
    (
        b"x=1",
        {"content-type": "application/x-www-form-urlencoded"},
        415,
        (
            "the request carries no CloudEvent: found Content-Type "
            "application/x-www-form-urlencoded and no header ce-specversion"
        ),
    ),
    (b"{", BINARY, 400, "the data is not valid JSON: Input data was truncated"),
    (
        b"{}",
        BINARY | {"ce-data": "1"},
        400,
        "the header ce-data means nothing: data is the body, its type is Content-Type",
    ),
    (
        b"{}",
        BINARY | {"ce-subject": "%ff"},
        400,
        "the header ce-subject is not UTF-8 once its percent-encoding is undone",
    ),
    (
        b"\xff",
        BINARY | {"content-type": "text/plain"},
        400,
        "the data is not text in utf-8: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
    (
        b"x",
        BINARY | {"content-type": "text/plain; charset=undefined"},
        400,
        "the data is not text in undefined: decoding with 'undefined' codec failed (UnicodeError: undefined encoding)",
    ),
    (b"{}", BINARY | {"ce-id": ""}, 400, '`id` must be non-empty text; found ""'),
]


async def test_says_what_is_malformed(site: Site) -> None:
    for body, headers, status, detail in FAULTS:
        found = await refused(site, body, headers)
        assert (found["status"], found["detail"]) == (status, detail)
    assert (await site.get("/api/v1/events"))["items"] == []


async def test_a_body_over_the_limit_is_not_read_on(site: Site) -> None:
    async def endless() -> Any:
        for _ in range(64):
            yield b"x" * 65_536

    reply = await site.call("POST", "/events", data=endless(), headers=STRUCTURED)
    assert reply.problem() == {
        "status": 413,
        "code": "too_large",
        "detail": "the body has more than 1048576 bytes; at most 1MiB are taken",
        "hint": "",
    }
    announced = await site.raw(
        b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n"
        b"Connection: close\r\nContent-Length: 2000000\r\n\r\n"
    )
    assert announced.startswith(b"HTTP/1.1 413 ")
    assert b"the body has 2000000 bytes; at most 1MiB are taken" in announced


async def test_other_methods_and_the_webhook_handshake(site: Site) -> None:
    got = await site.call("GET", "/events")
    assert got.problem()["detail"] == "/events takes POST; found GET"
    assert got.headers["allow"] == "OPTIONS, POST"
    asked = {"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "120"}
    reply = await site.call("OPTIONS", "/events", headers=asked)
    assert reply.status == 200
    assert reply.headers["webhook-allowed-origin"] == "eventemitter.example.com"
    assert reply.headers["webhook-allowed-rate"] == "*"
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.rule("1.8")
async def test_a_refusing_store_is_503_with_retry_after(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.put_flow()
    monkeypatch.setattr(type(site.app.store), "refusing", property(lambda store: "disk full"))
    reply = await site.call("POST", "/events", data=json.dumps(event()), headers=STRUCTURED)
    assert reply.problem() == {
        "status": 503,
        "code": "store_unavailable",
        "detail": "the store refuses writes: disk full",
        "hint": "repeat it later: it goes on by itself once the store can write",
    }
    assert reply.headers["retry-after"] == "1"
    ready = (await site.call("GET", "/readyz")).problem()
    assert ready == {
        "status": 503,
        "code": "store_unavailable",
        "detail": "the store refuses writes: disk full",
        "hint": "nothing that was accepted is lost: mend the cause, it goes on by itself",
    }
    assert (await site.call("GET", "/healthz")).status == 200
    monkeypatch.undo()
    assert (await site.call("GET", "/readyz")).status == 200
    assert (await site.call("POST", "/events", data=json.dumps(event()), headers=STRUCTURED)).status == 202


async def test_many_at_once_are_all_accepted(site: Site) -> None:
    await site.put_flow()
    replies = await asyncio.gather(
        *(site.call("POST", "/events", data=json.dumps(event(str(i))), headers=STRUCTURED) for i in range(200))
    )
    assert [r.status for r in replies] == [202] * 200
    assert len({run for r in replies for run in r.json["runs"]}) == 200


async def test_unmatched_events_are_listed_once_to_all_that_ask_at_once(site: Site) -> None:
    sent = [f"{i}" for i in range(40)]
    for id in sent:
        assert (await site.call("POST", "/events", data=json.dumps(event(id)), headers=STRUCTURED)).status == 202
        pages = await asyncio.gather(*(site.get("/api/v1/events?limit=100") for _ in range(4)))
        assert all(page == pages[0] for page in pages)
    assert [one["id"] for one in pages[0]["items"]] == sent[::-1]


async def test_a_body_in_parts_is_read_whole(site: Site) -> None:
    async def parts() -> Any:
        for part in (b"{", json.dumps(event())[1:-1].encode(), b"}"):
            yield part
            await asyncio.sleep(0)

    assert (await site.call("POST", "/events", data=parts(), headers=STRUCTURED)).status == 202


async def test_nothing_is_taken_of_a_client_that_goes_in_between(site: Site) -> None:
    head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n"
    for first in (b"", b"{"):
        _, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
        writer.write(head + b"Content-Length: 100\r\n\r\n" + first)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await site.get("/api/v1/events"))["items"] == []
    assert (await site.call("POST", "/events", data=json.dumps(event()), headers=STRUCTURED)).status == 202
