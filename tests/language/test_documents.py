"""YAML 1.2 and JSON become plain values that know where they stand."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from reactor.language.diagnostics import Diagnostic, Diagnostics, InvalidDefinition, Place
from reactor.language.documents import DOCUMENT_BYTES_MAX, Document, load_document, load_documents


def load(text: str | bytes, file: str = "flow.yaml") -> Document:
    document = load_document(text, file)
    assert document is not None
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("null", None), ("~", None), ("Null", None), ("nULL", "nULL"),
        ("012", 12), ("0o17", 15), ("0x1F", 31), ("0b11", "0b11"), ("1_000", "1_000"), ("+7", 7), ("-0", 0),
        ("0o8", "0o8"),
        ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-.5e-1", -0.05), ("1.10", 1.1), ("1.2.0", "1.2.0"), (".", "."),
        ("-", "-"),
        ("12:30:45", "12:30:45"), ("2026-12-24", "2026-12-24"), ("=", "="),
        ("123456789012345678901", 123456789012345678901),
        ("'12'", "12"), ('"true"', "true"), ('"\\u00e4\\x41"', "äA"), ("'it''s'", "it's"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    found = load(f"a: [{text}]" if text != "-" else "a: ['-']").value["a"][0]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text() -> None:
    assert load("1: a\ntrue: b\nnull: c\non: d\n1.50: e\n").value == {
        "1": "a",
        "true": "b",
        "null": "c",
        "on": "d",
        "1.50": "e",
    }


def test_source_text_of_a_scalar_is_kept() -> None:
    document = load("version: 1.10\nhex: 0x1F\nquoted: '1.20'\nempty:\nlist: [yes, {deep: 007}]\n")
    assert document.source(("version",)) == "1.10"
    assert document.source(("hex",)) == "0x1F"
    assert document.source(("quoted",)) == "1.20"
    assert document.source(("empty",)) == ""
    assert document.source(("list", 1, "deep")) == "007"
    assert document.source(("list",)) is None
    assert document.source(("absent",)) is None
    assert document.is_plain(("version",))
    assert not document.is_plain(("quoted",))


def test_places_of_values_and_keys() -> None:
    document = load("workflow: ship\nsteps:\n  - name: a\n    with: {url: x, n: [1, 22]}\n")
    assert document.place() == Place("flow.yaml", 1, 1)
    assert document.place(("workflow",)) == Place("flow.yaml", 1, 11, 4)
    assert document.key_place(("workflow",)) == Place("flow.yaml", 1, 1, 8)
    assert document.place(("steps", 0, "with", "n", 1)) == Place("flow.yaml", 4, 27, 2)
    assert document.key_place(("steps", 0, "with", "n")) == Place("flow.yaml", 4, 20, 1)
    assert document.place(("steps", 0, "absent", "x")) == document.place(("steps", 0))
    assert document.key_place(("steps", 0)) == document.place(("steps", 0))


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [
        ("if: abc + def\n", 6, (1, 11)),
        ('if: "abc + def"\n', 6, (1, 12)),
        ("if: 'it''s + def'\n", 7, (1, 14)),
        ('if: "\\u0061bc + def"\n', 6, (1, 17)),
        ("if: |\n  abc +\n  def\n", 6, (3, 3)),
        ("if: |-\n    abc\n    + def\n", 6, (3, 7)),
        ("if: >\n  abc +\n  def\n", 6, (3, 3)),
        ("if: abc +\n  def\n", 6, (2, 3)),
        ('if: "abc +\n  def"\n', 6, (2, 3)),
        ("größe: ä\nif: über + def\n", 7, (2, 12)),
        ("{a: 1, if: abc + def}\n", 6, (1, 18)),
    ],
)
def test_place_of_a_character_inside_a_text(text: str, offset: int, place: tuple[int, int]) -> None:
    document = load(text)
    found = document.text_place(("if",), offset, 3)
    assert (found.line, found.column) == place
    assert document.lines[found.line - 1][found.column - 1 :].startswith("def")


def test_diagnostic_of_an_expression_gets_its_place_in_the_file() -> None:
    document = load("steps:\n  a:\n    if: |\n      x ==\n      y\n")
    inner = Diagnostic("expression.name", "there is no name y here", Place("", 2, 1, 1), path=("steps", "a", "if"))
    assert document.located(inner).place == Place("flow.yaml", 5, 7, 1)


def test_several_documents() -> None:
    documents = load_documents("a: 1\n---\n# nothing\n---\nb: 2\n", "two.yaml")
    assert [document.value for document in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].place(("b",)) == Place("two.yaml", 5, 4, 1)


def test_one_document_was_expected() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        load_document("a: 1\n---\nb: 2\n", "reactor.yaml")
    assert str(caught.value) == (
        "error: one document was expected, this file has several\n"
        "  --> reactor.yaml:3:1\n"
        " 3 | b: 2\n"
        "   | ^\n"
        "  = help: remove the line --- and what follows it, or put that in a file of its own"
    )


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "\ufeff"])
def test_empty_text_has_no_document(text: str) -> None:
    assert load_documents(text) == []
    assert load_document(text) is None


def test_good_documents_are_returned_beside_errors() -> None:
    found = Diagnostics()
    documents = load_documents("a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n", "x.yaml", found)
    assert [document.value for document in documents] == [{"a": 1}, {"c": 3}]
    assert [diagnostic.code for diagnostic in found.sorted()] == ["yaml.duplicate"]


def test_anchors_and_aliases() -> None:
    document = load("base: &base {timeout: 1s}\nsteps: [*base, *base]\nname: &n ship\nother: *n\n")
    assert document.value == {
        "base": {"timeout": "1s"},
        "steps": [{"timeout": "1s"}] * 2,
        "name": "ship",
        "other": "ship",
    }
    assert document.place(("steps", 1, "timeout")).line == 1


def test_byte_order_mark_is_no_part_of_the_text() -> None:
    document = load("\ufeffa: 1".encode())
    assert document.value == {"a": 1}
    assert document.place(("a",)) == Place("flow.yaml", 1, 4, 1)


def test_a_file_too_large_is_refused() -> None:
    found = Diagnostics()
    assert load_documents("#" * (DOCUMENT_BYTES_MAX + 1), "big.yaml", found) == []
    assert found.render() == (
        "error: the file has 8388609 bytes; at most 8388608 are read\n"
        "  --> big.yaml\n"
        "  = help: split it into several files"
    )


def test_json_may_have_tabs_and_escapes_that_yaml_refuses() -> None:
    text = '{\n\t"a": "\\ud83d\\ude00 \\/",\r\n\t"b": [1, -2.5e3, true, null, "\\u00e4"]\n}'
    document = load(text, "flow.json")
    assert document.value == json.loads(text)
    assert document.place(("b", 1)) == Place("flow.json", 3, 11, 6)
    assert document.key_place(("b",)) == Place("flow.json", 3, 2, 3)


def test_flow_yaml_need_not_be_json() -> None:
    assert load("{a: 1, b: [x, y,], }").value == {"a": 1, "b": ["x", "y"]}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_json_comes_back_as_it_was(value: Any) -> None:
    for text in (json.dumps({"a": value}), json.dumps({"a": value}, indent="\t", ensure_ascii=False)):
        if any("\x7f" <= c <= "\x9f" or c in "\ufffe\uffff" for c in text):
            continue
        assert load(text, "x.json").value == {"a": value}


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")))
YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | PRINTABLE,
    lambda inner: st.lists(inner) | st.dictionaries(PRINTABLE.filter(lambda key: key not in ("", "<<")), inner),
    max_leaves=20,
)


@given(YAML_VALUES, st.booleans())
def test_yaml_comes_back_as_it_was(value: Any, flow: bool) -> None:
    text = yaml.safe_dump({"a": value}, allow_unicode=True, default_flow_style=flow)
    assert load(text).value == {"a": value}


@given(st.text(st.sampled_from("ab:-{}[]\"'!&*|>#%@` \n\t,?~1.\\")))
def test_no_text_raises_anything_but_diagnostics(text: str) -> None:
    found = Diagnostics()
    for file in ("x.yaml", "x.json"):
        for document in load_documents(text, file, found):
            document.place(("a", 0))
    for diagnostic in found.sorted():
        assert diagnostic.hint
        assert diagnostic.render()


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_diagnostics(data: bytes) -> None:
    found = Diagnostics()
    load_documents(data, "x.yaml", found)
    found.render()


@given(st.dictionaries(PRINTABLE.filter(lambda key: key not in ("", "<<")), PRINTABLE, min_size=1), st.booleans())
def test_every_character_of_a_text_is_found_in_its_source(value: dict[str, str], flow: bool) -> None:
    document = load(yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow, width=30))
    for key, text in value.items():
        for offset, character in enumerate(text):
            if character.isalnum():
                place = document.text_place((key,), offset)
                source = document.lines[place.line - 1][place.column - 1 :]
                assert source.startswith((character, "\\")), (key, text, offset, place)
