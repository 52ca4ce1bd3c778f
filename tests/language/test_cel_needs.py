"""What an expression needs of its values, and that nothing else of them changes what it gives."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from reactor.language.cel import Activation, Expression, ExpressionError, compile_expression
from reactor.language.cel_ast import EACH
from reactor.language.cel_needs import Needs, cut
from reactor.tests.language.scopes import SCOPE

WHOLE = None


def of_vars(needs: Needs | None) -> Needs:
    return {"vars": needs}


NEEDED: list[tuple[str, Needs]] = [
    ("vars.a + 1", of_vars({"a": WHOLE})),
    ("vars.a + vars.b.c", of_vars({"a": WHOLE, "b": {"c": WHOLE}})),
    ("vars.b.c == 1 && vars.b == {}", of_vars({"b": WHOLE})),
    ("vars.b == {} && vars.b.c == 1", of_vars({"b": WHOLE})),
    ("vars.rows.size() > 1", of_vars({"rows": {EACH: {}}})),
    ("size(vars.rows) > 1 && vars.rows[0] == 1", of_vars({"rows": {EACH: {}, 0: WHOLE}})),
    ("vars.rows[2].a > 1", of_vars({"rows": {2: {"a": WHOLE}}})),
    ("vars.rows[vars.i].a > 1", of_vars({"rows": WHOLE, "i": WHOLE})),
    ("vars.rows.exists(r, r.a > 1)", of_vars({"rows": {EACH: {"a": WHOLE}}})),
    ("vars.rows.exists(r, true)", of_vars({"rows": {EACH: {}}})),
    ("vars.rows.exists(r, r == 1)", of_vars({"rows": {EACH: WHOLE}})),
    ("vars.rows.filter(r, r.a > 1).size()", of_vars({"rows": {EACH: WHOLE}})),
    ("vars.rows.map(r, r.a)", of_vars({"rows": {EACH: {"a": WHOLE}}})),
    ("vars.rows.all(r, r.b.exists(t, t == r.c))", of_vars({"rows": {EACH: {"b": {EACH: WHOLE}, "c": WHOLE}}})),
    ("vars.rows.exists(r, r.b.size() > 1)", of_vars({"rows": {EACH: {"b": {EACH: {}}}}})),
    ("has(vars.a.b)", of_vars({"a": {"b": WHOLE}})),
    ("vars.?a.orValue(1)", of_vars({"a": WHOLE})),
    ("to_json(vars.rows).size()", of_vars({"rows": WHOLE})),
    ("math.greatest(vars.a, 1)", of_vars({"a": WHOLE})),
]


@pytest.mark.parametrize(("text", "needs"), NEEDED, ids=[text for text, _ in NEEDED])
def test_what_is_needed(text: str, needs: Needs) -> None:
    assert compile_expression(text, SCOPE).needs == needs


@pytest.mark.parametrize(
    ("value", "needs", "rest"),
    [
        ({"a": 1, "b": 2}, {"a": WHOLE}, {"a": 1}),
        ({"a": 1}, {"b": WHOLE}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": WHOLE, "d": WHOLE}}, {"a": {"c": 2}}),
        ([{"a": 1, "b": 2}, 3, [4]], {EACH: {"a": WHOLE}}, [{"a": 1}, 3, [4]]),
        ([{"a": 1}, 3, [4], "five"], {EACH: {}}, [{}, 3, [], "five"]),
        ([{"a": 1, "b": 2}, 3, 4, 5], {0: {"b": WHOLE}, 2: WHOLE}, [{"b": 2}, 3, 4]),
        ([1, 2], {7: WHOLE}, [1, 2]),
        ([1, 2], {-1: WHOLE}, [1, 2]),
        ([{"a": 1}], {0: {"b": WHOLE}, EACH: {}}, [{"a": 1}]),
        ([{"a": 1}], {"field": WHOLE}, [{"a": 1}]),
        ({"a": 1, "b": 2}, {EACH: {}}, {"a": None, "b": None}),
        ({"a": 1, "b": 2}, {EACH: {}, "a": WHOLE}, {"a": 1, "b": 2}),
        ("text", {"a": WHOLE}, "text"),
        (None, {EACH: {}}, None),
    ],
)
def test_what_is_left(value: Any, needs: Needs, rest: Any) -> None:
    assert cut(value, needs) == rest


TEXTS = [text for text, _ in NEEDED] + [
    "vars.rows.exists_one(r, r.a == 1)",
    "vars.rows.map(r, has(r.a), r.b)",
    "vars.rows.map(r, r.?a.orValue(0))",
    "vars.rows.sortBy(r, r.a)",
    "vars.rows.exists(r, r.a in r.b)",
    "vars.rows.exists(k, vars.rows[k] == 1)",
    "vars.rows[0].b.exists(t, t == vars.a)",
    "vars.rows[?1].?a.orValue(vars.i)",
    "vars.rows.filter(r, r.b.size() > 0).map(r, r.c)",
    "vars.rows.size() > 0 ? vars.rows[0].a : vars.a",
    "vars.rows[-1].a == 1",
    "vars.rows.size() == 0 || vars.rows.a == vars.rows.b",
    "vars.rows.size() == 1 && vars.rows[0].a == 1",
    "size(vars.a) == size(vars.rows)",
    "vars.rows.first().orValue({}).a == 1",
]
NAMES = st.sampled_from("abc")
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "a", "b\0c"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
ROWS = VALUES | st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=4)
VARS = st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES, "i": st.integers(-1, 2), "rows": ROWS})


def outcome(expression: Expression, data: Any) -> Any:
    try:
        return expression.value(Activation({"vars": data}))
    except ExpressionError as error:
        return str(error), error.hint, error.absent


@settings(max_examples=600)
@given(st.sampled_from(TEXTS), VARS)
def test_what_is_not_needed_changes_nothing(text: str, data: Any) -> None:
    """An expression gives the same, or fails with the same words, if it is given all there is."""
    whole = compile_expression(text + " ", SCOPE)  # another text: another expression
    whole.needs = {"vars": WHOLE}
    given_all = outcome(whole, data)
    if isinstance(given_all, tuple):
        given_all = (given_all[0].replace(f"{text} )", f"{text})"), *given_all[1:])
    assert outcome(compile_expression(text, SCOPE), data) == given_all
