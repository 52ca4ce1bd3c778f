"""The HTTP binding against the CloudEvents project's own package: what it writes we read, what we write it reads."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, strategies as st
from msgspec import UNSET

from reactor.connections.cloudevents_http import content, received
from reactor.connections.contract import OutMessage
from reactor.core.event import Event

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
URI = st.from_regex(r"/[a-z0-9/._-]{1,20}", fullmatch=True)
NAMES = st.from_regex(r"x[a-z0-9]{0,10}", fullmatch=True)
TIMES = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

DATA = st.dictionaries(st.text(max_size=5), JSON, max_size=3)
"""In binary mode the package writes anything but mappings as Python shows it, which is no JSON."""


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": draw(PLAIN),
        "source": draw(URI),
        "type": draw(PLAIN),
        "datacontenttype": "application/json",
        "time": draw(TIMES),  # the package gives one where there is none
    }
    if draw(st.booleans()):
        found["subject"] = draw(PLAIN)
    found.update(draw(st.dictionaries(NAMES, PLAIN, max_size=3)))
    return found


def heads(message: HTTPMessage) -> dict[str, str]:
    return {name.lower(): value for name, value in message.headers.items()}


def same(event: Event, wanted: dict[str, Any], data: Any) -> None:
    view = event.view()
    for name, value in wanted.items():
        if isinstance(value, datetime):
            assert datetime.fromisoformat(view[name]) == value
        else:
            assert view[name] == value
    assert view.get("data") == data
    assert set(view) - {"data", "meta"} == set(wanted)


@given(attributes(), DATA)
def test_reads_what_the_package_writes(wanted: dict[str, Any], data: Any) -> None:
    theirs = CloudEvent(dict(wanted), data)
    binary, structured = to_binary_event(theirs), to_structured_event(theirs)
    one, batched = received(heads(binary), binary.body)
    assert (len(one), batched) == (1, False)
    same(one[0], wanted, data)
    two, _ = received(heads(structured), structured.body)
    same(two[0], wanted, data)
    batch = b"[" + structured.body + b"," + structured.body + b"]"
    many, batched = received({"content-type": "application/cloudevents-batch+json"}, batch)
    assert (len(many), batched) == (2, True)
    same(many[0], wanted, data)
    same(many[1], wanted, data)


@given(attributes(), st.binary(min_size=1, max_size=50))
def test_reads_bytes_that_the_package_writes(wanted: dict[str, Any], data: bytes) -> None:
    wanted["datacontenttype"] = "application/octet-stream"
    theirs = CloudEvent(dict(wanted), data)
    for message in (to_binary_event(theirs), to_structured_event(theirs)):
        found, _ = received(heads(message), message.body)
        assert found[0].data == data
        assert found[0].view()["data_base64"] == base64.b64encode(data).decode()


@given(attributes(), DATA)
def test_the_package_reads_what_we_write(wanted: dict[str, Any], data: Any) -> None:
    core = ("id", "source", "type", "subject", "datacontenttype")
    ours = Event(
        **{name: wanted[name] for name in core if name in wanted},
        time=wanted["time"].isoformat().replace("+00:00", "Z"),
        extensions={n: v for n, v in wanted.items() if n.startswith("x")},
        data=data,
    )
    for message in (
        OutMessage(to="http", target={}, event=ours, mode="binary"),
        OutMessage(to="http", target={}, event=ours, mode="structured"),
    ):
        headers, body = content(message)
        theirs = from_http_event(HTTPMessage(headers, body))
        assert theirs.get_attributes() == wanted
        found = theirs.get_data()
        assert (json.loads(found) if isinstance(found, (bytes, str)) and not isinstance(data, str) else found) == data


@given(attributes())
def test_an_event_without_data_has_none(wanted: dict[str, Any]) -> None:
    del wanted["datacontenttype"]
    structured = to_structured_event(CloudEvent(dict(wanted), None))
    members = {k: v for k, v in json.loads(structured.body).items() if k != "data"}
    found, _ = received(heads(structured), json.dumps(members).encode())
    assert found[0].data is UNSET
