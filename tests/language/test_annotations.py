"""Type hints as JSON Schema, and the parameters of functions."""

import datetime
import enum
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field

from reactor.language.annotations import hints_of, parameters, plain_default, schema_of, signature_of
from reactor.language.json_schema import compile_schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Order:
    lines: list[Line]
    title: str = ""
    tags: dict[str, int] = field(default_factory=dict[str, int])


class Tree(msgspec.Struct):
    name: str
    below: list["Tree"] = []


class Address(BaseModel):
    city: str = Field(min_length=1)
    zip: str | None = None


class Point(TypedDict):
    x: float


class Pair(NamedTuple):
    left: int
    right: str


class Opaque:
    pass


LINE = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "count": {"type": "integer", "default": 1}},
    "required": ["sku"],
}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (dict, {"type": "object"}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Colour, {"enum": ["blue", "red"]}),
        (Annotated[int, msgspec.Meta(ge=1)], {"type": "integer", "minimum": 1}),
        (Line, LINE),
        (Point, {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}),
        (
            Order,
            {
                "type": "object",
                "properties": {
                    "lines": {"type": "array", "items": LINE},
                    "title": {"type": "string", "default": ""},
                    "tags": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
                "required": ["lines"],
            },
        ),
        (
            Tree,
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {}, "default": []}},
                "required": ["name"],
            },
        ),
        (
            list[Address],
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "city": {"type": "string", "minLength": 1},
                        "zip": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                    },
                    "required": ["city"],
                },
            },
        ),
        (Opaque, None),
        (list[Opaque], None),
        (Order | Tree, None),  # which of the two an object is, nothing tells
    ],
)
def test_schemas(hint: Any, schema: Any) -> None:
    assert schema_of(hint) == schema
    if schema is not None:
        compile_schema(schema)


def test_every_schema_can_be_carried_out() -> None:
    for hint in (Pair, datetime.datetime, datetime.timedelta, bytes, tuple[int, ...], set[str], dict[str, Order]):
        assert compile_schema(schema_of(hint))


def test_parameters() -> None:
    def function(place: int, /, first: str, *rest: int, second: "Missing" = 1, **more: int) -> None:  # noqa: F821  # only type checkers know it
        pass

    found, by_place = parameters(function)
    assert [(each.name, each.default, each.required) for each in found] == [
        ("first", found[0].default, True),
        ("second", 1, False),
    ]
    assert by_place == ["place"]
    assert hints_of(function)["second"] is Any
    assert parameters(int.__add__, method=True)[0] == []
    assert parameters(object()) == ([], [])


# What a module sees that imports `Order` under `if TYPE_CHECKING` alone; from Python 3.14 on it needs no quotes.
UNKNOWN = """
def shipped(
    order: Order, orders: list[Order], maybe: Annotated[Order | None, "it"], word: Literal["Order"], count: int = 1
) -> None: ...
"""
if sys.version_info < (3, 14):
    UNKNOWN = UNKNOWN.replace("Order | None", "Optional[Order]").replace('"Order"', "WORD").replace("Order", '"Order"')


def test_names_that_only_type_checkers_know_make_no_error() -> None:
    names: dict[str, Any] = {"Annotated": Annotated, "Literal": Literal, "Optional": Optional, "WORD": "Order"}
    exec(UNKNOWN, names)
    found, by_place = parameters(names["shipped"])
    hints = {each.name: each.hint for each in found}
    assert hints == {"order": Any, "orders": Any, "maybe": Any, "word": Literal["Order"], "count": int}
    assert by_place == []
    quoted: dict[str, Any] = {"Annotated": Annotated, "Literal": Literal, "Optional": Optional, "WORD": "Order"}
    exec(f"from __future__ import annotations\n{UNKNOWN}", quoted)
    assert hints_of(quoted["shipped"]) == {**hints, "return": type(None)}
    assert list(signature_of(names["shipped"]).parameters) == list(hints)


def test_defaults() -> None:
    assert plain_default(Line("a")) == {"sku": "a", "count": 1}
    assert plain_default(Address(city="Bonn")) == {"city": "Bonn", "zip": None}
    assert plain_default(Colour.RED) == "red"
    with pytest.raises(TypeError):
        plain_default(Opaque())
