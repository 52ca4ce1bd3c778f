"""YAML 1.2 (core schema) and JSON text → plain values that know where each part stands.

Values are dict, list, str, int, float, bool and None, as from JSON: keys are strings, `on yes no` and `12:30:45` are
text, 012 is twelve. What the core schema or JSON cannot say (tags, NaN, keys that are lists, cycles) is a diagnostic
with its place and cure. Aliased parts are one shared object: treat values as read-only. Source: YAML 1.2.2 section
10.3, RFC 8259.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import yaml
from yaml._yaml import CParser  # yaml.cyaml has it too, but only this name is declared as public in its stubs
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .diagnostics import Diagnostic, Diagnostics, Path, Place, line_column, split_lines
from .json_text import JsonFault, compose_json
from .yaml_faults import Fault, explain, explain_tag
from .yaml_places import child_of, place_of, source_index

DOCUMENT_BYTES_MAX = 8 * 1024 * 1024  # one file
DOCUMENT_DEPTH_MAX = 128  # mappings and lists inside each other
DOCUMENT_NODES_MAX = 1_000_000  # values of one document, an alias counted with all that it stands for
# The C composer recurses without a guard: above this bound of the depth (brackets, or columns of a line) the text is
# read by events first, which is slower but needs no stack.
_SAFE_DEPTH_BOUND = 4_000

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_LINE = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_MAYBE_NUMBER = frozenset("0123456789+-.")

_PLAIN = "plain"
_QUOTED = "quoted"
_COLLECTION = "collection"
_OURS = frozenset((_PLAIN, _QUOTED, _COLLECTION))


class _Loader(CParser):
    """The C parser and composer with a resolver that only tells plain scalars from quoted ones; any other tag is the
    user's.
    """

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _COLLECTION

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Nothing to track: tags do not depend on the path."""

    def ascend_resolver(self) -> None:
        """See `descend_resolver`."""


class Document:
    """One document of a file: `value`, and where each part of it stands."""

    __slots__ = ("_lines", "_node", "file", "text", "value")

    def __init__(self, value: Any, file: str, text: str, node: Node | None) -> None:
        self.value = value
        self.file = file
        self.text = text
        self._node = node
        self._lines: Sequence[str] | None = None

    @property
    def lines(self) -> Sequence[str]:
        """The lines of the whole file."""
        if self._lines is None:
            self._lines = split_lines(self.text)
        return self._lines

    def place(self, path: Path = ()) -> Place:
        """Where the value at `path` stands; of the nearest existing parent where it does not exist."""
        return self._at(self._walk(path)[1])

    def key_place(self, path: Path) -> Place:
        """Where the key that ends `path` stands (for a name that is unknown); for a list item its own place."""
        key, node = self._walk(path)
        return self._at(key if key is not None else node)

    def source(self, path: Path) -> str | None:
        """The scalar's text before it became a number or a word (`1.10`, `0x1F`, `yes`), without quotes.

        None for mappings, lists, and what is absent.
        """
        node = self._exact(path)
        return node.value if isinstance(node, ScalarNode) else None

    def is_plain(self, path: Path) -> bool:
        """Is the value at `path` a scalar written without quotes?"""
        node = self._exact(path)
        return isinstance(node, ScalarNode) and node.tag == _PLAIN

    def text_place(self, path: Path, offset: int, length: int = 1) -> Place:
        """Where character `offset` of the text at `path` stands, through quotes, escapes and folded lines."""
        node = self._exact(path)
        if not isinstance(node, ScalarNode):
            return self.place(path)
        index = source_index(self.text, node, offset)
        end = source_index(self.text, node, offset + length) if length > 1 else index + 1
        line, column = line_column(self.text, index)
        return Place(self.file, line, column, max(1, end - index))

    def located(self, diagnostic: Diagnostic, path: Path | None = None) -> Diagnostic:
        """A diagnostic of an expression or template inside the text at `path` (its own by default), with its place in
        the file.

        The place it has is a line and column inside that text.
        """
        at = diagnostic.path if path is None else path
        node = self._exact(at)
        value: str = node.value if isinstance(node, ScalarNode) else ""
        inner = diagnostic.place
        starts = [0, *(found.end() for found in _LINE.finditer(value))]
        offset = starts[min(max(inner.line, 1), len(starts)) - 1] + max(inner.column, 1) - 1
        return replace(diagnostic, place=self.text_place(at, offset, inner.length), path=at, line_text=None)

    def _at(self, node: Node | None) -> Place:
        if node is None:
            return Place(self.file, 1, 1)
        return place_of(node, self.file)

    def _exact(self, path: Path) -> Node | None:
        node = self._node
        for part in path:
            node = child_of(node, part)[1]
            if node is None:
                return None
        return node

    def _walk(self, path: Path) -> tuple[Node | None, Node | None]:
        key, node = None, self._node
        for part in path:
            found_key, found = child_of(node, part)
            if found is None:
                return None, node
            key, node = found_key, found
        return key, node


def load_documents(text: str | bytes, file: str = "", diagnostics: Diagnostics | None = None) -> list[Document]:
    """All documents of a YAML or JSON text, in order; empty ones are left out.

    With `diagnostics` errors are added there, and the documents that could be read as a whole are returned. Without it
    errors are raised as InvalidDefinition. Nothing else is ever raised because of the text.
    """
    collected = Diagnostics() if diagnostics is None else diagnostics
    decoded = _decode(text, file, collected)
    documents: list[Document] = []
    if decoded is not None:
        collected.add_source(file, decoded)
        documents = _Reader(decoded, file, collected).documents()
    if diagnostics is None:
        collected.raise_errors()
    return documents


def load_document(text: str | bytes, file: str = "", diagnostics: Diagnostics | None = None) -> Document | None:
    """The only document of a text. Several are an error; None for an empty text, or one with errors."""
    collected = Diagnostics() if diagnostics is None else diagnostics
    documents = load_documents(text, file, collected)
    if len(documents) > 1:
        collected.error(
            "yaml.documents",
            "one document was expected, this file has several",
            documents[1].place(),
            hint="remove the line --- and what follows it, or put that in a file of its own",
        )
        documents = []
    if diagnostics is None:
        collected.raise_errors()
    return documents[0] if documents else None


def _decode(text: str | bytes, file: str, out: Diagnostics) -> str | None:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > DOCUMENT_BYTES_MAX:
        out.error(
            "yaml.size",
            f"the file has {size} bytes; at most {DOCUMENT_BYTES_MAX} are read",
            Place(file),
            hint="split it into several files",
        )
        return None
    if isinstance(text, bytes):
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            out.error("yaml.encoding", "the file is UTF-16, not UTF-8", Place(file, 1, 1), hint="save it as UTF-8")
            return None
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            good = text[: error.start].decode("utf-8")
            line, column = line_column(good, len(good))
            byte = text[error.start]
            out.error(
                "yaml.encoding",
                f"the byte 0x{byte:02x} is not UTF-8",
                Place(file, line, column),
                hint="save the file as UTF-8",
            )
            return None
    text = text.removeprefix("\ufeff")
    bad = _CONTROL.search(text)
    if bad is not None:
        out.add_source(file, text)
        line, column = line_column(text, bad.start())
        name = f"U+{ord(bad[0]):04X}"
        out.error(
            "yaml.character",
            f"the character {name} is not allowed in a text file",
            Place(file, line, column),
            hint='remove it, or write it as an escape in double quotes, like "\\u' + f'{ord(bad[0]):04x}"',
        )
        return None
    return text


class _Reader:
    """Reads one file: composes nodes, then constructs values and reports what they must not be."""

    def __init__(self, text: str, file: str, out: Diagnostics) -> None:
        self.text = text
        self.file = file
        self.out = out
        self.open: set[int] = set()  # ids of the collections being constructed: meeting one again is a cycle
        self.done: dict[int, tuple[Any, int]] = {}  # anchored nodes: value and number of nodes below
        self.failed = False

    def documents(self) -> list[Document]:
        found: list[Document] = []
        for node in self._compose():
            self.done.clear()
            self.failed = False
            value, count = self._construct(node, 1)
            if not self.failed and count > DOCUMENT_NODES_MAX:
                self._fault(
                    node,
                    "yaml.aliases",
                    f"with its aliases the document has {count} values; at most {DOCUMENT_NODES_MAX} are read",
                    "write out what is needed instead of aliases of aliases",
                )
            if not self.failed and not (isinstance(node, ScalarNode) and value is None):
                found.append(Document(value, self.file, self.text, node))
        return found

    def _compose(self) -> list[Node]:
        nodes: list[Node] = []
        if self.text.lstrip(" \t\r\n")[:1] in ("{", "["):
            try:
                return [compose_json(self.text, _PLAIN, _QUOTED, _COLLECTION, depth_max=DOCUMENT_DEPTH_MAX)]
            except JsonFault as fault:
                if self.file.endswith(".json") or fault.final:
                    line, column = line_column(self.text, fault.index)
                    self.out.error("json", fault.message, Place(self.file, line, column), hint=fault.hint)
                    return []
        if not self._shallow():
            return []
        try:
            loader = _Loader(self.text)
            while loader.check_node():
                node = loader.get_node()
                if node is not None:
                    nodes.append(node)
        except yaml.YAMLError as error:
            self._report(explain(error, split_lines(self.text)))
        return nodes

    def _shallow(self) -> bool:
        """Is the text certainly shallow enough for the C composer's stack? Reports it if not."""
        text = self.text
        if text.count("[") + text.count("{") < _SAFE_DEPTH_BOUND and (
            len(text) < _SAFE_DEPTH_BOUND or max(map(len, text.split("\n"))) < _SAFE_DEPTH_BOUND
        ):
            return True
        depth = 0
        loader = _Loader(text)
        try:
            while (event := loader.get_event()) is not None:
                if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                    depth += 1
                    if depth > DOCUMENT_DEPTH_MAX:
                        mark = cast(Any, event).start_mark
                        self._report(_too_deep(mark.line, mark.column))
                        return False
                elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                    depth -= 1
        except yaml.YAMLError as error:
            self._report(explain(error, split_lines(text)))
            return False
        return True

    def _report(self, fault: Fault) -> None:
        place = Place(self.file, fault.line + 1, fault.column + 1, fault.length)
        self.out.error(fault.code, fault.message, place, hint=fault.hint)

    def _fault(self, node: Node, code: str, message: str, hint: str) -> None:
        self.failed = True
        self.out.error(code, message, place_of(node, self.file), hint=hint)

    def _construct(self, node: Node, depth: int) -> tuple[Any, int]:
        """The node's value, and how many nodes it stands for, itself included."""
        if node.tag not in _OURS:
            self.failed = True
            self._report(explain_tag(node, split_lines(self.text)))
            return None, 1
        if isinstance(node, ScalarNode):
            return (node.value if node.tag is _QUOTED or node.tag == _QUOTED else self._plain(node)), 1
        key = id(node)
        known = self.done.get(key)
        if known is not None:
            return known
        if key in self.open:
            self._fault(
                node,
                "yaml.cycle",
                "an alias stands inside the part that its own anchor names, so it would never end",
                "write out the value instead of the alias",
            )
            return None, 1
        if depth > DOCUMENT_DEPTH_MAX:
            self.failed = True
            self._report(_too_deep(node.start_mark.line, node.start_mark.column))
            return None, 1
        self.open.add(key)
        result = self._mapping(node, depth) if isinstance(node, MappingNode) else self._sequence(node, depth)
        self.open.discard(key)
        self.done[key] = result
        return result

    def _sequence(self, node: Node, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        count = 1
        for child in cast(SequenceNode, node).value:
            value, below = self._construct(child, depth + 1)
            items.append(value)
            count += below
        return items, count

    def _mapping(self, node: MappingNode, depth: int) -> tuple[dict[str, Any], int]:
        result: dict[str, Any] = {}
        places: dict[str, Node] = {}
        count = 1
        for key_node, value_node in cast("list[tuple[Node, Node]]", node.value):
            value, below = self._construct(value_node, depth + 1)
            count += below + 1
            key = self._key(key_node)
            if key is None:
                continue
            if key in places:
                line = places[key].start_mark.line + 1
                self._fault(
                    key_node,
                    "yaml.duplicate",
                    f"the key {key!r} stands twice in this mapping; it is on line {line} already",
                    "remove one of the two",
                )
                continue
            places[key] = key_node
            result[key] = value
        return result, count

    def _key(self, node: Node) -> str | None:
        if node.tag not in _OURS:
            self.failed = True
            self._report(explain_tag(node, split_lines(self.text)))
            return None
        if not isinstance(node, ScalarNode):
            kind = "mapping" if isinstance(node, MappingNode) else "list"
            hint = 'put it in quotes: "${{ … }}"' if kind == "mapping" else "write the key as text"
            self._fault(node, "yaml.key", f"a key must be text, this one is a {kind}", hint)
            return None
        if node.tag == _PLAIN and node.value == "<<":
            self._fault(
                node, "yaml.merge", "<< (merge) is not part of YAML 1.2", "write out the keys, or alias whole values"
            )
            return None
        if node.tag == _PLAIN and not node.value:
            self._fault(node, "yaml.key", "a key is missing before the colon", "write the key, or remove the colon")
            return None
        return node.value

    def _plain(self, node: ScalarNode) -> Any:
        text: str = node.value
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _MAYBE_NUMBER:
            return text
        if _INT.fullmatch(text):
            if len(text) > 4_000:
                self._fault(
                    node, "yaml.number", "this number has over 4 000 digits", "put it in quotes if it is meant as text"
                )
                return None
            if text[:2] in ("0x", "0o"):
                return int(text, 0)
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number - number == 0:
                return number
        elif not _NOT_JSON.fullmatch(text):
            return text
        self._fault(
            node,
            "yaml.number",
            f"{text} has no form in JSON: numbers must be finite",
            "put it in quotes if it is meant as text",
        )
        return None


def _too_deep(line: int, column: int) -> Fault:
    return Fault(
        "yaml.depth",
        f"mappings and lists are nested more than {DOCUMENT_DEPTH_MAX} deep here",
        line,
        column,
        "nest less deeply, or move the inner part to a workflow of its own",
    )
