"""Faults of expressions are found when a file is loaded, each with its place and cure, as a whole message."""

from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from reactor.language.cel import Expression, ExpressionError, check_expression, compile_expression
from reactor.language.diagnostics import InvalidDefinition
from reactor.language.scope import ANY, Scope
from reactor.tests.language.scopes import SCOPE, activation

FUNCTIONS_HINT = "functions of CEL, strings, lists and math, and those of the language page"

FAULTS: list[tuple[str, str, int, str, str]] = [
    # text, message, column, characters under the caret, hint
    ("evnt.data == 1", "there is no name evnt here", 1, "evnt", "did you mean event?"),
    ("event.id == evnt.id", "there is no name evnt here", 13, "evnt", "did you mean event?"),
    ("'evnt' == evnt.id", "there is no name evnt here", 11, "evnt", "did you mean event?"),
    ("output.id", "there is no name output here", 1, "output", "one of: env, event, inputs, steps, vars"),
    ("output.id == 1", "there is no name output here", 1, "output", "one of: env, event, inputs, steps, vars"),
    ("secrets.token", "there is no name secrets here", 1, "secrets", "one of: env, event, inputs, steps, vars"),
    ("True", "there is no name True here", 1, "True", "one of: env, event, inputs, steps, vars"),
    ("True && vars.a", "there is no name True here", 1, "True", "write true"),
    ("event.id != None", "there is no name None here", 13, "None", "write null"),
    ("inputs.totl", "inputs has no field totl", 8, "totl", "did you mean total?"),
    ("inputs.totl > 1", "inputs has no field totl", 8, "totl", "did you mean total?"),
    ('inputs["totl"] > 1', "inputs has no field totl", 9, "totl", "did you mean total?"),
    ("inputs.address.town == 'x'", "inputs.address has no field town", 16, "town", "one of: city"),
    ("inputs.total.x", "inputs.total is a number: it has no field x", 14, "x", "read it without a field"),
    ("inputs.order_id.x == 1", "inputs.order_id is text: it has no field x", 17, "x", "read it without a field"),
    ("steps.charg.output", "steps has no field charg", 7, "charg", "did you mean charge?"),
    ("steps.charge.outptu.x == 1", "steps.charge has no field outptu", 14, "outptu", "did you mean output?"),
    ("steps", "steps can only be read by field here", 1, "steps", 'name one: steps["a-b"]'),
    ("steps.exists(s, s == 'a')", "steps can only be read by field here", 1, "steps", 'name one: steps["a-b"]'),
    ("steps[vars.name].output", "steps can only be read by field here", 1, "steps", 'name one: steps["a-b"]'),
    ("vars.a.all(x, x.ok && evnt.ok)", "there is no name evnt here", 23, "evnt", "did you mean event?"),
    ("sze(vars.a)", "there is no function sze", 1, "sze", "did you mean size?"),
    ("vars.a.startWith('x')", "there is no function startWith", 8, "startWith", "did you mean startsWith?"),
    ("frobnicate(1)", "there is no function frobnicate", 1, "frobnicate", FUNCTIONS_HINT),
    ("hashFiles('x')", "the function hashFiles is for cache.key alone", 1, "hashFiles", "compute the value in a step"),
    ("last_outputs('x').a", "the function last_outputs is for the `with` of a step alone", 1, "last_outputs",
     "compute the value in a step"),
    ("inputs.total = 3", "= alone is no operator", 14, "=", "compare with =="),
    ("vars.a and vars.b", "and was not expected here", 8, "and", "the operator and is written &&"),
    ("vars.a or vars.b", "or was not expected here", 8, "or", "the operator or is written ||"),
    ("not vars.a", "vars was not expected here", 5, "vars", "the operator not is written !"),
    ("vars.a & vars.b", "& is not part of CEL", 8, "&", "use && and || for and, or"),
    ("event.data.in == 1", ".in was not expected here", 12, "in", 'in is a word of CEL: write ["in"] instead of .in'),
    ("1 +", "the expression ends too early", 4, "",
     "complete it: an operator lacks its right side, or a bracket is not closed"),
    ("size(vars.a", "the expression ends too early", 12, "",
     "complete it: an operator lacks its right side, or a bracket is not closed"),
    ("event.id == 'abc", "a text that begins here is never closed", 13, "'", "close it with '"),
    ("vars.a)", ") was not expected here", 7, ")", "check operators, brackets and quotes around here"),
    ("'\\q'", "a text that begins here has an escape that CEL does not know", 1, "'", "double a backslash: \\\\"),
    ("", "the expression is empty", 1, "", "write a CEL expression, or remove the key"),
    ("   ", "the expression is empty", 1, " ", "write a CEL expression, or remove the key"),
    ("'a' + 1", "+ does not take text and a number", 5, "+", "convert one of them: double(x) or string(x)"),
    ("1 + true", "+ does not take a number and true or false", 3, "+", "check the types of its parts"),
    ("'a' > 1", "> does not take text and a number", 5, ">", "convert one of them: double(x) or string(x)"),
    ("1 && true", "&& does not take a number and true or false", 3, "&&",
     "a condition must be true or false: compare it with ==, !=, <, >"),
    ("timestamp(event.time) > '2026'", "> does not take an instant and text", 23, ">",
     "convert the text: timestamp(x)"),
    ("size(vars.a).b == 1", "a number has no fields", 13, ".", "read it without a field"),
    ("size(1)", "size() does not take a number", 5, "(", "check the types of its parts"),
    ("event.?data", "an optional value needs a default before it can be used here", 6, ".",
     "write .orValue(…) after it"),
    ("[event.?data]", "an optional value needs a default before it can be used here", 7, ".",
     "write .orValue(…) after it"),
    ("event.data.list.first()", "an optional value needs a default before it can be used here", 22, "(",
     "write .orValue(…) after it"),
    ("+".join(["1"] * 40), "the expression is nested too deep: at most 32 levels, operators in a row count too", 1, "1",
     "split it, or use lists: [a, b, c].join() for a + b + c"),
    ("(" * 40 + "1" + ")" * 40, "the expression is nested too deep: at most 32 levels, operators in a row count too",
     1, "(",
     "split it, or use lists: [a, b, c].join() for a + b + c"),
    ("vars" + ".a" * 3000, "the expression is longer than 4096 bytes", 1, "v", "split it, or compute it in a step"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message", "column", "under", "hint"), FAULTS, ids=[fault[0][:30] for fault in FAULTS]
)
def test_fault(text: str, message: str, column: int, under: str, hint: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compile_expression(text, SCOPE)
    (fault,) = caught.value.diagnostics
    assert (fault.message, fault.hint) == (message, hint)
    assert (fault.place.line, fault.place.column) == (1, column)
    assert text[column - 1 : column - 1 + len(under)] == under
    assert fault.place.length == max(1, len(under))


def test_fault_is_shown_with_line_and_caret() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compile_expression("inputs.paid &&\n  inputs.totl > 3", SCOPE)
    assert str(caught.value) == (
        "error: inputs has no field totl\n"
        "  --> <text>:2:10\n"
        " 2 |   inputs.totl > 3\n"
        "   |          ^^^^\n"
        "  = help: did you mean total?"
    )


def test_all_faults_of_an_expression_at_once() -> None:
    found = check_expression("evnt.id == 1 && sze(vars.a) == 1 && outptu.x == 2", SCOPE)
    assert not isinstance(found, Expression)
    assert [fault.message for fault in found] == [
        "there is no name evnt here",
        "there is no function sze",
        "there is no name outptu here",
    ]
    found = check_expression("inputs.a == inputs.b && inputs.total > 1", SCOPE)
    assert not isinstance(found, Expression)
    assert [(fault.message, fault.place.column) for fault in found] == [
        ("inputs has no field a", 8),
        ("inputs has no field b", 20),
    ]


def test_words_of_the_language_that_are_not_carried_out_yet() -> None:
    scope = Scope(SCOPE.names, frozenset(("hashFiles", "last_outputs")))
    for name in ("hashFiles", "last_outputs"):
        found = check_expression(f"{name}('x')", scope)
        assert not isinstance(found, Expression)
        assert [(fault.code, fault.message) for fault in found] == [
            ("unavailable", f"the function {name} is not carried out by this version")
        ]


def test_result_type_that_is_not_expected() -> None:
    found = check_expression("inputs.order_id", SCOPE, ("boolean",))
    assert not isinstance(found, Expression)
    assert found[0].render() == (
        "error: the expression gives text, true or false is needed here\n"
        "  --> <text>:1:1\n"
        " 1 | inputs.order_id\n"
        "   | ^^^^^^^^^^^^^^^\n"
        "  = help: compare it with ==, !=, <, > or in"
    )
    for text in ("1 + 1", "'a'", "[1]", "timestamp(0)"):
        assert not isinstance(check_expression(text, SCOPE, ("boolean",)), Expression), text
    for text in ("inputs.paid", "vars.anything", "inputs.total > 1", "1 < 1.5"):
        assert isinstance(check_expression(text, SCOPE, ("boolean",)), Expression), text
    assert isinstance(check_expression("inputs.items", SCOPE, ("array", "object")), Expression)


# each would crash the process, exhaust memory or hang, if the engine were let do it
HOSTILE = [
    "hash(event.?x)", "to_json([event.?x])", "hash(optional.none())", "hash([optional.of(1)][0])",
    "merge({'a': event.?x}, {})",
    "hash(true ? event.?x : event.?y)", "hash(vars.l.map(x, event.?y))", "hash(dyn(event.?x))", "hash(vars.l.first())",
    "hash(event.?x.optMap(v, v))", "1 == 1.0 && hash(event.?x) == ''", "event.?x.map(x, hash(x))",
    "[vars.l.first()].map(o, hash(o))", "optional.of(event.?x).orValue(1)", "hash({?'a': event.?x}.?a)",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_optional_values_never_reach_python(text: str) -> None:
    assert not isinstance(check_expression(text, SCOPE), Expression)


LARGE = {
    "big": list(range(20_000)),
    "l": list(range(100)),
    "deep": [list(range(5_000))] * 2,
    "long": "," * 5_000,
    "nested": [{"l": [1]}, {"l": list(range(20_000))}],
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lists.range(1000000000).size() > 0", "lists.range: at most 2000 items, 1000000000 were asked for"),
        ("vars.big.map(x, x + 1)", "vars.big has 20000 items; map, filter and sortBy go over at most 2000"),
        ("vars.big.filter(x, x > 1)", "vars.big has 20000 items; map, filter and sortBy go over at most 2000"),
        ("vars.big.sort().sortBy(x, -x)", "vars.big has 20000 items; map, filter and sortBy go over at most 2000"),
        (
            "[vars.l, vars.big].flatten().map(x, x)",
            "vars.big has 20000 items; map, filter and sortBy go over at most 2000",
        ),
        ("vars.deep.flatten().map(x, x)", "vars.deep has 10000 items; map, filter and sortBy go over at most 2000"),
        (
            "vars.deep.map(x, vars.big.filter(y, y == x))",
            "vars.big has 20000 items; map, filter and sortBy go over at most 2000",
        ),
        (
            "vars.deep.map(x, vars.deep.flatten().map(y, y))",
            "vars.deep has 10000 items; map, filter and sortBy go over at most 2000",
        ),
        ("vars.long.split(',').map(x, x)", "vars.long has 5001 items; map, filter and sortBy go over at most 2000"),
        ("vars.long.split('').map(x, x)", "vars.long has 5002 items; map, filter and sortBy go over at most 2000"),
        (
            "vars.nested.map(x, x.l.map(y, y))",
            "vars.nested[…].l has 20000 items; map, filter and sortBy go over at most 2000",
        ),
        ("vars.big.exists(x, x < 0)", "the expression goes over more than 10000 items in all"),
        (
            "vars.l.all(x, vars.l.all(y, vars.l.all(z, x + y + z >= 0)))",
            "the expression goes over more than 10000 items in all",
        ),
        ("'x'.matches('[')", "invalid regular expression: missing ]: ["),
        ("'%.1000000000f'.format([1.5])", "precision specifier exceeds maximum of 1000"),
    ],
)
def test_budgets(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, SCOPE).value(activation(vars=LARGE))
    assert str(caught.value) == f"{message} (in {text})"


@pytest.mark.parametrize(
    "text",
    [
        "vars.deep.map(x, x.size())",
        "vars.long.split(';').map(x, x)",
        "vars.big.size()",
        "vars.big[19999]",
        "vars.big.sort()[0] + 0",
        "5 in vars.big",
    ],
)
def test_long_lists_are_fine_where_nothing_is_built(text: str) -> None:
    compile_expression(text, SCOPE).value(activation(vars=LARGE))


PIECES = st.sampled_from(
    [
        "event",
        "vars",
        "inputs",
        "steps",
        ".data",
        ".total",
        ".?x",
        ".a-b",
        "[0]",
        "['k']",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "+",
        "-",
        "*",
        "/",
        "%",
        "<",
        ">",
        "==",
        "!=",
        "&&",
        "||",
        "!",
        "in",
        "true",
        "null",
        "1",
        "2.5",
        "'a'",
        '"b"',
        "size",
        "has(",
        ".map(",
        ".exists(",
        "x",
        ".orValue(",
        "hash(",
        "duration(",
        "lists.range(",
        ")",
        ")",
        "//",
        "/*",
        "r'\\'",
        "$",
        "\\",
        "é",
        "\n",
    ]
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30))
def test_no_text_raises_anything_but_diagnostics(text: str) -> None:
    found = check_expression(text, SCOPE)
    if isinstance(found, Expression):
        with suppress(ExpressionError):
            found.value(activation())
    else:
        assert found
        for fault in found:
            assert fault.hint
            assert fault.render()


@pytest.mark.parametrize("text", ["vars.v", "type(vars.v)", "[vars.v]", "hash(vars.v)", "parse_json(vars.t)"])
@pytest.mark.parametrize("depth", [2_000, 100_000])  # Python 3.11 takes less than 500, later ones less than 1,000
def test_data_nested_too_deep_is_an_error(text: str, depth: int) -> None:
    deep: list[object] = []
    for _ in range(depth):
        deep = [deep]
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, SCOPE).value(activation(vars={"v": deep, "t": "[" * depth + "]" * depth}))
    assert str(caught.value) == f"a value is nested too deep (in {text})"


def test_other_names_than_the_usual() -> None:
    assert (
        compile_expression("previous.total + 1", Scope({"previous": ANY})).value(activation(previous={"total": 1})) == 2
    )
