"""What expressions give: the language's own behaviour, the engine's traps among it, as a table."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from reactor.language.cel import Activation, Expression, ExpressionError, check_expression, compile_expression
from reactor.language.scope import ANY, Name, Scope, name_of_schema
from reactor.tests.language.scopes import ROOTS, SCOPE, activation


def value(text: str, **roots: Any) -> Any:
    return compile_expression(text, SCOPE).value(activation(**roots))


TABLE: list[tuple[str, Any]] = [
    # int and double mix in arithmetic and comparison
    ("event.data.total * 1.5", 225.0), ("1.5 * event.data.total", 225.0), ("event.data.total + 0.5", 150.5),
    ("event.data.total - 0.5", 149.5), ("event.data.total / 4.0", 37.5), ("event.data.total / 4", 37),
    ("event.data.total % 4", 2), ("event.data.total % 2.5", 0.0), ("event.data.price % 1", 0.5), ("5.5 % 2.0", 1.5),
    ("event.data.total * 1.5 > 2", True), ("event.data.price > 1", True), ("1 < 1.5", True), ("1 == 1.0", True),
    ("1 != 1.0", False), ("1 in [1.0]", True), ("2.0 in [1, 2]", True), ("double(event.data.text) > 6", True),
    ("true ? 1 : 2.5", 1), ("event.data.numbers.map(x, x * 1.5)", [1.5, 3.0, 4.5]), ("event.data.total == 150.0", True),
    ("1.0 / 0.0 > 1", True), ("event.data.total / 0.0 > 1", True), ("-event.data.total / 0.0 < 0", True),
    # absent and null
    ("event.data.?absent.orValue(3)", 3), ("event.?data.?items.hasValue()", True),
    ("event.data.?total.orValue(0)", 150),
    ("has(event.data.absent)", False), ("has(event.data.total)", True), ("has(event.data.nothing)", True),
    ("event.data.nothing == null", True), ("event.data.nothing", None), ("event.data.total == null", False),
    ("event.data.?total.optMap(t, t + 1).orValue(0)", 151),
    ("event.data.?absent.or(event.data.?total).orValue(0)", 150),
    ("[?event.data.?absent, ?event.data.?total]", [150]), ('{?"a": event.data.?absent, "b": 1}', {"b": 1}),
    ("event.data.numbers.first().orValue(0)", 1), ("[].last().orValue(0)", 0),
    # access
    ('event.data["in"]', 5), ('steps["a-b"].output', 1), ("event.data[vars.field]", 150),
    ("event.data.items[1].sku", "b"),
    ("event.data['items'][0]['sku']", "a"), (".event.id", "e1"), ("  event.data.total\n", 150), ("{'a': 1}.a", 1),
    # strings, lists, math
    ('"a,b".split(",")', ["a", "b"]), ('["a", "b"].join("-")', "a-b"), ('"%s-%d".format(["x", 3])', "x-3"),
    ('"abc".substring(1)', "bc"), ('"abc".matches("^a.c$")', True), ('"Ab".lowerAscii()', "ab"),
    ("[3, 1, 2].sort()", [1, 2, 3]),
    ("[3, 1, 2].sortBy(x, -x)", [3, 2, 1]), ("[[1], [2]].flatten()", [1, 2]), ("[1, 1].distinct()", [1]),
    ("[1, 2, 3].slice(0, 2)", [1, 2]), ("lists.range(3)", [0, 1, 2]), ("math.greatest(1, 2.5)", 2.5),
    ("math.floor(1.5)", 1.0),
    ("event.data.items.exists(i, i.sku == 'b')", True), ("event.data.items.filter(i, i.sku == 'b').size()", 1),
    ("event.data.items.map(i, i.sku)", ["a", "b"]), ('"lists.range(2) duration(1)"', "lists.range(2) duration(1)"),
    # times are RFC 3339 text; durations take the units of YAML
    ("timestamp(event.time)", "2026-12-24T17:00:00Z"), ("timestamp(event.time).getFullYear()", 2026),
    ('timestamp(event.time) + duration("1d12h")', "2026-12-26T05:00:00Z"), ('duration("90m")', "1h30m"),
    ('duration("1d")', "1d"),
    ('duration("PT1H")', "1h"), ('duration("-1h")', "-1h"), ('duration("1w") > duration("6d")', True),
    ('duration("250us")', "250us"),
    ('timestamp("1969-12-31T23:59:59.5Z")', "1969-12-31T23:59:59.5Z"),
    ("timestamp(event.time) > timestamp('2026-01-01T00:00:00Z')", True),
    # functions of the language
    ('hash(7) == hash(7.0)', True), ('hash("7") == hash(7)', False),
    ('hash({"a": 1, "b": 2}) == hash({"b": 2, "a": 1})', True),
    ('parse_json("{\\"a\\": [1, 2.5, null]}")', {"a": [1, 2.5, None]}), ('parse_json("[1]")[0] + 1', 2),
    ('to_json({"b": 1, "a": [true, null, 1.0]})', '{"a":[true,null,1.0],"b":1}'),
    ("to_json(timestamp(0))", '"1970-01-01T00:00:00Z"'),
    ('base64_encode("äö")', "w6TDtg=="), ('base64_encode(b"a")', "YQ=="), ('base64_decode("w6TDtg")', "äö"),
    ('merge({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}})', {"a": {"x": 1, "y": 2}, "b": 1}),
    ('merge(event.data.items[1], {"sku": "c"})', {"sku": "c", "part": {"size": 1}}),
    ('format_time(event.time, "%Y-%m-%d %H:%M", "America/New_York")', "2026-12-24 12:00"),
    ('format_time(timestamp(event.time), "%H")', "17"), ('format_time(0, "%Y")', "1970"),
    # results are JSON
    ('b"abc"', "YWJj"), ("18446744073709551615u", 2**64 - 1), ("{1: 'a'}", {"1": "a"}), ("{true: 1}", {"true": 1}),
    ("event.data.huge", 2**70), ("event.data.huge > 1.0", True), ("event.data.unsigned", 2**63),
    ("[event.data.unsigned]", [2**63]),
    ("1 + // a comment\n 2", 3), ('r"\\d"', "\\d"), ("'''a\nb'''", "a\nb"), ("null", None), ("true", True), ("-1", -1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[text for text, _ in TABLE])
def test_value(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)
    msgspec.json.encode(found)


def test_hash_is_sha256_of_canonical_json() -> None:
    import hashlib

    assert value('hash({"b": 1, "a": [7.0, "ä"]})') == hashlib.sha256('{"a":[7,"ä"],"b":1}'.encode()).hexdigest()


READS: list[tuple[str, set[tuple[Any, ...]]]] = [
    ("1 + 2", set()),
    ("event.data.total", {("event", "data", "total")}),
    ('steps["a-b"].output', {("steps", "a-b", "output")}),
    ("event.data.items[0].sku", {("event", "data", "items", 0, "sku")}),
    ("event.data[vars.field].x", {("event", "data"), ("vars", "field")}),
    ("event.data.items.exists(i, i.sku == vars.sku)", {("event", "data", "items"), ("vars", "sku")}),
    ("event.data.items.map(vars, vars.sku)", {("event", "data", "items")}),
    ("[1, 2].map(event, event + 1)", set()),
    ('"steps.charge" + "${{ x }}" + inputs.order_id', {("inputs", "order_id")}),
    ("event.id // steps.charge", {("event", "id")}),
    ("r'\\d' + event.id", {("event", "id")}),
    ('"""a " steps.charge""" + event.id', {("event", "id")}),
    (
        "has(event.data.x) && event.?data.?y.orValue(vars.z)",
        {("event", "data", "x"), ("event", "data", "y"), ("vars", "z")},
    ),
    ("size(inputs) + vars.a", {("inputs",), ("vars", "a")}),
    ("1 == 1.0 && event.data.x < math.abs(vars.a)", {("event", "data", "x"), ("vars", "a")}),
    ("optional.of(vars.a).or(optional.none()).orValue(1) == 1.0", {("vars", "a")}),
    ("{'event': vars.a}.event", {("vars", "a")}),
]


@pytest.mark.parametrize(("text", "reads"), READS, ids=[text for text, _ in READS])
def test_reads(text: str, reads: set[tuple[Any, ...]]) -> None:
    assert compile_expression(text, SCOPE).reads == reads


@pytest.mark.parametrize(
    ("text", "type_name"),
    [
        ("1", "integer"), ("1.5", "number"), ('"a"', "string"), ("1 < 2", "boolean"), ("[1]", "array"),
        ("{}", "object"),
        ("null", "null"), ("timestamp(0)", "timestamp"), ("duration('1d')", "duration"), ("b'a'", "bytes"),
        ("event.data", ""),
        ("inputs.order_id", "string"), ("inputs.items", "array"), ("inputs", "object"),
        ("event.data.x * 1.5", "number"),
        ("lists.range(2)", "array"), ("merge({}, {})", "object"), ("parse_json('1')", ""),
    ],
)  # fmt: skip
def test_result_type(text: str, type_name: str) -> None:
    assert compile_expression(text, SCOPE).type == type_name


@pytest.mark.rule("5.2")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.total > 100", True), ("event.data.total > 200", False), ("event.data.paid", True),
        ("inputs.paid", False),
        ("event.data.absent > 1", False), ("event.data.absent", False), ("event.absent.absent == 1", False),
        ("!(event.data.absent == 1)", False), ('event.data["absent"] == 1', False),
        ("event.data[vars.absent] == 1", False),
        ("event.data.nothing.field", False), ("event.data.nothing.field == 1", False),
        ('event.data.nothing["field"] == 1', False),
        ("has(event.data.nothing.field)", False), ("event.data.?nothing.?field.orValue(1) == 1", False),
        ("event.data.items.all(i, i.part.size == 1)", False), ("event.data.items.exists(i, i.part.size == 1)", True),
        ("event.data.items.exists(i, i.absent == 1)", False), ("events.paid.data.x == 1", False),
        ("event.data.paid || event.data.absent", True), ("event.data.absent == 1 || true", True),
        ("!event.data.paid && event.data.absent == 1", False),
    ],
)  # fmt: skip
def test_guard(text: str, expected: bool) -> None:
    scope = SCOPE.plus(events=ANY)
    assert compile_expression(text, scope).guard(activation(events={"paid": None})) is expected


@pytest.mark.rule("5.2")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("event.data.country", "a condition must be true or false, event.data.country is text"),
        ("event.data.total", "a condition must be true or false, event.data.total is a number"),
        ("event.data.nothing", "a condition must be true or false, event.data.nothing is null"),
        ("event.data.items", "a condition must be true or false, event.data.items is a list"),
        ("event.data", "a condition must be true or false, event.data is a mapping"),
        ('"true"', 'a condition must be true or false, "true" is text'),
        ("event.data.country > 1", "> does not take text and a number (in event.data.country > 1)"),
        ("event.data.nothing > 1", "> does not take null and a number (in event.data.nothing > 1)"),
        (
            "event.data.country.x == 1",
            "event.data.country is text, so it has no field x (in event.data.country.x == 1)",
        ),
        ("event.data.total.x", "event.data.total is a number, so it has no field x (in event.data.total.x)"),
        ("event.data.items.x", "event.data.items is a list, so it has no field x (in event.data.items.x)"),
        ("event.data.items[9].sku == 'a'", "there is no item 9: the list has 2 (in event.data.items[9].sku == 'a')"),
        ("event.data.items[9].sku", "event.data.items has no item 9: it has 2 (in event.data.items[9].sku)"),
        ("event.data.total / 0 == 1", "a number is divided by zero (in event.data.total / 0 == 1)"),
        ("!event.data.country", "! does not take values of these types (in !event.data.country)"),
        ("event.data.country && true", "&& does not take values of these types (in event.data.country && true)"),
    ],
)
def test_guard_refuses(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, SCOPE).guard(activation())
    assert str(caught.value).removesuffix(f" (in {text})") == message.removesuffix(f" (in {text})")
    assert (caught.value.code, caught.value.class_, caught.value.absent) == ("expression", "park", False)
    assert caught.value.details == {"expression": text}


@pytest.mark.rule("5.2")
@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("event.data.contry", "event.data has no field contry (in event.data.contry)", "did you mean country?"),
        ("event.data.contry == 'DE'", "event.data has no field contry (in event.data.contry == 'DE')",
         "did you mean country?"),
        ("event.data.nothing.x", "event.data.nothing is null, so it has no field x (in event.data.nothing.x)", ""),
        ("event.data.nothing.x + 1", "event.data.nothing is null, so it has no field x (in event.data.nothing.x + 1)",
         "test it first: event.data.nothing != null"),
        ("event.data.items.all(i, i.part.size == 1)",
         "event.data.items[…].part is null, so it has no field size (in event.data.items.all(i, i.part.size == 1))",
         "test it first: event.data.items[…].part != null"),
        ("steps.charge.error", "steps.charge has no field error (in steps.charge.error)", "one of: output, state"),
        ("event.data[vars.absent]", "vars has no field absent (in event.data[vars.absent])", "one of: field, limit"),
    ],
)  # fmt: skip
def test_in_steps_an_absent_field_is_an_error_that_names_it(text: str, message: str, hint: str) -> None:
    expression = compile_expression(text, SCOPE)
    for evaluate in (expression.value, expression.truth):
        with pytest.raises(ExpressionError) as caught:
            evaluate(activation())
        assert (str(caught.value), caught.value.hint, caught.value.absent) == (message, hint, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int('x')", "the text is no integer"),
        ("timestamp('x')", "the text is no instant"),
        ("9223372036854775807 + event.data.total", "an integer leaves its 64 bits"),
        ("event.data.numbers[7] + 1", "there is no item 7: the list has 3"),
        ("1.0 / 0.0", "the result is no finite number"),
        ("[0.0 / 0.0]", "the result is no finite number"),
        ("type(1)", "the result is a type, which has no form in JSON"),
        ("event.data.country ? 1 : 2", "the condition before ? is neither true nor false"),
        (
            "duration(event.data.text)",
            "duration: the duration '7' has no unit; write 7s for seconds or 7ms for milliseconds",
        ),
        ("base64_decode('%')", "base64_decode: this is not base64"),
        ("base64_decode('/w==')", "base64_decode: what was encoded is not UTF-8 text"),
        ("base64_encode(1)", "base64_encode: takes text or bytes"),
        ("merge(1, {})", "merge: takes two mappings"),
        ("format_time('x', '%Y')", "format_time: 'x' is not an instant"),
        ("format_time(event.time, '%Y', 'Nowhere/City')", "format_time: there is no time zone 'Nowhere/City'"),
        ("event.data.total % 0.0 == 1.0", "a number is divided by zero"),
        ("size(event.data.total)", "size() does not take a number"),
        ("'a' + event.data.total", "+ does not take text and a number"),
        ("timestamp(event.time) > event.time", "> does not take an instant and text"),
    ],
)
def test_runtime_errors(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert str(caught.value) == f"{message} (in {text})"


class Point(msgspec.Struct):
    x: int


@pytest.mark.parametrize(
    ("given_value", "text", "expected"),
    [
        ((1, 2), "size(vars.v)", 2), ({3}, "vars.v[0] + 1", 4), (Decimal("1.5"), "vars.v * 2", 3.0),
        (Decimal(7), "vars.v + 1", 8),
        (datetime(2026, 1, 2, tzinfo=UTC), "timestamp(vars.v).getFullYear()", 2026),
        (date(2026, 1, 2), "vars.v + ''", "2026-01-02"),
        (timedelta(hours=1), "duration(vars.v) == duration('1h')", True), (2**70, "vars.v > 1.0", True),
        (-(2**70), "vars.v < 0", True),
        (Point(3), "vars.v.x + 1", 4), ("a\ud800b", "vars.v + '!'", "a\ufffdb!"),
        (b"ab", "base64_encode(vars.v)", "YWI="), ([(1,), {2}], "vars.v.map(x, x[0])", [1, 2]),
        # read without the engine
        ((1, 2), "vars.v", [1, 2]), (Decimal("1.5"), "vars.v", 1.5), (b"ab", "vars.v", "YWI="),
        (Point(3), "vars.v.x", 3),
        ([{"a": (1,)}], "vars.v", [{"a": [1]}]), (timedelta(minutes=5), "vars.v", "5m"),
        ({1: "a"}, "vars.v", {"1": "a"}),
        (2**70, "vars.v", 2**70),
    ],
)  # fmt: skip
def test_python_values_are_brought_into_shape(given_value: Any, text: str, expected: Any) -> None:
    assert value(text, vars={"v": given_value}) == expected


@pytest.mark.parametrize("others", [0, 5])
def test_a_text_is_not_cut_where_it_has_a_null_character(others: int) -> None:
    values = Activation({"vars": {"role": "admin\0x", "a\0b": 1, "list": ["y\0z"]}})
    for number in range(others):
        compile_expression(f"vars.list.size() == {number}", SCOPE).truth(values)
    assert not compile_expression("vars.role == 'admin'", SCOPE).guard(values)
    assert not compile_expression("vars.list[0] == 'y'", SCOPE).guard(values)
    assert not compile_expression("'a' in vars", SCOPE).guard(values)
    assert compile_expression("vars.role + '!'", SCOPE).value(values) == "admin\ufffdx!"
    assert compile_expression("vars.role", SCOPE).value(Activation({"vars": {"role": "admin\0x"}})) == "admin\0x"
    assert value("base64_decode('YQBi') == 'a'") is False
    assert value("parse_json('\"a\\\\u0000b\"') == 'a'") is False
    assert value("merge({'a': 'b\\u0000c'}, {}).a == 'b'") is False


def test_roots_are_fetched_when_first_read() -> None:
    calls: list[str] = []

    def fetch() -> dict[str, int]:
        calls.append("vars")
        return {"a": 1}

    values = Activation({"event": ROOTS["event"], "vars": fetch})
    assert compile_expression("event.data.total > 1", SCOPE).guard(values)
    assert calls == []
    assert compile_expression("vars.a + 1", SCOPE).value(values) == 2
    assert compile_expression("vars.a", SCOPE).value(values) == 1
    assert calls == ["vars"]


@pytest.mark.parametrize("size", [1, 1000])
def test_many_expressions_over_one_activation(size: int) -> None:
    event = {"id": "e", "data": {"list": list(range(size)), "a": {"b": 1, "c": None}}}
    values = Activation({"event": event, "vars": {"x": 2}})
    for number in range(10):
        assert compile_expression(f"event.data.a.b + {number}", SCOPE).value(values) == 1 + number
        assert (
            compile_expression(f"size(event.data.list) + vars.x + {number}", SCOPE).value(values) == size + 2 + number
        )
        assert compile_expression(f"has(event.data.a.c) && !has(event.data.a.d) && {number} >= 0", SCOPE).truth(values)
        assert compile_expression(f"size(event.data.a) == 2 && event.data.a.b == 1 && {number} >= 0", SCOPE).truth(
            values
        )
        assert compile_expression(f"event.data.list[{number % size}] == {number % size}", SCOPE).truth(values)
        assert not compile_expression(f"event.data.a.c.d == {number}", SCOPE).guard(values)


@pytest.mark.rule("4.4")
def test_fields_of_a_computed_mapping_are_in_order() -> None:
    names = [f"f{number}" for number in range(50)]
    text = "{" + ", ".join(f"'{name}': 1" for name in reversed(names)) + "}"
    assert list(value(text)) == sorted(names)
    assert value(f"to_json({text})") == msgspec.json.encode(dict.fromkeys(sorted(names), 1)).decode()


def test_compiled_once_for_a_scope() -> None:
    assert compile_expression("event.data.total > 1", SCOPE) is compile_expression("event.data.total > 1", SCOPE)


def test_warnings_for_the_author() -> None:
    def hints(text: str) -> list[str]:
        found = check_expression(text, SCOPE)
        assert isinstance(found, Expression)
        return [hint.render() for hint in found.hints]

    assert hints("inputs.order_id > 5") == [
        (
            "warning: inputs.order_id is text, and it is compared with a number\n"
            "  --> <text>:1:17\n"
            " 1 | inputs.order_id > 5\n"
            "   |                 ^\n"
            "  = help: convert it: double(inputs.order_id)"
        )
    ]
    assert hints("event.datas.x == 1") == [
        (
            "warning: event.datas is probably event.data\n"
            "  --> <text>:1:7\n"
            " 1 | event.datas.x == 1\n"
            "   |       ^^^^^\n"
            "  = help: did you mean event.data?"
        )
    ]
    assert hints("inputs.total > 5 && event.myextension == 'x'") == []


def test_scope_of_a_json_schema() -> None:
    name = name_of_schema(
        {
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "object", "properties": {"c": {}}, "additionalProperties": False},
            },
        }
    )
    assert (name.type, name.open, name.fields["a"].type, name.fields["b"].open) == ("object", True, "string", False)
    assert name_of_schema(True).open
    assert Scope({"x": name}).check(("x", "b", "d")) is not None
    assert Scope({"x": name}).check(("x", "other")) is None
    assert SCOPE.without("vars").check(("vars",)) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
def test_json_passes_through_the_engine_unchanged(data: Any) -> None:
    (found,) = compile_expression("[vars.v]", SCOPE).value(Activation({"vars": {"v": data}}))
    assert found == data
    assert compile_expression("parse_json(to_json(vars.v))", SCOPE).value(Activation({"vars": {"v": data}})) == data
    assert compile_expression("vars.v", SCOPE).value(Activation({"vars": {"v": data}})) is data


NUMBERS = st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9)


@given(NUMBERS, NUMBERS)
def test_numbers_mix_as_in_python(a: float, b: float) -> None:
    values = Activation({"vars": {"a": a, "b": b}})
    for operator, expected in (("+", a + b), ("-", a - b), ("*", a * b)):
        if isinstance(expected, int) and abs(expected) >= 2**63:
            continue
        assert compile_expression(f"vars.a {operator} vars.b", SCOPE).value(values) == expected
    for operator, truth in (("<", a < b), (">=", a >= b), ("==", a == b), ("!=", a != b)):
        assert compile_expression(f"vars.a {operator} vars.b", SCOPE).truth(values) is truth
    if b and not (isinstance(a, int) and isinstance(b, int)) and math.isfinite(a / b):
        assert math.isclose(compile_expression("vars.a / vars.b", SCOPE).value(values), a / b)


def test_name_without_value() -> None:
    for text in ("events.a", "events.a == 1"):
        expression = compile_expression(text, Scope({"events": Name()}))
        with pytest.raises(ExpressionError) as caught:
            expression.value(Activation({}))
        assert str(caught.value) == f"events has no value here (in {text})"
        assert not expression.guard(Activation({}))
