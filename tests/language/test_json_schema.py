"""JSON Schema: faults in words, defaults, what is refused, and agreement with the reference implementation."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, strategies as st

from reactor.core.errors import ConfigError
from reactor.language.json_schema import compile_schema

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string", "minLength": 2},
        "total": {"type": "number", "minimum": 0},
        "count": {"type": "integer", "default": 1},
        "status": {"enum": ["paid", "open"]},
        "address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zone": {"default": "EU"}},
            "required": ["city"],
        },
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True},
    },
    "required": ["order_id", "total"],
    "additionalProperties": False,
}


def said(schema: Any, value: Any) -> list[str]:
    return [str(fault) for fault in compile_schema(schema).faults(value)]


def test_everything_is_told_with_its_path() -> None:
    wrong = {
        "order_id": "A",
        "total": -1,
        "count": 1.5,
        "status": "payed",
        "address": {},
        "tags": ["a", "a", 3],
        "cuont": 2,
    }
    assert said(ORDER, wrong) == [
        "order_id: expected at least 2 characters; found 1",
        "total: expected a number of at least 0; found the number -1",
        "count: expected a whole number; found the number 1.5",
        'status: expected "paid" or "open"; found the text "payed"; did you mean paid?',
        "address.city: `city` is missing",
        "tags[2]: expected text; found the number 3",
        "tags: expected at most 2 items; found 3",
        'tags[1]: expected items that differ; found the text "a"',
        "cuont: `cuont` is not known; did you mean count?",
    ]
    assert said(ORDER, {}) == ["order_id: `order_id` is missing", "total: `total` is missing"]
    assert said(ORDER, [1]) == ["expected a mapping; found a list"]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (False, 1, "nothing is allowed here; found the number 1"),
        ({"const": {"a": 1}}, {"a": 2}, 'expected {"a": 1}; found a mapping'),
        ({"type": ["string", "null"]}, 1, "expected text or null; found the number 1"),
        ({"exclusiveMinimum": 1}, 1, "expected a number above 1; found the number 1"),
        ({"exclusiveMaximum": 1}, 1, "expected a number below 1; found the number 1"),
        ({"maximum": 1}, 2, "expected a number of at most 1; found the number 2"),
        ({"multipleOf": 0.1}, 0.35, "expected a multiple of 0.1; found the number 0.35"),
        ({"pattern": "^a$"}, "a\n", 'expected text that matches ^a$; found the text "a\\n"'),
        (
            {"format": "date-time"},
            "2026-01-01",
            'expected an instant such as 2026-12-24T18:00:00Z; found the text "2026-01-01"',
        ),
        ({"format": "date"}, "2026-02-30", 'expected a date such as 2026-12-24; found the text "2026-02-30"'),
        ({"format": "uri"}, "a b", 'expected a URI such as https://example.com/a; found the text "a b"'),
        ({"minItems": 1}, [], "expected at least 1 item; found 0"),
        ({"contains": {"const": 1}, "minContains": 2}, [1], "expected at least 2 items as `contains` says; found 1"),
        ({"contains": {"const": 1}, "maxContains": 1}, [1, 1], "expected at most 1 item as `contains` says; found 2"),
        (
            {"prefixItems": [{"type": "string"}], "items": False},
            ["a", 1],
            "[1]: nothing is allowed here; found the number 1",
        ),
        ({"minProperties": 1}, {}, "expected at least 1 property; found 0"),
        (
            {"propertyNames": {"maxLength": 1}},
            {"ab": 1},
            "ab: the name of a property: expected at most 1 character; found 2",
        ),
        ({"patternProperties": {"^a": {"type": "null"}}}, {"ab": 1}, "ab: expected null; found the number 1"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "b: `b` is missing; `a` needs it"),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, "b: `b` is missing"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "expected text or null; found the number 1"),
        ({"anyOf": [{"type": "string"}, {"required": ["a"]}]}, {"b": 1}, "a: `a` is missing"),
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, 3, "expected exactly one of the alternatives; found 2 that fit"),
        ({"not": {"type": "string"}}, "a", 'expected a value that `not` does not take; found the text "a"'),
        (
            {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "null"}},
            "a",
            "expected at least 2 characters; found 1",
        ),
        (
            {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "null"}},
            1,
            "expected null; found the number 1",
        ),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, 1, "expected text; found the number 1"),
        (
            {"properties": {"next": {"$ref": "#"}}, "required": ["id"]},
            {"id": 1, "next": {}},
            "next.id: `id` is missing",
        ),
    ],
)
def test_message_of_each_keyword(schema: Any, value: Any, message: str) -> None:
    assert said(schema, value) == [message]


@pytest.mark.parametrize(
    ("schema", "path", "message", "hint"),
    [
        (5, "", "a schema is a mapping, true or false; found the number 5", "write {type: string}"),
        ({"type": "strng"}, "type", '"strng" is no type of JSON Schema', "did you mean string?"),
        (
            {"properties": {"a": {"requird": ["b"]}}},
            "properties.a.requird",
            "the schema keyword `requird` is not known",
            "did you mean required?",
        ),
        ({"required": "a"}, "required", '`required` is a list of property names; found the text "a"', "write [name]"),
        (
            {"pattern": "("},
            "pattern",
            '"(" is no regular expression: missing ), unterminated subpattern at position 0',
            "",
        ),
        (
            {"$ref": "https://a.test/b"},
            '["$ref"]',
            '`$ref` leads inside this schema, it begins with #; found the text "https://a.test/b"',
            'copy what you need under `$defs` and write `$ref: "#/$defs/NAME"`',
        ),
        ({"$ref": "#/$defs/a"}, '["$ref"]', "`$ref: #/$defs/a` leads nowhere in this schema", ""),
        (
            {"$ref": "#"},
            '["$ref"]["#"]["$ref"]',
            "`$ref: #` leads back to itself without going into the value",
            "it would never end",
        ),
        (
            {"unevaluatedProperties": False},
            "unevaluatedProperties",
            "the schema keyword `unevaluatedProperties` is not available",
            "use `additionalProperties` in the schema that names the properties",
        ),
        ({"items": [{}]}, "items", "`items` is one schema; found a list", "a schema for each place is `prefixItems`"),
        ({"minLength": -1}, "minLength", "`minLength` is a whole number from 0; found the number -1", ""),
        ({"multipleOf": 0}, "multipleOf", "`multipleOf` is a number above 0; found the number 0", ""),
        ({"enum": []}, "enum", "`enum` is a list of at least one value; found an empty list", ""),
    ],
)
def test_what_is_no_schema(schema: Any, path: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_schema(schema)
    assert (str(caught.value), caught.value.path, caught.value.hint) == (message, path, hint)


def test_annotations_and_unknown_words_are_let_be() -> None:
    compile_schema({"title": "a", "x-order": 1, "discriminator": {}, "deprecated": True, "somethingElse": 1})


def test_defaults_are_filled_in_and_not_shared() -> None:
    checker = compile_schema(
        {"properties": {"a": {"default": []}, "b": {"properties": {"c": {"default": 1}}}, "d": {"default": None}}}
    )
    given_value: dict[str, Any] = {"b": {}}
    filled = checker.filled(given_value)
    assert filled == {"a": [], "b": {"c": 1}, "d": None}
    assert given_value == {"b": {}}
    filled["a"].append(1)
    assert checker.filled({})["a"] == []
    whole = {"a": [1], "b": {"c": 2}, "d": 3}
    assert checker.filled(whole) is whole
    assert compile_schema({"type": "string"}).filled("a") == "a"


def test_a_value_nested_too_deep_is_a_fault() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    assert said({"items": {"$ref": "#"}}, value) == ["the value is nested too deeply to be checked"]


# The reference implementation takes 1.0 for 1 and keeps true apart, as we do.
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "ab", "b1"])
    | st.sampled_from([0.5, 1.0, -2.0])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
TYPE = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])
NUMBER = st.integers(-2, 2) | st.sampled_from([0.5, 1.5])
COUNT = st.integers(0, 2)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPE | st.lists(TYPE, min_size=1, max_size=2, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minimum": NUMBER,
            "maximum": NUMBER,
            "exclusiveMinimum": NUMBER,
            "exclusiveMaximum": NUMBER,
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minLength": COUNT,
            "maxLength": COUNT,
            "pattern": st.sampled_from(["^a", "b$", "[0-9]"]),
            "items": inner,
            "prefixItems": several,
            "contains": inner,
            "minContains": COUNT,
            "maxContains": COUNT,
            "minItems": COUNT,
            "maxItems": COUNT,
            "uniqueItems": st.booleans(),
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            "additionalProperties": inner,
            "propertyNames": inner,
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "minProperties": COUNT,
            "maxProperties": COUNT,
            "dependentRequired": st.dictionaries(
                st.sampled_from("ab"), st.lists(st.sampled_from("abc"), max_size=1), max_size=1
            ),
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans() | st.builds(lambda name: {"type": name}, TYPE), _schemas, max_leaves=6)


@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=5))
def test_agrees_with_the_reference(schema: Any, values: list[Any]) -> None:
    checker, reference = compile_schema(schema), jsonschema.Draft202012Validator(schema)
    for value in values:
        assert checker.valid(value) == reference.is_valid(value), (schema, value)


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.builds(
            lambda name, more: {"type": name, **more}, TYPE, st.sampled_from([{}, {"minimum": 0}, {"default": 1}])
        ),
    ),
    st.booleans(),
    VALUES,
)
def test_the_quick_way_says_the_same(properties: dict[str, Any], more: bool, value: Any) -> None:
    schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": more,
        "required": sorted(properties)[:1],
    }
    reference = jsonschema.Draft202012Validator(schema)
    assert compile_schema(schema).valid(value) == reference.is_valid(value)
