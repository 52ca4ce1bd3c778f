"""The http trigger at its edges: encoded slashes, and headers of an answer that data of the event is part of."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from reactor.tests.web.site import Site


@pytest.fixture
async def site() -> Any:
    async with Site() as site:
        yield site


async def serve(site: Site, http: Any, **beside: Any) -> None:
    text = f"workflow: flow\nwhen: [{json.dumps({'http': http, **beside})}]\nsteps: [{{log: {{message: hi}}}}]\n"
    await site.put_flow("flow", text=text)
    await site.until(lambda: all(s.state == "connected" for s in site.app.supervisor.status()))


async def raw(site: Site, path: str, method: str = "POST") -> tuple[int, dict[str, bytes], bytes]:
    """A request whose path goes out as it stands: status, headers by lower-case name, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    found = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    top, _, body = found.partition(b"\r\n\r\n")
    status, *lines = top.split(b"\r\n")
    headers = {line.partition(b": ")[0].decode().lower(): line.partition(b": ")[2] for line in lines}
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize(
    ("sent", "params", "subject"),
    [
        ("/files/a%2Fb/x", {"name": "a/b", "part": "x"}, "/files/a%2Fb/x"),
        ("/files/%2f/%252F", {"name": "/", "part": "%2F"}, "/files/%2F/%2F"),
        ("/files/gr%C3%BC%C3%9F%2F1/a%20b", {"name": "grüß/1", "part": "a b"}, "/files/grüß%2F1/a b"),
    ],
)
async def test_an_encoded_slash_stays_within_its_segment(
    site: Site, sent: str, params: dict[str, str], subject: str
) -> None:
    await serve(site, {"path": "/files/{name}/{part}"})
    status, _, body = await raw(site, f"/hooks{sent}")
    assert status == 202, body
    event = await site.get(f"/api/v1/events/{json.loads(body)['key']}")
    assert (event["meta"]["params"], event["subject"]) == (params, subject)


async def test_a_path_with_an_encoded_slash_that_nobody_serves_is_named(site: Site) -> None:
    await serve(site, {"path": "/files/{name}"})
    status, _, body = await raw(site, "/hooks/other/a%2Fb")
    assert (status, json.loads(body)["detail"]) == (404, "no http trigger serves /hooks/other/a%2Fb")
    status, headers, body = await raw(site, "/hooks/files/a%2Fb", "PUT")
    assert (status, headers["allow"]) == (405, b"POST")
    assert json.loads(body)["detail"] == "/hooks/files/a%2Fb takes POST; found PUT"


async def test_data_in_a_header_of_the_answer_writes_no_header_of_its_own(site: Site) -> None:
    await serve(
        site, {"path": "/in/{id}", "respond": {"on": "accepted", "headers": {"X-Id": "${{ event.meta.params.id }}"}}}
    )
    assert (await raw(site, "/hooks/in/gr%C3%BC%C3%9F"))[1]["x-id"] == "grüß".encode("latin-1")
    assert (await raw(site, "/hooks/in/%E2%82%AC"))[1]["x-id"] == "€".encode()
    status, headers, body = await raw(site, "/hooks/in/%0d%0aX-Evil:1")
    assert (status, "x-evil" in headers, "x-id" in headers) == (422, False, False)
    assert json.loads(body)["detail"] == "the header X-Id of the answer would hold a control character"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("X Order", "`headers`: a header's name has letters, digits and - alone, such as X-Order; found 'X Order'"),
        ("Content-Length", "the header Content-Length is set by the server itself"),
    ],
)
async def test_a_header_that_cannot_be_set_is_refused_at_load(site: Site, name: str, why: str) -> None:
    text = json.dumps({"http": {"path": "/in", "respond": {"on": "accepted", "headers": {name: "1"}}}})
    reply = await site.call(
        "PUT",
        "/api/v1/workflows/flow",
        data=f"workflow: flow\nwhen: [{text}]\nsteps: [{{log: {{message: hi}}}}]\n",
        headers={"content-type": "application/yaml"},
    )
    assert reply.status == 422, reply.body
    first, _, place = reply.problem()["detail"].partition("\n")
    assert (first, "(when[0].http.respond.headers)" in place) == (f"error: {why}", True)
