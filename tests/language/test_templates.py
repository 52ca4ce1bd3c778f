"""`${{ }}` in text and in nested values."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from reactor.language.cel import Activation, ExpressionError
from reactor.language.diagnostics import InvalidDefinition, Place
from reactor.language.documents import load_document
from reactor.language.scope import ANY, Scope
from reactor.language.templates import (
    Template,
    as_text,
    bare_expression,
    check_template,
    check_value,
    compile_template,
    compile_value,
    has_template,
)
from reactor.tests.language.scopes import ROOTS, SCOPE, activation


def render(text: str) -> Any:
    template = compile_template(text, SCOPE)
    return template.render(activation()) if isinstance(template, Template) else template


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # exactly one keeps its type
        ("${{ event.data.total }}", 150), ("${{event.data.price}}", 1.5), ("${{ event.data.nothing }}", None),
        ("${{ event.data.paid }}", True), ("${{ event.data.numbers }}", [1, 2, 3]),
        ("${{ steps.charge.output }}", {"id": 7}),
        ("${{ inputs.order_id }}", "A1"), ("${{\n  event.data.total\n}}", 150),
        ("${{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("${{ {'a': {'b': 1}}.a }}", {"b": 1}), ("${{ timestamp(event.time) }}", "2026-12-24T17:00:00Z"),
        # mixed text
        ("order ${{ inputs.order_id }}!", "order A1!"), ("${{ inputs.order_id }}${{ inputs.total }}", "A13"),
        (" ${{ event.data.total }}", " 150"), ("${{ event.data.total }}\n", "150\n"),
        ("<${{ event.data.nothing }}>", "<>"),
        ("<${{ event.data.paid }}>", "<true>"), ("<${{ !event.data.paid }}>", "<false>"),
        ("<${{ event.data.price }}>", "<1.5>"),
        ("<${{ 1.0 + 0.0 }}>", "<1.0>"), ("<${{ event.data.numbers }}>", "<[1,2,3]>"),
        ("<${{ {'b': 1, 'a': 'ä'} }}>", '<{"a":"ä","b":1}>'),
        ("<${{ event.data.huge }}>", f"<{2**70}>"),
        # quotes and braces are those of CEL
        ("${{ '}}' }}", "}}"), ("${{ \"}}\" + '{{' }}", "}}{{"), ("a ${{ '''}} '' }}''' }} b", "a }} '' }} b"),
        ("${{ r'}}' }}", "}}"),
        ("${{ 'it\\'s }}' }}", "it's }}"), ("${{ {'a}}': 1}['a}}'] }}", 1), ("${{ 1 // a }}", 1),
        ("${{ 1 // it's\n + 1 }}", 2),
        ("${{ '${{' }}", "${{"),
        # escapes
        ("$${{ x }}", "${{ x }}"), ("a $${{ b", "a ${{ b"), ("$${{ ${{ inputs.total }} }}", "${{ 3 }}"),
        ("$$${{ x }}", "$${{ x }}"),
        ("$$$${{ x }}", "$$${{ x }}"), ("${ x } {{ y }} $", "${ x } {{ y }} $"), ("$ {{ x }}", "$ {{ x }}"),
        ("", ""), ("}}", "}}"),
    ],
)  # fmt: skip
def test_render(text: str, expected: Any) -> None:
    found = render(text)
    assert found == expected
    assert type(found) is type(expected)


UNCLOSED = "close it with }}, or write $${{ if it is meant as text"


@pytest.mark.parametrize(
    ("text", "message", "place", "hint"),
    [
        ("a ${{ inputs.totl }} b", "inputs has no field totl", (1, 14, 4), "did you mean total?"),
        ("a\nb ${{\n  inputs.totl }}", "inputs has no field totl", (3, 10, 4), "did you mean total?"),
        ("a ${{ inputs.total", "the ${{ that begins here is never closed", (1, 3, 3), UNCLOSED),
        ("a ${{ 'x }} b", "a text that begins here is never closed", (1, 7, 1), "close it with '"),
        ("a ${{ }}", "the expression is empty", (1, 7, 1), "write a CEL expression, or remove the key"),
        ("${{ {'a': 1 }}", "the ${{ that begins here is never closed", (1, 1, 3), UNCLOSED),
        ("${{ ${{ inputs.total }} }}", "$ is not part of CEL", (1, 5, 1),
         "check operators, brackets and quotes around here"),
    ],
)  # fmt: skip
def test_faults(text: str, message: str, place: tuple[int, int, int], hint: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compile_template(text, SCOPE)
    fault = caught.value.diagnostics[0]
    assert (fault.message, fault.hint) == (message, hint)
    assert (fault.place.line, fault.place.column, fault.place.length) == place


def test_all_faults_of_a_value_with_their_paths() -> None:
    value = {"url": "${{ vars.pay }}/${{ evnt.id }}", "json": [{"a": "${{ inputs.x }}"}, "${{ inputs.total }}"], "n": 1}
    with pytest.raises(InvalidDefinition) as caught:
        compile_value(value, SCOPE, ("steps", "charge", "with"))
    assert str(caught.value) == (
        "error: there is no name evnt here\n"
        "  --> <text>:1:21 (steps.charge.with.url)\n"
        " 1 | ${{ vars.pay }}/${{ evnt.id }}\n"
        "   |                     ^^^^\n"
        "  = help: did you mean event?\n"
        "\n"
        "error: inputs has no field x\n"
        "  --> <text>:1:12 (steps.charge.with.json[0].a)\n"
        " 1 | ${{ inputs.x }}\n"
        "   |            ^\n"
        "  = help: one of: address, items, order_id, paid, total"
    )
    compiled, faults = check_value(value, SCOPE)
    assert compiled is None
    assert len(faults) == 2


def test_fault_gets_its_place_in_the_file() -> None:
    text = (
        'steps:\n  a:\n    with: {url: "http://x/\\u00e4${{ evnt.id }}", '
        "text: ['it''s ${{ inputs.totl }}']}\n    body: |\n      hello\n      ${{ vars.a +\n          inputs.y }}\n"
    )
    document = load_document(text, "flow.yaml")
    assert document is not None
    _, faults = check_value(document.value, SCOPE)
    places = [document.located(fault).place for fault in faults]
    assert places == [Place("flow.yaml", 3, 37, 4), Place("flow.yaml", 3, 75, 4), Place("flow.yaml", 7, 18, 1)]
    lines = text.splitlines()
    assert [lines[p.line - 1][p.column - 1 : p.column - 1 + p.length] for p in places] == ["evnt", "totl", "y"]


def test_constant_parts_are_not_copied() -> None:
    constant = {"deep": [1, {"x": "y"}], "text": "plain"}
    whole = compile_value(constant, SCOPE)
    assert whole.constant
    assert whole.reads == frozenset()
    assert whole.render(activation()) is constant
    mixed = compile_value({"a": constant, "b": ["${{ inputs.total }}", constant]}, SCOPE)
    rendered = mixed.render(activation())
    assert rendered == {"a": constant, "b": [3, constant]}
    assert rendered["a"] is constant
    assert rendered["b"][1] is constant
    assert not mixed.constant
    assert mixed.reads == {("inputs", "total")}
    assert mixed.render(activation(inputs={"total": 4}))["b"][0] == 4
    assert compile_value("$${{ x }}", SCOPE).render(activation()) == "${{ x }}"
    assert compile_value({"a": "$${{ x }}"}, SCOPE).render(activation()) == {"a": "${{ x }}"}


def test_reads_and_hints_of_a_value() -> None:
    compiled = compile_value(
        {"a": "${{ steps.charge.output.id }}-${{ vars.x }}", "b": ["${{ inputs.order_id > 5 }}"]}, SCOPE, ("w",)
    )
    assert compiled.reads == {("steps", "charge", "output", "id"), ("vars", "x"), ("inputs", "order_id")}
    assert [path for path, _ in compiled.templates] == [("w", "a"), ("w", "b", 0)]
    assert [(hint.path, hint.message) for hint in compiled.hints] == [
        (("w", "b", 0), "inputs.order_id is text, and it is compared with a number")
    ]


def test_values_inside_a_url_are_encoded() -> None:
    def encode(text: str, before: str) -> str:
        return quote(text, safe="") if before else text

    scope = Scope({"vars": ANY})
    values = Activation({"vars": {"base": "http://x/y", "id": "a/b ä", "n": 1.5}})
    inside = compile_template("http://x/${{ vars.id }}?n=${{ vars.n }}", scope)
    whole = compile_template("${{ vars.base }}", scope)
    assert isinstance(inside, Template)
    assert isinstance(whole, Template)
    assert inside.render(values, encode) == "http://x/a%2Fb%20%C3%A4?n=1.5"
    assert whole.render(values, encode) == "http://x/y"
    assert compile_value("${{ vars.base }}/${{ vars.id }}", scope).render(values, encode) == "http://x/y/a%2Fb%20%C3%A4"
    assert compile_value({"url": "x/${{ vars.id }}"}, scope).render(values, encode) == {"url": "x/a%2Fb%20%C3%A4"}


def test_secrets_are_fetched_when_rendered() -> None:
    fetched: list[str] = []

    def secrets() -> dict[str, str]:
        fetched.append("token")
        return {"token": "t0p"}

    compiled = compile_value({"a": "Bearer ${{ secrets.token }}"}, Scope({"secrets": ANY}))
    assert fetched == []
    assert compiled.render(Activation({"secrets": secrets})) == {"a": "Bearer t0p"}
    assert fetched == ["token"]


def test_absent_field_is_named() -> None:
    template = compile_template("order ${{ event.data.order }}", SCOPE)
    assert isinstance(template, Template)
    with pytest.raises(ExpressionError) as caught:
        template.render(activation())
    assert str(caught.value) == "event.data has no field order (in event.data.order)"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("inputs.total", "write ${{ inputs.total }} to have it evaluated"),
        ("inputs.total * 2", "write ${{ inputs.total * 2 }} to have it evaluated"),
        ("!inputs.paid", "write ${{ !inputs.paid }} to have it evaluated"),
        ('steps["a-b"].output', 'write ${{ steps["a-b"].output }} to have it evaluated'),
        ("inputs.unknown", ""), ("other.total", ""), ("event", ""), ("${{ inputs.total }}", ""),
        ("event. Then more", ""),
        ("inputs are fine", ""), ("Event.total", ""),
    ],
)  # fmt: skip
def test_text_that_lacks_its_braces(text: str, hint: str) -> None:
    assert bare_expression(text, SCOPE) == hint


def test_has_template() -> None:
    assert has_template("a ${{ x }}")
    assert has_template("$${{ a ${{ x }}")
    assert not has_template("a $${{ x }}")
    assert not has_template("a { x }")


def test_as_text() -> None:
    assert [as_text(v) for v in (None, True, False, 1, 1.0, -0.5, "x", [1, "a"], {"a": None})] == [
        "", "true", "false", "1", "1.0", "-0.5", "x", '[1,"a"]', '{"a":null}',
    ]  # fmt: skip


@given(st.text(st.sampled_from("${} 'abc\n")))
def test_text_without_expressions_is_left_alone(text: str) -> None:
    template, faults = check_template(text, SCOPE)
    if not has_template(text):
        assert faults == []
        assert template == text.replace("$${{", "${{")
    for fault in faults:
        assert fault.hint


@given(
    st.lists(st.text(st.characters(exclude_characters="$", codec="utf-8")), min_size=2, max_size=5),
    st.text(st.characters(codec="utf-8")),
)
def test_texts_around_expressions_stay(texts: list[str], inside: str) -> None:
    template = compile_template("${{ inputs.order_id }}".join(texts), SCOPE)
    assert isinstance(template, Template)
    expected = inside.join(texts)
    assert template.render(Activation({"inputs": {"order_id": inside}})) == expected


def test_one_activation_for_all() -> None:
    values = Activation(ROOTS)
    compiled = compile_value([f"${{{{ event.data.total + {number} }}}}" for number in range(20)], SCOPE)
    assert compiled.render(values) == [150 + number for number in range(20)]
