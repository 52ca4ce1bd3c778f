"""JSON text (RFC 8259) → the same node tree as YAML has, so that both report errors with places.

JSON is read here and not as YAML, because YAML refuses what JSON allows (escaped surrogate pairs, tabs) and allows
what JSON refuses. A text that is no JSON may still be YAML in flow style: `JsonFault.final` says when that is out of
the question.
"""

from __future__ import annotations

import json
import re

from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_LINE = re.compile(r"\r\n|[\n\r]")


class JsonFault(Exception):
    """The text is no JSON: what, and at which character. `final`: nor can it be meant as YAML."""

    def __init__(self, message: str, index: int, hint: str = "", *, final: bool = False) -> None:
        super().__init__(message)
        self.message, self.index, self.hint, self.final = message, index, hint, final


def compose_json(text: str, plain: str, quoted: str, collection: str, *, depth_max: int) -> Node:
    """The node tree of one JSON text; the three tags are given to its nodes. Raises JsonFault."""
    reader = _Reader(text, plain, quoted, collection, depth_max)
    at = reader.space(0)
    node, at = reader.value(at, 1)
    at = reader.space(at)
    if at < len(text):
        raise JsonFault("there is more text after the end of the JSON value", at, "remove it")
    return node


class _Reader:
    def __init__(self, text: str, plain: str, quoted: str, collection: str, depth_max: int) -> None:
        self.text = text
        self.tags = (plain, quoted, collection)
        self.depth_max = depth_max
        self.line = 0
        self.line_start: int = 0
        self.next_break = self._find_break(0)

    def space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        text = self.text
        character = text[at : at + 1]
        if character in ("{", "["):
            if depth > self.depth_max:
                raise JsonFault(
                    f"objects and arrays are nested more than {self.depth_max} deep here",
                    at,
                    "nest less deeply",
                    final=True,
                )
            return self._object(at, depth) if character == "{" else self._array(at, depth)
        if character == '"':
            return self._string(at)
        found = _NUMBER.match(text, at) or _WORD.match(text, at)
        if found is None or text[found.end() : found.end() + 1].isalnum():
            raise JsonFault(
                self._expected(at, "a value"), at, 'values are "text", numbers, true, false, null, […] and {…}'
            )
        start = self._mark(at)
        return ScalarNode(self.tags[0], found[0], start, self._mark(found.end())), found.end()

    def _object(self, at: int, depth: int) -> tuple[Node, int]:
        start = self._mark(at)
        pairs: list[tuple[Node, Node]] = []
        at = self.space(at + 1)
        if self.text[at : at + 1] != "}":
            while True:
                if self.text[at : at + 1] != '"':
                    hint = (
                        "remove the comma before it"
                        if self.text[at : at + 1] == "}"
                        else "put the key in double quotes"
                    )
                    raise JsonFault(self._expected(at, "a key in double quotes"), at, hint)
                key, at = self._string(at)
                at = self._sign(at, ":", "a colon after the key")
                item, at = self.value(at, depth + 1)
                pairs.append((key, item))
                at = self.space(at)
                if self.text[at : at + 1] == "}":
                    break
                at = self._sign(at, ",", "a comma or }")
        return MappingNode(self.tags[2], pairs, start, self._mark(at + 1)), at + 1

    def _array(self, at: int, depth: int) -> tuple[Node, int]:
        start = self._mark(at)
        items: list[Node] = []
        at = self.space(at + 1)
        if self.text[at : at + 1] != "]":
            while True:
                if self.text[at : at + 1] == "]":
                    raise JsonFault(self._expected(at, "a value"), at, "remove the comma before it")
                item, at = self.value(at, depth + 1)
                items.append(item)
                at = self.space(at)
                if self.text[at : at + 1] == "]":
                    break
                at = self._sign(at, ",", "a comma or ]")
        return SequenceNode(self.tags[2], items, start, self._mark(at + 1)), at + 1

    def _string(self, at: int) -> tuple[Node, int]:
        found = _STRING.match(self.text, at)
        if found is None:
            raise JsonFault(
                "a text in double quotes is not closed, or has a line break or an unknown escape in it", at,
                'write line breaks as \\n, a backslash as \\\\, a quote as \\"',
            )  # fmt: skip
        body = found[0]
        value: str = json.loads(body) if "\\" in body else body[1:-1]
        if "\\u" in body:
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise JsonFault(
                    "the text has half of a surrogate pair, which is no character",
                    at,
                    "write both halves, or neither",
                    final=True,
                ) from error
        return ScalarNode(self.tags[1], value, self._mark(at), self._mark(found.end()), style='"'), found.end()

    def _sign(self, at: int, sign: str, expected: str) -> int:
        at = self.space(at)
        if self.text[at : at + 1] != sign:
            raise JsonFault(self._expected(at, expected), at, f"write {expected} here")
        return self.space(at + 1)

    def _expected(self, at: int, expected: str) -> str:
        found = "the text ends" if at >= len(self.text) else f"here is {self.text[at]!r}"
        return f"{expected} was expected, {found}"

    def _find_break(self, at: int) -> re.Match[str] | None:
        return _LINE.search(self.text, at)

    def _mark(self, at: int) -> Mark:
        while self.next_break is not None and self.next_break.end() <= at:
            self.line += 1
            self.line_start = self.next_break.end()
            self.next_break = self._find_break(self.line_start)
        return Mark("", at, self.line, at - self.line_start, None, 0)
