"""Texts that people read use simple words and short sentences: the pages, help, and the messages of errors."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reactor.cli.help import overview
from reactor.cli.verbs import VERBS
from reactor.tests.docs.samples import ROOT, pages

WORDS_A_SENTENCE = 20  # the mean of a page
JARGON = re.compile(
    r"\b(leverag\w+|utili[sz]\w+|seamless\w*|robust\w*|paradigm\w*|orchestrat\w+|facilitat\w+|holistic\w*|synerg\w+|"
    r"cutting-edge|best-of-breed|scalable|performant|ergonomic\w*|idiomatic\w*|canonical\w*|reif\w+|memoi[sz]\w+|"
    r"hydrat\w+|quiesc\w+|orthogonal\w*|polymorph\w+|please)\b",
    re.IGNORECASE,
)
FOLDERS = ("core", "language", "store", "connections", "triggers", "router", "engine", "plugins", "web", "cli")


def sentences(text: str) -> list[str]:
    """The sentences of a page; code, tables, headings and lists of links are none."""
    plain = re.sub(r"^```.*?^```$|<!--.*?-->", "", text, flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^(\||#).*$", "", plain, flags=re.MULTILINE)
    plain = re.sub(r"`[^`]*`", "x", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain))
    parts = re.split(r"(?<=[.:;?!])\s+|\n\n+|\n(?=- |\d\. )", plain)
    return [each for each in parts if len(each.split()) > 2]


def messages() -> Iterator[tuple[str, str]]:
    """What errors say and advise: constant texts given to exceptions and as hints, with their places."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                raised = re.search(r"(Error|Refused|Usage|Unavailable|NotFound)$", called)
                given = [*(node.args if raised else []), *(key.value for key in node.keywords if key.arg == "hint")]
                for value in given:
                    text = "".join(str(part.value) for part in ast.walk(value) if isinstance(part, ast.Constant))
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", text


@pytest.mark.req("P-15")
@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page: Path) -> None:
    lengths = [len(each.split()) for each in sentences(page.read_text())]
    assert not lengths or sum(lengths) / len(lengths) <= WORDS_A_SENTENCE


@pytest.mark.req("P-15")
def test_no_text_needs_a_dictionary() -> None:
    texts = [(str(page.relative_to(ROOT)), page.read_text()) for page in pages()]
    texts += [("reactor --help", overview()), *((f"reactor {v.name}", f"{v.summary} {v.text}") for v in VERBS.values())]
    texts += messages()
    assert len(texts) > 300
    assert [f"{place}: {hit[0]}" for place, text in texts if (hit := JARGON.search(text))] == []


REVIEWED = yaml.safe_load(Path(__file__).with_name("messages.yaml").read_text())


def said_in(file: Path) -> set[str]:
    """The texts of a program, each with `{…}` for what is filled in."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            found.add("".join(str(p.value) if isinstance(p, ast.Constant) else "{…}" for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


@pytest.mark.req("P-15")
def test_twenty_messages_of_each_kind_were_reviewed() -> None:
    kinds = Counter(each["kind"] for each in REVIEWED)
    assert len({each["text"] for each in REVIEWED}) == 20
    assert set(kinds) == {"command line", "error", "log", "docs"}
    assert min(kinds.values()) >= 3


@pytest.mark.req("P-15")
@pytest.mark.parametrize("message", REVIEWED, ids=lambda each: each["text"][:40])
def test_a_reviewed_message_is_what_people_read(message: dict[str, str]) -> None:
    """Who changes one reads it again, with the eyes of somebody who never saw the code."""
    file = ROOT / message["file"]
    said = said_in(file) if file.suffix == ".py" else " ".join(file.read_text().split())
    assert message["text"] in said
    assert JARGON.search(message["text"]) is None
    assert max(len(each.split()) for each in re.split(r"[.;:] ", message["text"])) <= WORDS_A_SENTENCE


def test_the_check_finds_what_it_looks_for() -> None:
    assert JARGON.search("we leverage it")
    assert sentences("# A\n\nOne two three. Four five six: seven eight nine\n\n```yaml\na: b c d e\n```\n") == [
        "One two three.",
        "Four five six:",
        "seven eight nine",
    ]
