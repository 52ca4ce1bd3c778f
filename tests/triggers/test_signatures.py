"""Signatures, by the senders' own published examples: good, altered, old, rotated."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from reactor.core.errors import ConfigError
from reactor.tests.web.site import Site
from reactor.triggers.http_config import Auth
from reactor.triggers.signatures import Check, Unauthorized, check_of

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SLACK = {
    "x-slack-request-timestamp": "1531420618",
    "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
}
GITHUB = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def sign(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


STRIPE = {"stripe-signature": f"t=1000,v1={'0' * 64},v1={sign('whsec_x', b'1000.{}')},v0=old"}
RECIPE = {
    "x-sig": "v=" + base64.b64encode(hmac.new(b"k", b"1000.hello", hashlib.sha512).digest()).decode(),
    "x-at": "1000",
}
RECIPE_AUTH = {
    "hmac": {
        "secret": "k",
        "header": "X-Sig",
        "algorithm": "sha512",
        "encoding": "base64",
        "prefix": "v=",
        "timestamp_header": "X-At",
    }
}
GOOD: list[tuple[Any, Mapping[str, str], bytes, float]] = [
    ({"preset": "github", "secret": "It's a Secret to Everybody"}, GITHUB, b"Hello, World!", 0),
    ({"preset": "slack", "secret": "8f742231b10e8888abcd99yyyzzz85a5"}, SLACK, SLACK_BODY, 1531420618),
    ({"preset": "standard", "secret": WHSEC}, STANDARD, b'{"test": 2432232314}', 1614265330),
    ({"preset": "stripe", "secret": "whsec_x"}, STRIPE, b"{}", 1000),
    (RECIPE_AUTH, RECIPE, b"hello", 1000),
    ({"hmac": {"secret": "k", "header": "sig"}}, {"sig": sign("k", b"x").upper()}, b"x", 0),
    ({"token": "t"}, {"authorization": "bearer t"}, b"", 0),
    (
        {"basic": {"username": "ada", "password": "p:w"}},
        {"authorization": "Basic " + base64.b64encode(b"ada:p:w").decode()},
        b"",
        0,
    ),
    ("none", {}, b"anything", 0),
]
NAMES = ["github", "slack", "standard", "stripe", "recipe", "hmac", "token", "basic", "none"]


def make(auth: Any) -> Check:
    return check_of(TypeAdapter[Any](Auth).validate_python(auth))


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(Unauthorized) as caught:
        act()
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    return str(caught.value)


@pytest.mark.req("I-3")
@pytest.mark.parametrize(("auth", "headers", "body", "now"), GOOD, ids=NAMES)
def test_takes_what_the_sender_signed(auth: Any, headers: dict[str, str], body: bytes, now: float) -> None:
    make(auth).verify(headers, body, now)


@pytest.mark.req("I-3")
@pytest.mark.parametrize(("auth", "headers", "body", "now"), GOOD[:6], ids=NAMES[:6])
def test_refuses_an_altered_body_and_a_missing_header(
    auth: Any, headers: dict[str, str], body: bytes, now: float
) -> None:
    check = make(auth)
    assert refused(lambda: check.verify(headers, body + b" ", now)).endswith("does not fit the body")
    refused(lambda: check.verify({}, body, now))
    broken = {name: value[:-2] + "zz" if "sig" in name else value for name, value in headers.items()}
    if "stripe-signature" not in headers:
        refused(lambda: check.verify(broken, body, now))


@pytest.mark.req("I-3")
@pytest.mark.parametrize(("auth", "headers", "body", "now"), GOOD[1:5], ids=NAMES[1:5])
def test_refuses_an_old_signature(auth: Any, headers: dict[str, str], body: bytes, now: float) -> None:
    check = make(auth)
    check.verify(headers, body, now + 299)
    old = refused(lambda: check.verify(headers, body, now + 301))
    assert old == "the signature is 5m1s old; at most 5m are taken"
    early = refused(lambda: check.verify(headers, body, now - 600))
    assert early == "the signature is 10m in the future; at most 5m are taken"


def test_takes_each_secret_of_a_list() -> None:
    for place in range(3):
        secrets = ["a", "b"]
        secrets.insert(place, "It's a Secret to Everybody")
        make({"preset": "github", "secret": secrets}).verify(GITHUB, b"Hello, World!", 0)
    make({"token": ["old", "new"]}).verify({"authorization": "Bearer old"}, b"", 0)
    other = {**STANDARD, "webhook-signature": "v1,AAAA v1a,xyz " + STANDARD["webhook-signature"]}
    make({"preset": "standard", "secret": ["whsec_AAAA", WHSEC]}).verify(other, b'{"test": 2432232314}', 1614265330)


def test_tokens_and_passwords_say_what_they_want() -> None:
    token, basic = make({"token": "t"}), make({"basic": {"username": "a", "password": "b"}})
    assert refused(lambda: token.verify({}, b"", 0)) == "the request needs a token, as `Authorization: Bearer …`"
    wrong = {"authorization": "Bearer x"}
    assert refused(lambda: token.verify(wrong, b"", 0)) == "the token is not one that this trigger takes"
    for bad in ({}, {"authorization": "Basic ???"}, {"authorization": "Basic YTpj"}, {"authorization": "Bearer b"}):
        said = refused(lambda bad=bad: basic.verify(bad, b"", 0))
        assert said == "the request needs a user name and a password that fit"


def test_refuses_secrets_that_can_check_nobody() -> None:
    for auth, message in (
        ({"token": ""}, "`auth`: the token is empty: nobody could be checked by it"),
        ({"token": []}, "`auth`: the token is empty: nobody could be checked by it"),
        ({"preset": "github", "secret": "${{ secrets.x }}"}, "`auth`: the secret was not resolved"),
        (
            {"preset": "standard", "secret": "whsec_!"},
            "`auth`: a secret of Standard Webhooks is base64, mostly after `whsec_`",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            make(auth)
        assert str(caught.value) == message


@pytest.mark.req("T-HTTP-3")
async def test_a_wrong_signature_is_401_and_no_run() -> None:
    secret, body = "s3cret", b'{"action": "opened"}'
    auth = {"preset": "github", "secret": secret}
    text = (
        f"workflow: gh\nwhen: [{json.dumps({'http': {'path': '/gh', 'auth': auth}})}]\nsteps: [{{log: {{message: x}}}}]"
    )
    async with Site() as site:
        await site.put_flow("gh", text=text)
        await site.until(lambda: list(site.app.routes))
        heads = {"content-type": "application/json", "X-GitHub-Delivery": "d-1", "Host": "hooks.example"}
        wrong = await site.call("POST", "/hooks/gh", data=body, headers=heads | {"X-Hub-Signature-256": "sha256=00"})
        assert wrong.problem() == {
            "status": 401,
            "code": "unauthorized",
            "detail": "the signature in x-hub-signature-256 does not fit the body",
            "hint": "",
        }
        assert (await site.get("/api/v1/events"))["items"] == []
        good = heads | {"X-Hub-Signature-256": f"sha256={sign(secret, body)}"}
        first = await site.call("POST", "/hooks/gh", data=body, headers=good)
        again = await site.call("POST", "/hooks/gh", data=body, headers=good)
        assert (first.status, first.json["id"], again.json["verdict"]) == (202, "d-1", "duplicate")
        stored = await site.get(f"/api/v1/events/{first.json['key']}")
        assert "x-hub-signature-256" not in stored["meta"]["headers"]
        assert len((await site.get("/api/v1/runs"))["items"]) == 1


async def test_slack_gets_its_challenge_back() -> None:
    secret = "s3cret"
    auth = {"preset": "slack", "secret": secret}
    text = (
        f"workflow: sl\nwhen: [{json.dumps({'http': {'path': '/sl', 'auth': auth}})}]\nsteps: [{{log: {{message: x}}}}]"
    )
    async with Site() as site:
        await site.put_flow("sl", text=text)
        await site.until(lambda: list(site.app.routes))
        body = b'{"type": "url_verification", "challenge": "3eZb"}'
        at = str(int(site.app.clock.now()))
        heads = {
            "content-type": "application/json",
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": "v0=" + sign(secret, f"v0:{at}:".encode() + body),
        }
        reply = await site.call("POST", "/hooks/sl", data=body, headers=heads)
        assert (reply.status, reply.body) == (200, b"3eZb")
        assert (await site.get("/api/v1/events"))["items"] == []
        refusal = await site.call("POST", "/hooks/sl", data=body, headers=heads | {"X-Slack-Signature": "v0=00"})
        assert refusal.status == 401
