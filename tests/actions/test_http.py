"""`http` against a real server: answers, redirects, addresses, limits."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.resolver import ThreadedResolver

from reactor.connections.addresses import literal, verdict
from reactor.connections.registry import Registry
from reactor.core.clock import SYSTEM
from reactor.core.errors import StepError, code_matches
from reactor.core.limits import ANSWER_DEPTH_MAX
from reactor.engine.actions.http import HttpAction
from reactor.testing.action_suite import ActionSuite, LentServices
from reactor.tests.actions.mail_server import certificate
from reactor.tests.actions.rig import KEY, Rig, failed
from reactor.tests.servers.process import free_port

HINT_OF_CA = "if the certificate is of a CA of your own, name that in `tls: {ca: …}` of the connection"


class Site:
    """A server that remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.port = 0
        self.tokens = 0
        self.bad_tokens = 0
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, request.raw_path, headers, body))
        first, _, rest = request.match_info["path"].partition("/")
        if first == "status":
            extra = dict(request.query)
            return web.Response(status=int(rest), text="the body", headers=extra)
        if first == "to":
            return web.Response(
                status=int(request.query.get("status", 302)), headers={"Location": request.query["url"]}
            )
        if first == "loop":
            return web.Response(status=302, headers={"Location": "/loop"})
        if first == "slow":
            await asyncio.sleep(60)
        if first == "large":
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                for _ in range(int(rest)):
                    await response.write(b"x" * 1024)
            except ConnectionError:
                return response
            return response
        if first == "break":
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"half")
            request.transport.close()
            return response
        if first == "binary":
            return web.Response(body=b"\x00\xff\x01", content_type="image/png")
        if first == "marked":
            return web.Response(body=b'\xef\xbb\xbf{"a":1}', content_type="application/json")
        if first == "deep":
            depth = int(rest)
            return web.Response(text="[" * depth + "]" * depth, content_type="application/json")
        if first == "badjson":
            return web.Response(text="{", content_type="application/json")
        if first == "token":
            self.tokens += 1
            return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600})
        if first == "guarded":
            if headers.get("authorization") == f"Bearer t{self.tokens}" and self.tokens > self.bad_tokens:
                return web.json_response({"ok": True})
            return web.Response(status=401)
        return web.json_response({"path": request.path, "n": 2**60})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.start()
    yield site
    await site.runner.cleanup()


class TestContract(ActionSuite):
    action = HttpAction()

    @pytest.fixture
    def valid_with(self, site: Site) -> Any:
        return {"url": site.url("a")}

    @pytest.fixture
    def failing_with(self, site: Site) -> Any:
        return {"url": site.url("status/500")}

    @pytest.fixture
    def slow_with(self, site: Site) -> Any:
        return {"url": site.url("slow")}

    @pytest.fixture(autouse=True)
    async def closed(self) -> AsyncIterator[None]:
        yield
        await self.action.close()


failure = partial(failed, "http")


@pytest.mark.req("E-ACT-2")
async def test_get(rig: Rig, site: Site) -> None:
    query = {"q": "ä b", "n": [1, 2], "yes": True, "no": None}
    output = await rig("http", {"url": site.url("orders/a%2Fb"), "query": query})
    assert output.pop("duration_ms") >= 0
    headers = output.pop("headers")
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert output == {
        "status": 200,
        "body": '{"path": "/orders/a/b", "n": 1152921504606846976}',
        "json": {"path": "/orders/a/b", "n": 2**60},
        "url": site.url("orders/a%2Fb") + "?q=%C3%A4+b&n=1&n=2&yes=true",
    }
    method, path, headers, body = site.seen[0]
    assert (method, path, body) == ("GET", "/orders/a%2Fb?q=%C3%A4+b&n=1&n=2&yes=true", b"")
    assert "idempotency-key" not in headers
    assert headers["traceparent"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert "tracestate" not in headers
    await rig("http", {"url": site.url("orders/b")}, tracestate="a=1")
    await rig("http", {"url": site.url("orders/b"), "headers": {"Traceparent": "own"}}, tracestate="a=1")
    assert [each[2].get("tracestate") for each in site.seen[1:]] == ["a=1", None]


@pytest.mark.parametrize(
    ("with_", "kind", "body"),
    [
        ({"json": {"a": [1, "ü"]}}, "application/json", '{"a":[1,"ü"]}'.encode()),
        ({"json": None}, "application/json", b"null"),
        ({"form": {"a": "1 2", "b": [1, True]}}, "application/x-www-form-urlencoded", b"a=1+2&b=1&b=true"),
        ({"text": "héllo"}, "text/plain; charset=utf-8", "héllo".encode()),
        ({"base64": "AP8="}, "application/octet-stream", b"\x00\xff"),
        ({"text": "<a/>", "headers": {"content-type": "text/xml"}}, "text/xml", b"<a/>"),
    ],
)
@pytest.mark.rule("4.6")
async def test_bodies_carry_the_key(rig: Rig, site: Site, with_: Any, kind: str, body: bytes) -> None:
    await rig("http", {"url": site.url("x"), "method": "post", **with_})
    method, _, headers, found = site.seen[0]
    assert (method, headers["content-type"], found) == ("POST", kind, body)
    assert headers["idempotency-key"] == KEY


async def test_own_key_wins(rig: Rig, site: Site) -> None:
    await rig("http", {"url": site.url("x"), "method": "PUT", "headers": {"idempotency-key": "mine", "X-N": 5}})
    headers = site.seen[0][2]
    assert (headers["idempotency-key"], headers["x-n"]) == ("mine", "5")


async def test_multipart(rig: Rig, site: Site, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF\x00")
    parts = {
        "title": "T",
        "n": 3,
        "file": {"path": "report.pdf", "type": "application/pdf"},
        "data": {"base64": "AP8=", "name": "d.bin"},
    }
    await rig("http", {"url": site.url("to") + "?status=307&url=/there", "method": "POST", "multipart": parts})
    for _, _, headers, body in site.seen:
        assert headers["content-type"].startswith("multipart/form-data; boundary=")
        assert b'name="title"\r\n\r\nT\r\n' in body
        assert b'name="file"; filename="report.pdf"\r\n\r\n%PDF\x00\r\n' in body
        assert b'name="data"; filename="d.bin"' in body
    assert len(site.seen) == 2


async def test_bodies_of_the_answer(rig: Rig, site: Site) -> None:
    output = await rig("http", {"url": site.url("binary")})
    assert (output["body"], output["json"]) == (base64.b64encode(b"\x00\xff\x01").decode(), None)
    assert (await rig("http", {"url": site.url("marked")}))["json"] == {"a": 1}
    for depth, read in ((ANSWER_DEPTH_MAX, True), (ANSWER_DEPTH_MAX + 1, False), (5_000, False)):
        assert ((await rig("http", {"url": site.url(f"deep/{depth}")}))["json"] is not None) is read
    output = await rig("http", {"url": site.url("badjson")})
    assert (output["body"], output["json"]) == ("{", None)
    output = await rig("http", {"url": site.url("status/404"), "ok": ["2xx", 404]})
    assert (output["status"], output["body"], output["json"]) == (404, "the body", None)


@pytest.mark.req("E-ACT-2")
@pytest.mark.parametrize(
    ("status", "code", "class_", "hint"),
    [
        (503, "http.503", "retry", "the service is overloaded or in maintenance"),
        (500, "http.500", "retry", ""),
        (408, "http.408", "retry", ""),
        (425, "http.425", "retry", ""),
        (404, "http.404", "park", ""),
        (409, "http.409", "park", ""),
        (304, "http.304", "park", ""),
        (401, "unauthorized", "fix", "check the credentials of the connection"),
        (403, "forbidden", "fix", "the credentials are known, but do not allow this"),
        (429, "rate_limited", "retry", "the service limits calls: use `retry`, or `rate` on the connection"),
    ],
)
async def test_statuses(rig: Rig, site: Site, status: int, code: str, class_: str, hint: str) -> None:
    error = await failure(rig, {"url": site.url(f"status/{status}") + "?Retry-After=7", "method": "POST", "json": 1})
    assert str(error) == f"POST {site.url(f'status/{status}')} answered {status}"
    assert (error.code, error.class_, error.hint) == (code, class_, hint)
    body = {} if status == 304 else {"body": "the body"}
    assert error.details == {"status": status, "retry_after": 7.0, **body}
    assert isinstance(error, StepError)
    assert error.retry_after_s == 7.0
    codes = error.info().codes()
    assert any(code_matches(f"http.{status}", found) for found in codes)
    assert any(code_matches(f"http.{status // 100}xx", found) for found in codes)


async def test_retry_after_as_a_date(rig: Rig, site: Site) -> None:
    from email.utils import formatdate

    error = await failure(
        rig, {"url": site.url("status/503"), "query": {"Retry-After": formatdate(SYSTEM.now() + 30, usegmt=True)}}
    )
    assert 25 < error.details["retry_after"] <= 31


async def test_redirects(rig: Rig, site: Site) -> None:
    output = await rig("http", {"url": site.url("to") + "?url=/there", "method": "POST", "json": {"a": 1}})
    assert output["url"] == site.url("there")
    assert [(m, p.partition("?")[0], b) for m, p, _, b in site.seen] == [
        ("POST", "/to", b'{"a":1}'),
        ("GET", "/there", b""),
    ]
    assert {"idempotency-key", "content-type"} <= set(site.seen[0][2])
    assert not {"idempotency-key", "content-type"} & set(site.seen[1][2])  # a GET has neither
    site.seen.clear()
    await rig("http", {"url": site.url("to") + "?status=308&url=/there", "method": "POST", "json": {"a": 1}})
    assert [(m, b) for m, _, _, b in site.seen] == [("POST", b'{"a":1}')] * 2
    error = await failure(rig, {"url": site.url("loop"), "redirects": 3})
    assert (error.code, str(error)) == ("http.302", f"GET {site.url('loop')} was redirected more than 3 times")
    error = await failure(rig, {"url": site.url("loop"), "redirects": 0})
    assert (error.code, str(error)) == ("http.302", f"GET {site.url('loop')} answered 302")
    error = await failure(rig, {"url": site.url("to") + "?url=ftp://x/y"})
    assert str(error) == f"GET {site.url('to')} was redirected to `ftp://x/y`, which is no address"


async def test_credentials_do_not_follow_to_another_host(rig: Rig, site: Site) -> None:
    other = site.url("there", host="localhost")
    headers = {"Authorization": "Bearer s3", "Cookie": "a=b", "X-Mine": "1"}
    await rig("http", {"url": site.url("to"), "query": {"url": other}, "headers": headers})
    first, second = site.seen[0][2], site.seen[1][2]
    assert (first["authorization"], first["cookie"], first["x-mine"]) == ("Bearer s3", "a=b", "1")
    assert "authorization" not in second
    assert "cookie" not in second
    assert second["x-mine"] == "1"
    site.seen.clear()
    await rig("http", {"url": site.url("to"), "query": {"url": "/same"}, "headers": headers})
    assert site.seen[1][2]["authorization"] == "Bearer s3"


@pytest.mark.parametrize(
    ("address", "always", "driven"),
    [
        ("169.254.169.254", "metadata", "metadata"),
        ("169.254.1.1", "link-local", "link-local"),
        ("fe80::1", "link-local", "link-local"),
        ("fd00:ec2::254", "metadata", "metadata"),
        ("100.100.100.200", "metadata", "metadata"),
        ("::ffff:169.254.169.254", "metadata", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata", "metadata"),
        ("2002:a9fe:a9fe::1", "metadata", "metadata"),
        ("::169.254.169.254", "metadata", "metadata"),
        ("127.0.0.1", "", "private"),
        ("::1", "", "private"),
        ("10.1.2.3", "", "private"),
        ("172.16.0.1", "", "private"),
        ("192.168.1.1", "", "private"),
        ("100.64.0.1", "", "private"),
        ("0.0.0.0", "", "private"),
        ("fc00::1", "", "private"),
        ("::ffff:10.0.0.1", "", "private"),
        ("224.0.0.1", "", "private"),
        ("255.255.255.255", "", "private"),
        ("93.184.216.34", "", ""),
        ("2606:2800:220:1::1", "", ""),
        ("::ffff:93.184.216.34", "", ""),
    ],
)
def test_addresses(address: str, always: str, driven: str) -> None:
    found = literal(address)
    assert found is not None
    assert verdict(found, private_refused=False) == always
    assert verdict(found, private_refused=True) == driven


async def test_metadata_is_always_refused(rig: Rig, site: Site) -> None:
    error = await failure(rig, {"url": "http://169.254.169.254/latest"})
    assert (error.code, error.class_) == ("blocked_address", "fix")
    assert str(error) == ("GET http://169.254.169.254/latest is refused: 169.254.169.254 is a metadata service")
    error = await failure(rig, {"url": "http://[fe80::1]/x"})
    assert str(error) == "GET http://[fe80::1]/x is refused: fe80::1 is a link-local address"
    error = await failure(rig, {"url": site.url("to"), "query": {"url": "http://169.254.169.254/latest"}})
    assert error.code == "blocked_address"
    assert len(site.seen) == 1


async def test_private_addresses_when_the_host_comes_from_an_event(rig: Rig, site: Site) -> None:
    for host in ("127.0.0.1", "localhost"):
        error = await failure(rig, {"url": site.url("x", host)}, event_driven=True)
        assert error.code == "blocked_address"
        assert error.hint == (
            "the host comes from event, inputs or steps: name a connection with `allow_private: true` if it is meant"
        )
    assert str(error).startswith(f"GET {site.url('x', 'localhost')} is refused: localhost is ")
    assert str(error).endswith(", a private address")
    await rig("http", {"url": site.url("x", "localhost")})  # a kept connection of this kind …
    error = await failure(rig, {"url": site.url("x", "localhost")}, event_driven=True)  # … serves no stricter call
    assert error.code == "blocked_address"
    assert len(site.seen) == 1


async def test_names_are_judged_by_what_they_resolve_to(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: Any, host: str, port: int, family: int) -> list[Any]:
        more = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 6, "flags": 0}
        return [{"host": address, **more} for address in ("93.184.216.34", "169.254.169.254")]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    error = await failure(rig, {"url": "http://innocent.example/x"})
    assert str(error) == (
        "GET http://innocent.example/x is refused: innocent.example is 169.254.169.254, a metadata service"
    )


async def test_limits_of_the_answer(rig: Rig, site: Site) -> None:
    error = await failure(rig, {"url": site.url("large/2000"), "max_response": "1MiB"})
    assert (error.code, str(error), error.hint) == (
        "too_large",
        f"the answer to GET {site.url('large/2000')} has more than 1MiB",
        "raise `max_response`, or use `save_to`",
    )
    assert len((await rig("http", {"url": site.url("large/1000")}))["body"]) == 1_024_000


async def test_save_to(rig: Rig, site: Site, tmp_path: Path) -> None:
    output = await rig("http", {"url": site.url("large/3000"), "save_to": "in/file.bin", "max_response": "20MiB"})
    assert (output["body"], output["json"]) == (None, None)
    assert (tmp_path / "in" / "file.bin").stat().st_size == 3_072_000
    error = await failure(rig, {"url": site.url("large/3000"), "save_to": "in/second.bin", "max_response": "1MiB"})
    assert error.code == "too_large"
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["file.bin"]
    error = await failure(rig, {"url": site.url("a"), "save_to": "../out.bin"})
    assert (error.code, str(error)) == (
        "forbidden",
        f"`../out.bin` is outside the folders that may be touched: {tmp_path}",
    )


async def test_connections_that_fail(rig: Rig, site: Site) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(rig, {"url": f"http://127.0.0.1:{port}/x"})
    assert (error.code, error.class_) == ("connection", "retry")
    assert str(error).startswith(f"GET http://127.0.0.1:{port}/x: ")
    error = await failure(rig, {"url": site.url("break")})
    assert (error.code, str(error).partition(": ")[0]) == ("connection", f"GET {site.url('break')}")
    error = await failure(rig, {"url": site.url("slow")}, timeout_s=0.2)
    assert (error.code, error.class_, str(error)) == ("timeout", "retry", f"GET {site.url('slow')} took too long")
    error = await failure(rig, {"url": f"https://127.0.0.1:{site.port}/x"})
    assert error.code == "tls"
    error = await failure(rig, {"url": site.url("x"), "headers": {"X": "a\r\nB: c"}})
    assert error.code == "invalid_input"


async def test_addresses_that_are_none(rig: Rig) -> None:
    error = await failure(rig, {"url": "ftp://x/y"})
    assert str(error) == "`ftp://x/y` is no address: it begins with http:// or https:// and names a host"
    assert rig.catalogue.faults("http", {"url": "example.com/x"}) == [
        ("url", 'expected an address http://… or https://…; found "example.com/x"')
    ]
    assert rig.catalogue.faults("http", {"url": "${{ vars.base }}/x"}) == []


def services(site: Site, tmp_path: Path, **config: Any) -> LentServices:
    registry = Registry({"shop": {"http": {"url": site.url("base/")} | config}}, project=str(tmp_path))
    return LentServices(str(tmp_path), connections=registry)


async def test_connection_with_path(site: Site, tmp_path: Path) -> None:
    auths = [
        ({"basic": {"username": "u", "password": "p"}}, ("authorization", "Basic dTpw")),
        ({"bearer": "b"}, ("authorization", "Bearer b")),
        ({"api_key": {"header": "X-Key", "value": "k"}}, ("x-key", "k")),
    ]
    for auth, (name, value) in auths:
        lent = services(site, tmp_path, auth=auth, headers={"X-Shop": "1"})
        rig = Rig(lent)
        output = await rig("http", {"connection": "shop", "path": "/orders"})
        assert output["url"] == site.url("base/orders")
        assert site.seen[-1][2][name] == value
        assert site.seen[-1][2]["x-shop"] == "1"
        await lent._connections.close()
        lent = services(site, tmp_path, auth=auth, headers={"X-Shop": "1"}, url=site.url())
        to_other = {"url": site.url("z", "localhost")}
        await Rig(lent)("http", {"connection": "shop", "path": "to", "query": to_other})
        assert site.seen[-2][2][name] == value
        assert name not in site.seen[-1][2]
        assert "x-shop" not in site.seen[-1][2]
        await lent._connections.close()
    error = await failure(rig, {"connection": "shop", "path": "a/../../x"})
    assert (error.code, str(error)) == (
        "invalid_input",
        "the path `a/../../x` leads up with `..`: it must stay below the base address",
    )


async def test_private_addresses_can_be_allowed(site: Site, tmp_path: Path) -> None:
    for allowed in (True, False):
        lent = services(site, tmp_path, allow_private=allowed)
        rig = Rig(lent)
        if allowed:
            await rig("http", {"connection": "shop", "path": "x"}, event_driven=True)
        else:
            assert (
                await failure(rig, {"connection": "shop", "path": "x"}, event_driven=True)
            ).code == "blocked_address"
        await lent._connections.close()


async def test_oauth2_tokens(site: Site, tmp_path: Path) -> None:
    oauth = {"token_url": site.url("token"), "client_id": "c", "client_secret": "s", "scopes": ["a", "b"]}
    lent = services(site, tmp_path, auth={"oauth2": oauth}, url=site.url())
    rig = Rig(lent)
    registry: Any = lent._connections
    connection = registry.get("http", "shop")
    outputs = await asyncio.gather(*(rig("http", {"connection": "shop", "path": "/guarded"}) for _ in range(5)))
    assert [output["json"] for output in outputs] == [{"ok": True}] * 5
    assert site.tokens == 1
    _, _, headers, body = next(row for row in site.seen if row[1] == "/token")
    assert headers["authorization"] == "Basic Yzpz"
    assert body == b"grant_type=client_credentials&scope=a+b"
    site.bad_tokens = 1  # refused from now on: a new one is fetched, once
    assert (await rig("http", {"connection": "shop", "path": "/guarded"}))["json"] == {"ok": True}
    assert site.tokens == 2
    site.bad_tokens = 99
    assert (await failure(rig, {"connection": "shop", "path": "/guarded"})).code == "unauthorized"
    assert site.tokens == 3
    assert "s" not in repr(connection.config).replace("scopes", "").split("client_secret")[-1][:3]
    await registry.close()


async def test_rate_makes_calls_wait(site: Site, tmp_path: Path) -> None:
    lent = services(site, tmp_path, rate={"max": 3, "per": "300ms"})
    rig = Rig(lent)
    begun = SYSTEM.monotonic()
    await asyncio.gather(*(rig("http", {"connection": "shop", "path": "x"}) for _ in range(7)))
    assert 0.6 <= SYSTEM.monotonic() - begun < 5
    assert len(site.seen) == 7
    await lent._connections.close()


async def test_tls_of_a_connection(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    other, other_key = certificate(tmp_path, "shop.test")
    for pair, tls, code in [
        ((cert, key), {"ca": "localhost.crt"}, ""),
        ((cert, key), {"ca": cert.read_text()}, ""),
        ((cert, key), True, "tls"),
        ((other, other_key), {"ca": "shop.test.crt"}, "tls"),
        ((other, other_key), {"ca": "shop.test.crt", "server_name": "shop.test"}, ""),
        ((cert, key), {"verify": False}, ""),
    ]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        site = Site()
        await site.start(context)
        url = f"https://localhost:{site.port}"
        registry = Registry({"shop": {"http": {"url": url, "tls": tls}}}, project=str(tmp_path))
        rig = Rig(LentServices(str(tmp_path), connections=registry))
        if code:
            error = await failure(rig, {"connection": "shop", "path": "x"})
            assert (error.code, error.class_) == (code, "fix")
            assert str(error).startswith(f"GET {url}/x: ")
            own = "self-signed certificate" in str(error)
            assert own or "Hostname mismatch" in str(error)
            assert error.hint == (HINT_OF_CA if own else "")
        else:
            assert (await rig("http", {"connection": "shop", "path": "x"}))["status"] == 200
        await registry.close()
        await site.runner.cleanup()


async def test_proxy(site: Site, tmp_path: Path) -> None:
    proxy = site.url().rstrip("/")
    lent = services(site, tmp_path, url="http://only-the-proxy-knows.test/base", proxy=proxy)
    await Rig(lent)("http", {"connection": "shop", "path": "x"})
    assert site.seen[0][1].startswith("http://only-the-proxy-knows.test/base/x")
    await lent._connections.close()
    lent = services(site, tmp_path, url="http://169.254.169.254/", proxy=proxy)
    assert (await failure(Rig(lent), {"connection": "shop", "path": "x"})).code == "blocked_address"
    await lent._connections.close()


@pytest.mark.parametrize(
    ("status", "reason", "code", "hint"),
    [
        (407, "Proxy Authentication Required", "unauthorized", "check user and password in `proxy` of the connection"),
        (403, "Forbidden", "forbidden", "the proxy does not let this address through"),
        (502, "Bad Gateway", "connection", ""),
    ],
)
async def test_a_proxy_that_refuses_is_named(tmp_path: Path, status: int, reason: str, code: str, hint: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        proxy = f"http://joe:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        registry = Registry({"shop": {"http": {"url": "https://far.test", "proxy": proxy}}}, project=str(tmp_path))
        lent = LentServices(str(tmp_path), connections=registry)
        error = await failure(Rig(lent), {"connection": "shop", "path": "/x"})
        await registry.close()
    assert (error.code, str(error)) == (code, f"GET https://far.test/x: the proxy answered {status} {reason}")
    assert error.hint == hint


async def test_a_proxy_that_is_away_is_named(tmp_path: Path) -> None:
    port = free_port()
    shop = {"url": "https://far.test", "proxy": f"http://joe:hidden@127.0.0.1:{port}"}
    registry = Registry({"shop": {"http": shop}}, project=str(tmp_path))
    error = await failure(Rig(LentServices(str(tmp_path), connections=registry)), {"connection": "shop", "path": "/x"})
    await registry.close()
    assert error.code == "connection"
    said = f"the proxy 127.0.0.1:{port} cannot be reached: Connect call failed ('127.0.0.1', {port})"
    assert str(error) == f"GET https://far.test/x: {said}"


async def test_test_in_words(site: Site, tmp_path: Path) -> None:
    lent = services(site, tmp_path)
    assert (await lent._connections.test("shop")).startswith(f"{site.url('base/')} answered 200 in ")
    await lent._connections.close()


def test_faults_at_load(rig: Rig) -> None:
    faults = rig.catalogue.faults
    assert faults("http", {}) == [("", "one of `url` or `connection` is missing")]
    assert faults("http", {"url": "http://x", "json": 1, "text": "a"}) == [
        ("", "only one of `json`, `form`, `text`, `base64` or `multipart` may be given; found `json` and `text`")
    ]
    assert faults("http", {"path": "/x", "url": "http://x"}) == [
        ("path", "is a path below the address of `connection`, which is missing")
    ]
    assert faults("http", {"url": "http://x", "redirects": 21}) == [("redirects", "must be at most 20; found 21")]
    assert faults("http", {"url": "http://x", "ok": ["2x"]}) == [
        ("ok[0]", 'expected a status from 100 to 599, or a hundred such as 2xx; found "2x"')
    ]
    assert faults("http", {"url": "http://x", "max_response": "2GiB"}) == [
        ("max_response", "must be at most 1GiB; found 2GiB")
    ]
    assert faults("http", {"url": "http://x", "methode": "GET"}) == [
        ("methode", "unknown key `methode`; did you mean method?")
    ]
    schema = rig.catalogue.schema("http")["with"]
    assert schema["allOf"][0] == {"oneOf": [{"required": ["url"]}, {"required": ["connection"]}]}
    assert msgspec.json.decode(msgspec.json.encode(schema)) == schema
