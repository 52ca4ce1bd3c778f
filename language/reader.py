"""Reading one document: its values, where they stand, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final, Protocol

from .catalogue import Catalogue, Word
from .diagnostics import Diagnostic, Diagnostics, Path, Place, did_you_mean, nearest, path_text
from .values import found, is_mapping


class Source(Protocol):
    """What a document tells of its parts; see documents.Document."""

    @property
    def value(self) -> Any:
        """The document as plain data."""
        ...

    @property
    def file(self) -> str:
        """The file it stands in; may be empty."""
        ...

    def place(self, path: Path = ()) -> Place:
        """Where the value at a path stands."""
        ...

    def key_place(self, path: Path) -> Place:
        """Where the key that ends a path stands."""
        ...

    def source(self, path: Path) -> str | None:
        """A scalar's text as written."""
        ...

    def text_place(self, path: Path, offset: int, length: int = 1) -> Place:
        """Where a character of a text stands."""
        ...


class PlainData:
    """A source without text: data that a program or the API handed over. Its places are paths alone."""

    __slots__ = ("file", "value")

    def __init__(self, value: Any, file: str = "") -> None:
        self.value = value
        self.file = file

    def place(self, path: Path = ()) -> Place:
        """The file, if there is one."""
        return Place(self.file)

    def key_place(self, path: Path) -> Place:
        """The file, if there is one."""
        return Place(self.file)

    def source(self, path: Path) -> str | None:
        """None: a number in data was never text."""
        return None

    def text_place(self, path: Path, offset: int, length: int = 1) -> Place:
        """The file, if there is one."""
        return Place(self.file)


class Invalid:
    """Stands for a value that was wrong; the error has been told."""

    def __repr__(self) -> str:
        """For debugging."""
        return "INVALID"


INVALID: Final = Invalid()


class Reader:
    """One document, the catalogue, and the diagnostics found so far."""

    __slots__ = ("aliases", "catalogue", "diagnostics", "kept", "source")

    def __init__(self, source: Source, catalogue: Catalogue, diagnostics: Diagnostics) -> None:
        self.source = source
        self.catalogue = catalogue
        self.diagnostics = diagnostics
        self.kept: dict[Path, list[int]] = {}  # of lists that lost items to errors: the places of those that are left
        self.aliases: dict[Path, str] = {}  # of keys under their old name: the path with the new one, and the old one

    def with_catalogue(self, catalogue: Catalogue) -> Reader:
        """The same document and diagnostics with other words."""
        other = Reader(self.source, catalogue, self.diagnostics)
        other.aliases = self.aliases
        return other

    def written(self, path: Path) -> Path:
        """A path as it stands in the document, where a key may have its old name."""
        if not self.aliases:
            return path
        return tuple(self.aliases.get(path[: place + 1], part) for place, part in enumerate(path))

    def key_place(self, path: Path) -> Place:
        """Where the key that ends a path stands."""
        return self.source.key_place(self.written(path))

    def source_text(self, path: Path) -> str | None:
        """The text of a scalar as written."""
        return self.source.source(self.written(path))

    def error(self, code: str, path: Path, message: str, *, key: bool = False, **more: str) -> None:
        """Tell an error of the value at a path; with `key`, of the key that ends it. `more`: found, expected, hint."""
        path = self.written(path)
        place = self.source.key_place(path) if key else self.source.place(path)
        self.diagnostics.error(code, message, place, path=path, **more)

    def warning(self, code: str, path: Path, message: str, *, key: bool = False, **more: str) -> None:
        """The same as a warning: it loads, but is probably not meant."""
        path = self.written(path)
        place = self.source.key_place(path) if key else self.source.place(path)
        self.diagnostics.warning(code, message, place, path=path, **more)

    def advise(self, code: str, path: Path, message: str, **more: str) -> None:
        """The same as a hint, of the key that ends the path: right as it is, and may be written more plainly."""
        path = self.written(path)
        self.diagnostics.advise(code, message, self.source.key_place(path), path=path, **more)

    def within(self, path: Path, diagnostics: Iterable[Diagnostic]) -> None:
        """Tell diagnostics whose places are inside the text at a path (line 1, column 1 is its first character)."""
        text = None
        path = self.written(path)
        for each in diagnostics:
            if text is None:
                text = self.text(path) or ""
            offset = 0
            for _ in range(each.place.line - 1):
                offset = text.find("\n", offset) + 1
            place = self.source.text_place(path, offset + max(each.place.column - 1, 0), each.place.length)
            self.diagnostics.add(replace(each, place=place, path=path, line_text=None))

    def value(self, path: Path) -> Any:
        """What is written at a path; INVALID if nothing is."""
        value: Any = self.source.value
        for part in self.written(path):
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return INVALID
        return value

    def text(self, path: Path) -> str | None:
        """The text at a path, if a text stands there."""
        value = self.value(path)
        if value is INVALID:
            return None
        return value if isinstance(value, str) else self.source_text(path)

    def wrong_type(self, path: Path, expected: str, value: Any, hint: str = "") -> Invalid:
        """Tell that something else was expected."""
        name = _last(path)
        self.error(
            "wrong_type", path, f"{name} must be {expected}; found {found(value)}",
            expected=expected, found=found(value), hint=hint,
        )  # fmt: skip
        return INVALID

    def unknown_key(self, path: Path, whole: str, known: Collection[str], words: Iterable[Word] = ("key",)) -> None:
        """Tell that the last part of the path is no key of `whole`, or none that is carried out yet."""
        key = str(path[-1])
        for word in words:
            if self.unavailable(word, key, path, key=True):
                return
        self.error(
            "unknown_key", path, f"`{key}` is not a key of {whole}",
            key=True, found=key, hint=did_you_mean(key, known),
        )  # fmt: skip

    def unavailable(self, word: Word, name: str, path: Path, *, key: bool = False) -> bool:
        """Tell it, if this is a word of the language that is not carried out yet."""
        instead = self.catalogue.unavailable(word, name)
        if instead is None:
            return False
        self.error("unavailable", path, f"`{name}` is not available in this version", key=key, found=name, hint=instead)
        return True

    def choice(self, path: Path, value: Any, choices: Collection[str], word: Word = "value") -> Any:
        """One of some words; otherwise INVALID, and the error is told."""
        if isinstance(value, str) and value in choices:
            return value
        if isinstance(value, str) and self.unavailable(word, value, path):
            return INVALID
        near = nearest(value, choices) if isinstance(value, str) else None
        listed = ", ".join(choices)
        words = f"one of {listed}" if len(choices) > 1 else listed
        self.error(
            "wrong_value", path, f"{_last(path)} must be {words}; found {found(value)}",
            expected=listed, found=found(value), hint=f"did you mean {near}?" if near else "",
        )  # fmt: skip
        return INVALID

    def mapping(self, path: Path, value: Any, expected: str = "a mapping", hint: str = "") -> dict[str, Any] | None:
        """The value, if it is a mapping; otherwise None, and the error is told."""
        if is_mapping(value):
            return value  # type: ignore[return-value]  # documents hold plain dicts
        self.wrong_type(path, expected, value, hint)
        return None

    def missing(self, path: Path, key: str, whole: str, hint: str = "") -> None:
        """Tell that a key is missing in the mapping at a path."""
        self.error("missing_key", path, f"{whole} needs `{key}`", expected=key, hint=hint)


def _last(path: Path) -> str:
    """How a message names the value at a path: by its own name, with its list if it is an item."""
    if not path:
        return "the document"
    last = path[len(path) - 1]
    if isinstance(last, int):
        return f"`{path_text(path[-2:])}`" if len(path) > 1 else f"item {last + 1}"
    return f"`{last}`"
