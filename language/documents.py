"""YAML 1.2 and JSON text → plain values with their places (being filled in; the signatures stand)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .diagnostics import Diagnostics, Path, Place


@dataclass(slots=True)
class Document:
    """One document of a file: its value (dict, list, str, int, float, bool, None) and where each part stands."""

    value: Any
    file: str
    lines: Sequence[str]

    def place(self, path: Path = ()) -> Place:
        """Where the value at `path` stands; of the nearest existing parent where it does not exist."""
        ...

    def key_place(self, path: Path) -> Place:
        """Where the key that ends `path` stands (for an unknown or forbidden key); a list item: its own place."""
        ...

    def source(self, path: Path) -> str | None:
        """The scalar's text as written (`1.10`, `0x1F`, `yes`), unquoted; None for mappings, lists and what is absent."""
        ...

    def text_place(self, path: Path, offset: int, length: int = 1) -> Place:
        """Where character `offset` of the string at `path` stands in the file: for carets inside expressions."""
        ...


def load_documents(text: str | bytes, file: str = "", diagnostics: Diagnostics | None = None) -> list[Document]:
    """All documents of a YAML or JSON text.

    With `diagnostics` the errors are added there and what could be read is returned; without it they are raised as
    InvalidDefinition. Never raises anything else because of the text.
    """
    ...


def load_document(text: str | bytes, file: str = "", diagnostics: Diagnostics | None = None) -> Document | None:
    """The only document of a text; several are an error. None for an empty text or one that cannot be read."""
    ...
