"""Who may: tokens with scopes, or a program on this machine; never a page of another site."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import ConfigError
from reactor.tests.web.site import FLOW, TOKEN, Site
from reactor.web.server import WebServer
from reactor.web.tokens import Token, Tokens

READER = {"Authorization": f"Bearer {'r' * 20}"}
SENDER = {"Authorization": f"Bearer {'e' * 20}"}
EVERYTHING = {"Authorization": f"Bearer {TOKEN}"}
EVENT = json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"})
CLOUD = {"content-type": "application/cloudevents+json"}
YAML = {"content-type": "application/yaml"}


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/api/v1/runs", {}),
        ("GET", "/api/v1/stream", {}),
        ("GET", "/metrics", {}),
        ("GET", "/", {}),
        ("POST", "/api/v1/runs", {"content-type": "application/json"}),
        ("PUT", "/api/v1/workflows/a", YAML),
        ("DELETE", "/api/v1/workflows/a", {}),
        ("POST", "/events", CLOUD),
    ],
)
async def test_refuses_whoever_may_not(site: Site, method: str, path: str, content: dict[str, str]) -> None:
    await site.put_flow("a")
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),  # a cross-site post
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),  # another program's page on this machine
        ({"Host": "evil.example"}, 403),  # DNS rebinding
        ({"Host": "evil.example:80", "Origin": "http://evil.example:80"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"X-Forwarded-For": "203.0.113.9"}, 401),  # through a proxy on this machine
        ({"Authorization": "Bearer nobody-has-this-token"}, 401),
        ({"Authorization": "Basic eDp5"}, 401),
    ):
        reply = await site.call(method, path, data=EVENT, headers={**content, **headers})
        assert reply.status == status, headers
        assert reply.problem()["code"] == {401: "unauthorized", 403: "forbidden"}[status]
        assert "access-control-allow-origin" not in reply.headers
        if status == 401:
            assert reply.headers["www-authenticate"] == "Bearer"
    assert site.app.engine.workflows.names() == ["a"]
    assert (await site.get("/api/v1/runs"))["items"] == []
    assert (await site.get("/api/v1/events"))["items"] == []


async def test_words_of_refusals(site: Site) -> None:
    async def said(**headers: str) -> dict[str, Any]:
        found = (await site.call("GET", "/api/v1/runs", headers=headers)).problem()
        return {k: found[k] for k in ("detail", "hint")}

    assert await said(Host="evil.example") == {
        "detail": "without a token the Host must be this machine's own name; found `evil.example`",
        "hint": "speak to 127.0.0.1 or localhost, or send a token",
    }
    assert await said(Origin="https://evil.example") == {
        "detail": "a page of `https://evil.example` may not speak to this server without a token",
        "hint": "there is no CORS; an `http` trigger may allow origins by `cors`",
    }
    assert await said(**{"X-Forwarded-For": "203.0.113.9"}) == {
        "detail": "a request from another machine needs a token",
        "hint": "send it as `Authorization: Bearer …`; `reactor token create NAME` makes one",
    }
    assert await said(Authorization="Bearer zzzzzzzzzzzzzzzzzzzz") == {
        "detail": "nobody has this token",
        "hint": "`reactor token create NAME` makes one",
    }


async def test_this_machine_needs_no_token_by_any_of_its_names(site: Site) -> None:
    for host in ("127.0.0.1", "localhost:8484", "[::1]:1", "LOCALHOST"):
        assert (await site.call("GET", "/api/v1/runs", headers={"Host": host})).status == 200
    own = {"Host": "localhost:1", "Origin": "http://localhost:1"}
    assert (await site.call("GET", "/api/v1/runs", headers=own)).status == 200


async def test_a_token_may_what_its_scopes_say(site: Site) -> None:
    far = {"Host": "reactor.example", "X-Forwarded-For": "203.0.113.9"}
    for headers, may in (
        (READER, {"read"}),
        (SENDER, {"emit"}),
        (EVERYTHING, {"read", "emit", "operate", "deploy"}),
    ):
        heads = {**far, **headers}
        got = {
            "read": await site.call("GET", "/api/v1/runs", headers=heads),
            "emit": await site.call("POST", "/events", data=EVENT, headers={**heads, **CLOUD}),
            "deploy": await site.call(
                "PUT", "/api/v1/workflows/w", data=FLOW.format(name="w", type="q"), headers={**heads, **YAML}
            ),
            "operate": await site.post("/api/v1/runs", {"workflow": "w"}, headers=heads),
        }
        assert {scope for scope, reply in got.items() if reply.status < 300} == may
        assert all(reply.status == 403 for scope, reply in got.items() if scope not in may)
    refusal = (await site.call("GET", "/api/v1/runs", headers=SENDER)).problem()
    assert refusal["detail"] == "the token `sender` has the scopes emit; this needs read"


async def test_health_alone_is_open(site: Site) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await site.call("GET", path, headers={"Host": "x.example", "Origin": "https://x"})).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_writes_say_that_they_are_json(site: Site, content_type: str) -> None:
    headers = {"content-type": content_type}
    reply = await site.call("POST", "/api/v1/runs", data='{"workflow": "a"}', headers=headers)
    assert reply.problem() == {
        "status": 415,
        "code": "unsupported_media_type",
        "detail": f"a write needs Content-Type: application/json; found {content_type or 'none'}",
        "hint": "say so also where the body is empty",
    }


async def test_off_loopback_there_is_no_start_without_a_token() -> None:
    async with Site() as site:
        with pytest.raises(ConfigError) as caught:
            await WebServer(site.app, host="0.0.0.0", port=0, tokens=Tokens()).start()
        assert str(caught.value) == "the server would listen on 0.0.0.0, off loopback, and there is no token"
        assert caught.value.hint == (
            "make one with `reactor token create NAME --scope operate`, set REACTOR_TOKENS_FILE, or listen on 127.0.0.1"
        )
        await site.put_flow("h", text="workflow: h\nwhen: [{http: /h}]\nsteps: [{log: {message: x}}]")
        site.app.routes.exposed = False
        name = site.app.supervisor.status()[0].name
        await site.app.supervisor.resume(name)
        await site.until(lambda: list(site.app.routes))
        with pytest.raises(ConfigError) as caught:
            await WebServer(site.app, host="0.0.0.0", port=0, tokens=site.tokens).start()
        assert str(caught.value) == (
            f"the server would listen on 0.0.0.0, off loopback, and anybody could use the http trigger {name}"
        )
        assert caught.value.hint == "write `auth` for each; if anybody may, `auth: none`"
        await site.app.supervisor.pause(name)
        async with WebServer(site.app, host="0.0.0.0", port=0, tokens=site.tokens) as web:
            assert web.url.startswith("http://0.0.0.0:")


async def test_a_taken_port_is_named() -> None:
    async with Site() as site:
        port = site.web.port
        with pytest.raises(ConfigError) as caught:
            await WebServer(site.app, port=port, tokens=Tokens()).start()
        assert str(caught.value) == f"the server cannot listen on 127.0.0.1:{port}: Address already in use"
        assert caught.value.hint == "another process may have the port: choose another `server.port`"


# -- tokens
def test_tokens_are_stored_as_hashes(tmp_path: Path) -> None:
    tokens = Tokens.of(tmp_path, {})
    text = tokens.add("ci", ["emit", "read"], ["release"])
    file = tmp_path / ".reactor/tokens.json"
    assert text not in file.read_text()
    assert os.stat(file).st_mode & 0o777 == 0o600
    elsewhere = Tokens.of(tmp_path, {})
    found = elsewhere.find(text)
    assert found is not None
    assert (found.name, found.scopes, found.roles) == ("ci", ("emit", "read"), ("release",))
    assert elsewhere.find(text + "x") is None
    tokens.remove("ci")
    assert elsewhere.find(text) is None


def test_tokens_come_from_the_environment_too(tmp_path: Path) -> None:
    stored = tmp_path / "tokens"
    stored.write_text('[{"name": "ci", "token": "0123456789abcdef", "scopes": ["emit"]}]')
    for environ in ({"REACTOR_TOKENS": stored.read_text()}, {"REACTOR_TOKENS_FILE": str(stored)}):
        found = Tokens.of(tmp_path, environ).find("0123456789abcdef")
        assert found is not None
        assert found.scopes == ("emit",)
        assert found.token == ""


def test_says_what_is_wrong_with_tokens(tmp_path: Path) -> None:
    tokens = Tokens([Token("a", token="x" * 16)], tmp_path / "t.json")
    for act, message in (
        (lambda: tokens.add("b", ["write"]), "a token's scopes are of read, emit, operate, deploy; found `write`"),
        (lambda: tokens.add("b", []), "a token's scopes are of read, emit, operate, deploy; found none"),
        (lambda: tokens.add("a", ["read"]), "there is a token `a` already"),
        (lambda: tokens.add("", ["read"]), "a token needs a name"),
        (lambda: tokens.remove("a"), "there is no stored token `a`; there are: none"),
        (
            lambda: Tokens.of(tmp_path, {"REACTOR_TOKENS": '[{"name": "a", "token": "short"}]'}),
            "the token `a` in REACTOR_TOKENS has fewer than 16 characters",
        ),
        (
            lambda: Tokens.of(tmp_path, {"REACTOR_TOKENS": "{}"}),
            "the tokens in REACTOR_TOKENS cannot be read: Expected `array`, got `object`",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            act()
        assert str(caught.value) == message
