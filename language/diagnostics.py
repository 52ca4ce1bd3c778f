"""What is wrong with a text, where, and what to do: collected, sorted, and shown with the line and a caret.

A diagnostic has a stable `code`, a place, what was found and what was expected; nothing is raised until the whole
text has been read, so that people see all errors at once. Source: the language page, section 1; requirement V-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..core.errors import ConfigError, ErrorPlace

Severity = Literal["error", "warning", "hint"]
Path = tuple[str | int, ...]
"""Where a value stands in its document: keys and list indices from the root."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text: 1-based line and column (0: unknown), `length` characters under the caret."""

    file: str = ""
    line: int = 0
    column: int = 0
    length: int = 1

    def __str__(self) -> str:
        """`file:line:column`, as editors and terminals link it."""
        return ":".join([self.file or "<text>", *(str(part) for part in (self.line, self.column) if part)])


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong (or worth saying): a whole sentence, its place, and the cure."""

    code: str
    message: str
    place: Place = Place()
    found: str = ""
    expected: str = ""
    hint: str = ""
    severity: Severity = "error"
    path: Path = ()
    line_text: str | None = None

    def render(self) -> str:
        """Text for people: severity, message, place, the line with a caret, the hint."""
        lines = [f"{self.severity}: {self.message}"]
        if self.place.file or self.place.line:
            lines.append(f"  --> {self.place}" + (f" ({path_text(self.path)})" if self.path else ""))
        elif self.path:
            lines.append(f"  --> {path_text(self.path)}")
        if self.line_text is not None and self.place.line:
            lines += _excerpt(self.line_text, self.place)
        if self.expected:
            lines.append(f"  = expected: {self.expected}")
        if self.found:
            lines.append(f"  = found: {self.found}")
        if self.hint:
            lines.append(f"  = help: {self.hint}")
        return "\n".join(printable(line) for line in "\n".join(lines).split("\n"))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form for the API and `-o json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "path": path_text(self.path),
            "found": self.found,
            "expected": self.expected,
            "hint": self.hint,
        }

    def error_place(self) -> ErrorPlace:
        """Its place in the form that error objects carry."""
        return ErrorPlace(self.place.file, self.place.line, self.place.column, path_text(self.path))


_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def split_lines(text: str) -> list[str]:
    """The lines of a text as YAML counts them."""
    return _BREAK.split(text)


def line_column(text: str, index: int) -> tuple[int, int]:
    """1-based line and column of the character at `index`."""
    line, start = 1, 0
    for found in _BREAK.finditer(text, 0, index):
        line += 1
        start = found.end()
    return line, index - start + 1


_EXCERPT_COLUMNS = 100  # of a long line, this much around the caret is shown


def _excerpt(text: str, place: Place) -> list[str]:
    column = min(max(place.column, 1), len(text) + 1)
    start, dots = 0, ""
    if column > _EXCERPT_COLUMNS - 20:
        start, dots = column - _EXCERPT_COLUMNS // 2, "…"
    shown = dots + text[start : start + _EXCERPT_COLUMNS]
    if len(text) > start + _EXCERPT_COLUMNS:
        shown += "…"
    # a tab under a tab, so that the caret stands below its character whatever the tab's width
    before = "".join("\t" if character == "\t" else " " for character in dots + text[start : column - 1])
    carets = "^" * max(1, min(place.length, len(text) + 1 - column, start + _EXCERPT_COLUMNS + 1 - column))
    number = str(place.line)
    gutter = " " * len(number)
    return [f" {number} | {shown}", f" {gutter} | {before}{carets}"]


def printable(text: str) -> str:
    """The text with control characters (but tabs) and what no terminal shows as one `\\ufffd` each: columns stay."""
    return "".join(c if c == "\t" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else "\ufffd" for c in text)


@dataclass(slots=True)
class Diagnostics:
    """Collects; sorted by place when read. Line texts come from the sources that were added by `add_source`."""

    items: list[Diagnostic] = field(default_factory=list[Diagnostic])
    sources: dict[str, str] = field(default_factory=dict[str, str])

    def add_source(self, file: str, text: str) -> None:
        """Make the text of a file known, so that its diagnostics are shown with their lines."""
        self.sources[file] = text

    def add(self, diagnostic: Diagnostic) -> None:
        """Take one more."""
        self.items.append(diagnostic)

    def error(self, code: str, message: str, place: Place = Place(), **more: Any) -> None:
        """Add an error; `more` are further fields of Diagnostic (found, expected, hint, path)."""
        self.items.append(Diagnostic(code, message, place, **more))

    def warning(self, code: str, message: str, place: Place = Place(), **more: Any) -> None:
        """Add a warning: loads, but is probably not meant."""
        self.items.append(Diagnostic(code, message, place, severity="warning", **more))

    def advise(self, code: str, message: str, place: Place = Place(), **more: Any) -> None:
        """Add a hint: right as it is, and may be written more plainly."""
        self.items.append(Diagnostic(code, message, place, severity="hint", **more))

    def extend(self, more: Iterable[Diagnostic]) -> None:
        """Take all of them."""
        self.items.extend(more)

    def sorted(self) -> list[Diagnostic]:
        """All, by file, line, column, errors first at one place; each with its line where the source is known."""
        rank = {"error": 0, "warning": 1, "hint": 2}
        ordered = sorted(self.items, key=lambda d: (d.place.file, d.place.line, d.place.column, rank[d.severity]))
        return [self._with_line(diagnostic) for diagnostic in dict.fromkeys(ordered)]

    def _with_line(self, diagnostic: Diagnostic) -> Diagnostic:
        text = self.sources.get(diagnostic.place.file)
        number = diagnostic.place.line
        if diagnostic.line_text is not None or text is None or number < 1:
            return diagnostic
        lines = split_lines(text)
        return replace(diagnostic, line_text=lines[number - 1]) if number <= len(lines) else diagnostic

    @property
    def errors(self) -> list[Diagnostic]:
        """The errors alone, sorted."""
        return [diagnostic for diagnostic in self.sorted() if diagnostic.severity == "error"]

    @property
    def strictly(self) -> bool:
        """Is there an error or a warning? Hints do not count."""
        return any(diagnostic.severity != "hint" for diagnostic in self.items)

    def __bool__(self) -> bool:
        """Is there an error? Warnings and hints do not count."""
        return any(diagnostic.severity == "error" for diagnostic in self.items)

    def render(self) -> str:
        """All of them as text, a blank line between two."""
        return "\n\n".join(diagnostic.render() for diagnostic in self.sorted())

    def to_dicts(self) -> list[dict[str, Any]]:
        """All of them, JSON-able."""
        return [diagnostic.to_dict() for diagnostic in self.sorted()]

    def raise_errors(self) -> None:
        """Raise InvalidDefinition if there is an error."""
        if self:
            raise InvalidDefinition(self.sorted())


class InvalidDefinition(ConfigError):
    """A text with at least one error; `diagnostics` has all of them (warnings too), sorted by place."""

    code = "invalid_definition"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        first = next((d for d in self.diagnostics if d.severity == "error"), self.diagnostics[0])
        super().__init__(
            "\n\n".join(diagnostic.render() for diagnostic in self.diagnostics),
            path=path_text(first.path),
            hint=first.hint,
            details={"diagnostics": [diagnostic.to_dict() for diagnostic in self.diagnostics]},
        )


def path_text(path: Path) -> str:
    """A path as people write it: `steps.charge.with.headers["content-type"]`, `triggers[2].zone`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += '["' + part.replace("\\", "\\\\").replace('"', '\\"') + '"]'
    return text


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant: equal but for case and separators, else the fewest typing errors (a swap
    of neighbours is one), at most a third of the name; the first of equals. None if nothing is near."""
    best: str | None = None
    best_cost = max(1, (len(name) + 1) // 3) + 1
    plain = _plain(name)
    for candidate in candidates:
        if candidate == name:
            continue
        cost = 0 if _plain(candidate) == plain else _distance(name.lower(), candidate.lower(), best_cost)
        if cost < best_cost:
            best, best_cost = candidate, cost
    return best


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A hint: `did you mean retry?`, else the valid names (at most twelve), else nothing."""
    names = sorted(set(candidates))
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {near}?"
    if not names:
        return ""
    return "one of: " + ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").replace(".", "").lower()


def _distance(a: str, b: str, limit: int) -> int:
    """Damerau-Levenshtein (optimal string alignment) distance; anything from `limit` up is just `limit`."""
    if abs(len(a) - len(b)) >= limit:
        return limit
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) >= limit:
            return limit
        before, above = above, row
    return min(above[-1], limit)
