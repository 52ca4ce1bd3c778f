"""The syntax tree of a compiled CEL expression, and what can be read off it without evaluating.

The engine hands out its tree as a serialised `cel.expr.CheckedExpr` or `ParsedExpr`; the few fields needed are
decoded here by hand, so that no protobuf runtime is needed. Source: google/api/expr cel/expr/{checked,syntax}.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from .diagnostics import Path

Kind = Literal["const", "ident", "select", "call", "list", "map", "comprehension"]


class Node(Struct):
    """One node. `name`: identifier, field or function; `children`: operand, target and arguments, elements, or
    entries.
    """

    kind: Kind
    id: int
    name: str = ""
    value: object = None  # of a constant
    target: Node | None = None  # operand of a select, receiver of a member call
    children: list[Node] = field(default_factory=list["Node"])
    test: bool = False  # has(a.b)
    optional: frozenset[int] = frozenset()  # which children are written with ?
    parts: dict[str, Node] = field(default_factory=dict[str, "Node"])  # of a comprehension
    variables: tuple[str, ...] = ()  # of a comprehension: element(s), accumulator last


class Tree(Struct):
    """An expression's tree; `offset` tells where a node stands in the text."""

    root: Node
    source_info: bytes

    def offset(self, node: Node) -> int:
        """Code points before the node's own sign: the dot of a select, the bracket of a call, the first of a name."""
        for number, value in _fields(self.source_info):
            if number == 4 and isinstance(value, bytes):
                entry = dict(_fields(value))
                if entry.get(1, 0) == node.id:
                    return _int(entry.get(2, 0))
        return 0


def decode(serialized: bytes) -> Tree:
    """The tree of `Expression.serialize()`."""
    url, message = "", b""
    for number, value in _fields(serialized):
        if number == 1 and isinstance(value, bytes):
            url = value.decode()
        elif number == 2 and isinstance(value, bytes):
            message = value
    expr_field, info_field = (4, 5) if url.endswith("CheckedExpr") else (2, 3)
    expr, info = b"", b""
    for number, value in _fields(message):
        if number == expr_field and isinstance(value, bytes):
            expr = value
        elif number == info_field and isinstance(value, bytes):
            info = value
    return Tree(_node(expr), info)


def _int(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a protobuf message: number, and a varint or the raw bytes (fixed64 as its 8 bytes)."""
    found: list[tuple[int, int | bytes]] = []
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key >= 0x80:
            key, at = _varint(data, at - 1)
        wire = key & 7
        if wire == 2 or wire == 0:
            value = data[at]  # mostly small: lengths, kinds, ids
            at += 1
            if value >= 0x80:
                value, at = _varint(data, at - 1)
            if wire == 0:
                found.append((key >> 3, value))
                continue
            size = value
        else:
            size = 8 if wire == 1 else 4
        found.append((key >> 3, data[at : at + size]))
        at += size
    return found


def _node(data: bytes) -> Node:
    ident, kind, body = 0, 0, b""
    for number, value in _fields(data):
        if number == 2 and isinstance(value, int):
            ident = value
        elif isinstance(value, bytes):
            kind, body = number, value
    match kind:
        case 3:
            return Node("const", ident, value=_constant(body))
        case 4:
            return Node("ident", ident, name=_text(body, 1))
        case 5:
            return _select(ident, body)
        case 6:
            return _call(ident, body)
        case 7:
            return _list(ident, body)
        case 8:
            return _map(ident, body)
        case 9:
            return _comprehension(ident, body)
        case _:
            return Node("const", ident)


def _text(data: bytes, wanted: int) -> str:
    for number, value in _fields(data):
        if number == wanted and isinstance(value, bytes):
            return value.decode()
    return ""


def _constant(data: bytes) -> object:
    for number, value in _fields(data):
        if isinstance(value, int):
            if number == 2:
                return bool(value)
            if number == 3:
                return value - (1 << 64) if value >> 63 else value
            return None if number == 1 else value
        if number == 5:
            return struct.unpack("<d", value)[0]
        return value.decode("utf-8", "replace") if number == 6 else value
    return None


def _select(ident: int, data: bytes) -> Node:
    node = Node("select", ident)
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            node.target = _node(value)
        elif number == 2 and isinstance(value, bytes):
            node.name = value.decode()
        elif number == 3:
            node.test = bool(value)
    return node


def _call(ident: int, data: bytes) -> Node:
    node = Node("call", ident)
    for number, value in _fields(data):
        if isinstance(value, bytes):
            if number == 1:
                node.target = _node(value)
            elif number == 2:
                node.name = value.decode()
            else:
                node.children.append(_node(value))
    return node


def _list(ident: int, data: bytes) -> Node:
    node = Node("list", ident)
    optional: set[int] = set()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            node.children.append(_node(value))
        elif number == 2 and isinstance(value, bytes):  # packed
            at = 0
            while at < len(value):
                index, at = _varint(value, at)
                optional.add(index)
        elif number == 2 and isinstance(value, int):
            optional.add(value)
    node.optional = frozenset(optional)
    return node


def _map(ident: int, data: bytes) -> Node:
    node = Node("map", ident)
    optional: set[int] = set()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            node.name = value.decode()
        if number != 2 or not isinstance(value, bytes):
            continue
        for part, item in _fields(value):
            if part in (3, 4) and isinstance(item, bytes):
                node.children.append(_node(item))
            elif part == 5 and item:
                optional.add(len(node.children) - 1)
    node.optional = frozenset(optional)
    return node


_PARTS = {2: "range", 4: "init", 5: "condition", 6: "step", 7: "result"}


def _comprehension(ident: int, data: bytes) -> Node:
    node = Node("comprehension", ident)
    names = {1: "", 3: "", 8: ""}
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number in _PARTS:
            node.parts[_PARTS[number]] = _node(value)
        elif number in names:
            names[number] = value.decode()
    node.variables = (names[1], names[8], names[3])
    return node


# --- what the tree says --------------------


Bound = Mapping[str, "Path | None"]
"""Names that a comprehension binds: the path of what they stand for, where it is known."""

EACH = "\0each"
"""In a path of Facts.selects: every item of the list there."""

NOTHING_BOUND: Bound = {}


def path_of(node: Node | None, bound: Bound = NOTHING_BOUND, *, through: bool = False) -> Path | None:
    """The path of a chain of fields and constant indices from a name in scope (`a.b["c"][0]`); None for anything else.

    `through`: also from a name that a comprehension binds, by way of what it goes over.
    """
    parts: list[str | int] = []
    while node is not None:
        if node.kind == "ident":
            head: Path | None = (node.name.removeprefix("."),)
            if node.name in bound:
                head = bound[node.name] if through else None
            return None if head is None else (*head, *reversed(parts))
        if node.kind == "select":
            parts.append(node.name)
            node = node.target
        elif node.kind == "call" and node.name in ("_[_]", "_?._", "_[?_]") and node.children[1].kind == "const":
            key = node.children[1].value
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                return None
            parts.append(key)
            node = node.children[0]
        else:
            return None
    return None


class Source(Struct, frozen=True):
    """A value that map or filter builds a list over: its items, those of its lists (`flat`), its parts (`split`)."""

    path: Path
    flat: bool = False
    split: str | None = None


class Facts(Struct):
    """What an expression does: `reads` with the node that ends each, functions called, lists built over which paths."""

    reads: dict[Path, Node] = field(default_factory=dict[Path, Node])
    selects: list[tuple[Path, str | int | None]] = field(
        default_factory=list[tuple[Path, "str | int | None"]]
    )  # of what, which
    built_over: list[Source] = field(default_factory=list["Source"])
    comparisons: list[Node] = field(default_factory=list[Node])
    escaping: list[Node] = field(default_factory=list[Node])  # optional values where none may be
    comprehensions: int = 0


NAMESPACES = frozenset(("math", "lists", "optional"))  # before functions; an unchecked tree has them as names
_COMPARISONS = frozenset(("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"))


def facts_of(root: Node) -> Facts:
    """Walk the tree once."""
    facts = Facts()
    _walk(root, NOTHING_BOUND, facts)
    if is_optional(root):
        facts.escaping.append(root)
    return facts


def _walk(node: Node, bound: Bound, facts: Facts) -> None:
    path = path_of(node, bound)
    if path is not None:
        facts.reads.setdefault(path, node)
        _note_selects(node, bound, facts)
        return
    if node.kind == "select" or node.name in _CHAINS:
        _note_selects(node, bound, facts, deep=False)
    match node.kind:
        case "select":
            if node.target is not None:
                _walk(node.target, bound, facts)
        case "call":
            _note_call(node, facts)
            if node.target is not None and not (node.target.kind == "ident" and node.target.name in NAMESPACES):
                _walk(node.target, bound, facts)
            for child in node.children:
                _walk(child, bound, facts)
        case "list" | "map":
            facts.escaping += [c for i, c in enumerate(node.children) if i not in node.optional and is_optional(c)]
            for child in node.children:
                _walk(child, bound, facts)
        case "comprehension":
            _walk_comprehension(node, bound, facts)
        case _:
            pass


def _walk_comprehension(node: Node, bound: Bound, facts: Facts) -> None:
    facts.comprehensions += 1
    over = path_of(node.parts.get("range"), bound, through=True)
    inner = {**bound, **dict.fromkeys(node.variables), node.variables[0]: None if over is None else (*over, EACH)}
    for name, part in node.parts.items():
        _walk(part, bound if name in ("range", "init") else inner, facts)
    ranged = node.parts.get("range")
    if ranged is not None and is_optional(ranged):
        facts.escaping.append(ranged)
    init = node.parts.get("init")
    if init is not None and init.kind == "list":
        facts.built_over += _sources(ranged, bound)
    elif node.variables[2].startswith("@__sortBy"):  # what it sorts is bound to a name first, then mapped over
        facts.built_over += _sources(init, bound)


def _sources(node: Node | None, bound: Bound, flat: bool = False) -> list[Source]:
    """The values within a list expression that decide how long the list is."""
    if node is None:
        return []
    path = path_of(node, bound, through=True)
    if path is not None:
        return [Source(path, flat)]
    if node.kind == "call" and node.name == "split" and node.target is not None:
        text = path_of(node.target, bound, through=True)
        separator = node.children[0].value if node.children else None
        if text is not None:
            return [Source(text, split=separator if isinstance(separator, str) else "")]
    flat = flat or node.name == "flatten"
    inner = [node.target, *node.children, node.parts.get("range")]
    return [source for child in inner if child is not None for source in _sources(child, bound, flat)]


def _note_selects(node: Node, bound: Bound, facts: Facts, *, deep: bool = True) -> None:
    """Each step of a chain, with the path it starts from: to find out afterwards which one met null."""
    step: Node | None = node
    while step is not None and step.kind != "ident":
        operand = step.target if step.kind == "select" else step.children[0]
        operand_path = path_of(operand, bound, through=True)
        if operand_path is not None:
            key = step.name if step.kind == "select" else step.children[1].value
            facts.selects.append((operand_path, key if isinstance(key, (str, int)) else None))
        if not deep:
            return
        step = operand


_OPTIONAL_FUNCTIONS = frozenset(("_?._", "_[?_]", "optional.none", "optional.of", "optional.ofNonZeroValue"))
_CHAINS = frozenset(("_?._", "_[?_]", "_[_]"))
_CONSUMERS = frozenset(("orValue", "or", "hasValue", "value"))


def is_optional(node: Node | None) -> bool:
    """Is the node's value an optional, as far as its shape tells (which functions give one is known)?"""
    if node is None:
        return False
    if node.kind == "select":
        return is_optional(node.target)
    if node.kind == "comprehension":
        return is_optional(node.parts.get("result"))
    if node.kind != "call":
        return False
    name = node.name
    if name in _OPTIONAL_FUNCTIONS:
        return True
    if name == "_[_]":
        return is_optional(node.children[0])
    if name == "_?_:_":
        return is_optional(node.children[1]) or is_optional(node.children[2])
    if name == "or":
        return is_optional(node.target)
    if node.target is None:
        return name == "optional" and bool(node.children)
    if node.target.kind == "ident" and node.target.name == "optional":
        return name in ("none", "of", "ofNonZeroValue")
    return name in ("first", "last") and not node.children


def _note_call(node: Node, facts: Facts) -> None:
    name = node.name
    if name in _COMPARISONS:
        facts.comparisons.append(node)
        return
    if name == "_?_:_" and is_optional(node.children[1]) == is_optional(node.children[2]):
        return
    if name == "or" and is_optional(node.target):
        return
    arguments: Sequence[Node] = node.children[1:] if name in _CHAINS else node.children
    facts.escaping += [argument for argument in arguments if is_optional(argument)]
    if node.target is not None and name not in _CONSUMERS and is_optional(node.target):
        facts.escaping.append(node.target)
