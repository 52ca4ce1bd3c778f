"""What an endpoint of the API is: one row of a table, from which both the routes and `/api/openapi.json` are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, Struct

from ..core.durations import parse_instant
from ..core.errors import ConfigError
from ..core.http import Refused
from ..language.diagnostics import did_you_mean
from .tokens import Scope as Need, Token
from .wire import Scope

if TYPE_CHECKING:
    from ..app import App

KEY_CHARS_MAX = 255
INT_DIGITS_MAX = 9  # of a number in the query


class Param(Struct, frozen=True):
    """A key of the query."""

    name: str
    help: str
    kind: Literal["text", "texts", "int", "bool", "instant"] = "text"
    least: int = 0  # the smallest `int` that is taken
    among: tuple[str, ...] = ()  # all that a text may be, for the document; its handler refuses others
    required: bool = False  # for the document too


PAGE = (
    Param("limit", "rows of a page, 50 by default", "int", 1),
    Param("cursor", "the `next` of the page before"),
)


class Answer(Struct, frozen=True):
    """An answer that differs from its endpoint's usual one; `value` UNSET has no body."""

    value: Any = UNSET
    status: int = 200
    headers: Mapping[str, str] = {}


class Call(Struct):
    """One request to an endpoint, read and checked."""

    app: App
    caller: Token
    params: Mapping[str, str]
    query: dict[str, Any]
    headers: Mapping[str, str]
    body: Any
    raw: bytes
    scope: Scope
    base: str = ""
    """What stands before `/api/v1`: where the application is mounted, and `server.base_path`."""

    @property
    def key(self) -> str:
        """The Idempotency-Key; empty without one. Raises Refused."""
        key = self.headers.get("idempotency-key", "")
        if len(key) > KEY_CHARS_MAX:
            raise Refused(
                400, "invalid_request", f"an Idempotency-Key has at most {KEY_CHARS_MAX} characters; found {len(key)}"
            )
        return key


Handler = Callable[[Call], Awaitable[Any]]


class Endpoint(Struct, frozen=True):
    """One method of one path (below `/api/v1`). `body` is the type of its JSON body; None: the body means nothing."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    need: Need
    handler: Handler
    summary: str
    query: tuple[Param, ...] = ()
    body: Any = None
    text: bool = False  # the body is a text of its own (YAML or JSON), handed over as it came
    status: int = 200
    shape: str = "object"  # of the answer, by its name in the schemas of the document
    keyed: bool = False  # takes Idempotency-Key


def query_of(endpoint: Endpoint, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The query's values by name, typed. Raises Refused 400 for an unknown key or a value that is none."""
    known = {param.name: param for param in endpoint.query}
    found: dict[str, Any] = {}
    for name, text in pairs:
        param = known.get(name)
        if param is None:
            hint = did_you_mean(name, known) if known else "this takes no query"
            raise Refused(400, "invalid_request", f"unknown key `{name}` in the query", hint=hint)
        value = _value(param, text)
        if param.kind == "texts":
            found.setdefault(name, []).extend(value)
        elif name in found:
            raise Refused(400, "invalid_request", f"`{name}` is given twice in the query")
        else:
            found[name] = value
    return found


def _value(param: Param, text: str) -> Any:
    if param.kind == "text":
        return text
    if param.kind == "texts":
        return [part for part in text.split(",") if part]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= INT_DIGITS_MAX else -1
    if param.kind == "int" and number >= param.least:
        return number
    if param.kind == "bool" and text in ("true", "false"):
        return text == "true"
    if param.kind == "instant":
        try:
            return parse_instant(text)
        except ConfigError as e:
            raise Refused(400, "invalid_request", f"`{param.name}`: {e}", hint=e.hint) from None
    whole = "a whole number" + (f" of at least {param.least}" if param.least else "")
    expected = {"int": whole, "bool": "true or false"}[param.kind]
    raise Refused(400, "invalid_request", f"`{param.name}` must be {expected}; found `{text[:80]}`")


def body_of(endpoint: Endpoint, raw: bytes) -> Any:
    """The body as its type; an empty one is an empty mapping. Raises Refused 400."""
    if endpoint.body is None or endpoint.text:
        return None
    try:
        return msgspec.json.decode(raw or b"{}", type=endpoint.body)
    except msgspec.ValidationError as e:
        raise Refused(400, "invalid_request", f"the body is not what this takes: {e}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Refused(400, "invalid_request", f"the body is not valid JSON: {e}") from None
