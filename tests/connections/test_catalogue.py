"""Kinds of connections: their keys in our own words, and the registry that shares and closes them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from reactor.connections import catalogue
from reactor.connections.contract import Connection, NotConnected, Sender, translate
from reactor.connections.http import HttpConnection
from reactor.connections.registry import Registry
from reactor.core.errors import ConfigError, StepError


@pytest.mark.parametrize(
    ("kind", "config", "faults"),
    [
        ("http", {"url": "https://a.test"}, []),
        ("http", {"url": "a.test"}, [("url", "expected an address http://… or https://…; found 'a.test'")]),
        ("http", {"url": "${{ env.URL }}", "auth": {"bearer": "${{ secrets.T }}"}}, []),
        ("http", {"url": "http://a", "auht": {}}, [("auht", "unknown key `auht`; did you mean auth?")]),
        (
            "http",
            {"url": "http://a", "auth": {"bearer": "b", "basic": {"username": "u", "password": "p"}}},
            [("auth", "only one of `basic`, `bearer`, `api_key` or `oauth2` may be given; found `basic` and `bearer`")],
        ),
        ("http", {"url": "http://a", "auth": {"basic": {"user": "u"}}}, None),
        ("http", {"url": "http://a", "timeout": "10ms"}, [("timeout", "must be at least 100ms; found 10ms")]),
        (
            "http",
            {"url": "http://a", "timeout": 10},
            [("timeout", "the duration '10' has no unit; write 10s for seconds or 10ms for milliseconds")],
        ),
        (
            "http",
            {"url": "https://a", "tls": {"verify": False}},
            [("tls.verify", "false is taken only on loopback or beside `allow_insecure: true`")],
        ),
        ("http", {"url": "https://localhost:9", "tls": {"verify": False}}, []),
        ("http", {"url": "https://a", "tls": {"verify": False, "allow_insecure": True}}, []),
        ("http", {"url": "https://a", "tls": {"verify": "no"}}, [("tls.verify", 'expected true or false; found "no"')]),
        ("http", {"url": "https://a", "tls": "yes"}, [("tls", 'expected true or false or a mapping; found "yes"')]),
        ("http", {"url": "https://a", "rate": {"max": 0, "per": "1s"}}, [("rate.max", "must be at least 1; found 0")]),
        ("kafka", {}, [("servers", "is required and missing")]),
        ("kafka", {"servers": []}, [("servers", "must not be empty")]),
        ("kafka", {"servers": ["a:1", "b"]}, [("servers[1]", "expected host:port; found 'b'")]),
        ("kafka", {"servers": ["a:1"], "sasl": {"mechanism": "plain"}}, None),
        ("nats", {"servers": ["nats://a:4222"], "user": "u", "token": "t"}, None),
        ("postgres", {}, [("", "one of `url` or `host` is missing")]),
        ("postgres", {"url": "postgresql://a/b", "port": 5}, None),
        (
            "postgres",
            {"url": "mysql://a/b"},
            [("url", "expected an address postgres://… or postgresql://…; found 'mysql://a/b'")],
        ),
        ("postgres", {"host": "a", "tls": "prefer", "pool": {"max": 5}}, []),
        ("sqlite", {"path": "a.db", "tls": True}, [("tls", "unknown key `tls`; one of: path, timeout")]),
        ("smtp", {"host": "a", "port": 70000}, [("port", "must be at most 65535; found 70000")]),
        ("smtp", {"host": "a", "security": "ssl"}, [("security", 'expected one of starttls, tls, none; found "ssl"')]),
        ("smtp", None, [("", "expected a mapping; found null")]),
        ("redis", {}, [("", "connections of kind `redis` are not carried out by this version yet")]),
        ("htpp", {}, [("", "unknown kind of connection `htpp`; did you mean http?")]),
    ],
)
def test_faults(kind: str, config: Any, faults: Any) -> None:
    found = catalogue.faults(kind, config)
    assert found == faults if faults is not None else len(found) >= 1


def test_advice() -> None:
    literal = "a literal password: write it as `${{ secrets.NAME }}`"
    plain = "would travel in plain text: add `tls: true`"
    advice = catalogue.advice
    assert advice("http", {"url": "https://a", "auth": {"bearer": "abc"}}) == [("auth.bearer", literal)]
    assert advice("http", {"url": "http://a", "auth": {"bearer": "${{ secrets.T }}"}}) == [("auth.bearer", plain)]
    assert advice("http", {"url": "http://127.0.0.1:8", "auth": {"bearer": "${{ secrets.T }}"}}) == []
    assert advice("nats", {"servers": ["nats://a:4222"], "token": "${{ secrets.T }}", "tls": True}) == []
    assert advice("kafka", {"servers": ["b:9092"], "sasl": {"password": "p"}}) == [
        ("sasl.password", literal),
        ("sasl.password", plain),
    ]
    assert advice("smtp", {"host": "a", "password": "${{ secrets.T }}"}) == []
    assert advice("smtp", {"host": "a", "password": "${{ secrets.T }}", "security": "none"}) == [("password", plain)]


def test_schemas() -> None:
    for kind in catalogue.KINDS:
        jsonschema.Draft202012Validator.check_schema(catalogue.schema(kind))


def test_secrets_are_not_shown() -> None:
    config = catalogue.KINDS["http"].config.model_validate(
        {"url": "http://a", "auth": {"basic": {"username": "u", "password": "hidden"}}}
    )
    assert "hidden" not in repr(config)
    config = catalogue.KINDS["postgres"].config.model_validate({"url": "postgresql://u:hidden@a/b"})
    assert "hidden" not in repr(config)


async def test_registry_shares_and_closes(tmp_path: Path) -> None:
    rendered: list[Any] = []

    def render(keys: Any) -> Any:
        rendered.append(keys)
        return {**keys, "url": "http://rendered.test"} if "url" in keys else keys

    declared = {
        "shop": {"http": {"url": "${{ env.URL }}"}},
        "db": {"sqlite": {"path": "a.db"}},
        "other": {"sqlite": {"path": "b.db"}},
    }
    registry = Registry(declared, project=str(tmp_path), render=render)
    assert rendered == []
    shop = registry.get("http")
    assert isinstance(shop, HttpConnection)
    assert isinstance(shop, Connection)
    assert isinstance(shop, Sender)
    assert shop.address("x") == "http://rendered.test/x"
    assert registry.get("http", "shop") is shop
    assert rendered == [{"url": "${{ env.URL }}"}]
    assert registry.names() == ["shop", "db", "other"]
    assert registry.names("sql") == ["db", "other"]
    assert registry.kind("db") == "sqlite"
    assert registry.get("sql", "db") is registry.get("sqlite", "db")
    await registry.get("sql", "db").open()
    await registry.close()
    await registry.close()
    assert registry.get("http") is not shop


@pytest.mark.parametrize(
    ("kind", "name", "text", "hint"),
    [
        ("http", "shpo", "no connection is called `shpo`", "did you mean shop?"),
        (
            "sql",
            None,
            "2 connections of kind `sql` are declared: name one",
            "write `connection: db`; one of: db, other",
        ),
        (
            "smtp",
            None,
            "no connection of kind `smtp` is declared",
            "declare it in reactor.yaml: connections: {main: {smtp: {…}}}",
        ),
        (
            "jetstream",
            None,
            "no connection of kind `jetstream` is declared",
            "declare it in reactor.yaml: connections: {main: {nats: {…}}}",
        ),
        (
            "sql",
            "shop",
            "connection `shop` is of kind `http`; here one of kind `sql` is needed",
            "declared ones that fit: db, other",
        ),
        (
            "smtp",
            "shop",
            "connection `shop` is of kind `http`; here one of kind `smtp` is needed",
            "declare it in reactor.yaml: connections: {main: {smtp: {…}}}",
        ),
    ],
)
def test_missing_connections(kind: str, name: str | None, text: str, hint: str) -> None:
    registry = Registry(
        {"shop": {"http": {"url": "http://a"}}, "db": {"sqlite": {"path": "a"}}, "other": {"sqlite": {"path": "b"}}}
    )
    with pytest.raises(StepError) as caught:
        registry.get(kind, name)
    error = caught.value
    assert (error.code, error.class_, str(error), error.hint) == ("missing_connection", "fix", text, hint)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    registry = Registry({"broker": {"kafka": {"servers": ["a:1"]}}, "m": {"redis": {}}, "bad": {"http": {"ulr": "x"}}})
    with pytest.raises(StepError) as caught:
        registry.get("kafka")
    assert (caught.value.code, str(caught.value), caught.value.hint) == (
        "missing_extra",
        "connections of kind `kafka` need the library aiokafka, which is not installed",
        "pip install 'reactor-triggers[kafka]'",
    )
    with pytest.raises(StepError) as caught:
        registry.get("redis")
    assert (caught.value.code, str(caught.value)) == (
        "unavailable",
        "connections of kind `redis` are not carried out by this version yet",
    )
    with pytest.raises(StepError) as caught:
        registry.get("http")
    assert (caught.value.code, str(caught.value)) == (
        "config",
        "connection `bad` (http): url: is required and missing; ulr: unknown key `ulr`; did you mean url?",
    )


class Stubborn:
    kind: ClassVar[str] = "http"

    async def close(self) -> None:
        raise OSError("no")


async def test_one_that_does_not_close_holds_no_other(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    registry = Registry({"a": {"http": {"url": "http://a"}}, "db": {"sqlite": {"path": "a.db"}}}, project=str(tmp_path))
    database: Any = registry.get("sqlite")
    await database.open()
    registry._made["a"] = Stubborn()
    await registry.close()
    assert database._threads is None
    assert [record.getMessage() for record in caplog.records] == ["connection `a` did not close: no"]


def test_translate() -> None:
    with pytest.raises(NotConnected, match=r"^PostgreSQL: refused$") as caught:
        with translate({ConnectionError: NotConnected, OSError: lambda e: ConfigError(f"os {e}")}, "PostgreSQL"):
            raise ConnectionRefusedError("refused")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    with (
        pytest.raises(ConfigError, match=r"^os disk$"),
        translate({ConnectionError: NotConnected, OSError: lambda e: ConfigError(f"os {e}")}),
    ):
        raise OSError("disk")
    with pytest.raises(ValueError, match="other"), translate({OSError: NotConnected}):
        raise ValueError("other")
