"""Text (YAML or JSON) → checked workflow definitions, with every error of a file at once.

A file is read in three passes: documents with their places, keys of each workflow by the language's tables, then
what needs the whole of it (expressions, dependencies, inputs). After that files are checked against each other.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Collection, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ..core.durations import format_size
from ..core.errors import ErrorPlace
from ..core.limits import DEFINITION_BYTES_MAX
from .catalogue import Catalogue
from .check_workflow import check_workflow
from .definition import Loaded, WorkflowDefinition
from .diagnostics import Diagnostics, Path, Place, path_text
from .documents import load_documents
from .loader_workflow import Draft, read_workflow
from .paths import parse_path
from .reader import PlainData, Reader, Source
from .together import check_together
from .unread import may_hold


@dataclass(slots=True)
class LoadResult:
    """What could be loaded without an error, in the order of the text, and all diagnostics (warnings too)."""

    loaded: list[Loaded] = field(default_factory=list[Loaded])
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    failed: set[str] = field(default_factory=set[str])
    """Files with at least one error: their last good revision stays live (semantics 10.3)."""
    broken: set[str] = field(default_factory=set[str])
    """Workflows that were read but have errors, by name."""
    wrong: list[Loaded] = field(default_factory=list[Loaded])
    """Those that are right by themselves and wrong beside the others; never among `loaded`."""

    def may_hold(self, name: str) -> bool:
        """Is a workflow that is not among `loaded` still meant to be there, in a file with an error?"""
        wrong = name in self.broken or any(each.definition.workflow == name for each in self.wrong)
        return wrong or any(may_hold(name, file) for file in self.failed)

    @property
    def definitions(self) -> list[WorkflowDefinition]:
        """The definitions alone."""
        return [loaded.definition for loaded in self.loaded]


class LoadCache:
    """What `load_files` keeps between two calls: a file whose content has not changed is not read again."""

    def __init__(self) -> None:
        self.revision: Hashable = None
        self.entries: dict[str, tuple[bytes, LoadResult]] = {}


class Places(Mapping[str, ErrorPlace]):
    """Where the parts of a definition stand, by path: `steps.charge.with.url`; looked up when asked, in the document.

    A step is found by its name, in a list as in a mapping, inside blocks as well.
    """

    def __init__(self, source: Source, draft: Draft) -> None:
        self._source = source
        self._draft = draft

    def given(self, step: str) -> Mapping[str, str]:
        """Of a step that runs a workflow: the types of the inputs that it computes, as far as they are known."""
        return self._draft.places.given.get(step, {})

    def __getitem__(self, key: str) -> ErrorPlace:
        path = self._document_path(parse_path(key))
        place = self._source.place(path)
        if not place.line:
            raise KeyError(key)
        return ErrorPlace(place.file, place.line, place.column, path_text(path))

    def _document_path(self, path: Path) -> Path:
        if len(path) < 2 or path[0] != "steps":
            return path
        found = self._draft.places.steps.get(str(path[1]))
        if found is None:
            return path
        rest = path[2:]
        if rest[:1] == ("with",):
            return (*found.with_, *rest[1:])
        return (*found.path, *rest)

    def __iter__(self) -> Iterator[str]:
        yield from (path_text(("steps", name)) for name in self._draft.places.steps)

    def __len__(self) -> int:
        return len(self._draft.places.steps)


def load_text(text: str | bytes, file: str, catalogue: Catalogue) -> LoadResult:
    """The workflows of one text, several documents included. Errors are in `diagnostics`; nothing is raised."""
    result = LoadResult()
    size = len(text.encode()) if isinstance(text, str) else len(text)
    if size > DEFINITION_BYTES_MAX:
        most = format_size(DEFINITION_BYTES_MAX)
        result.diagnostics.error(
            "too_large",
            f"the file has {size} bytes; at most {most} are read",
            Place(file),
            hint="split it: one file a workflow",
        )
        result.failed.add(file)
        return result
    for document in load_documents(text, file, result.diagnostics):
        own = Diagnostics()
        draft = _load(document, catalogue, own)
        result.diagnostics.extend(own.items)
        if draft is None:
            continue
        if own:
            result.broken.add(draft.definition.workflow)
        else:
            result.loaded.append(Loaded(draft.definition, Places(document, draft), file))
    if result.diagnostics:
        result.failed.add(file)
    return result


def _load(source: Source, catalogue: Catalogue, diagnostics: Diagnostics) -> Draft | None:
    reader = Reader(source, catalogue, diagnostics)
    draft = read_workflow(reader)
    if draft is not None:
        check_workflow(reader, draft)
    return draft


def load_files(
    paths: Iterable[str | FilePath],
    catalogue: Catalogue,
    cache: LoadCache | None = None,
    beside: Sequence[Loaded] = (),
    broken: Collection[str] = (),
) -> LoadResult:
    """The workflows of many files, checked against each other too (`check_together`).

    With a cache, files whose content is that of the last call are not read again, as long as the catalogue says the
    same. `beside`: definitions from elsewhere (Python, the API) that these may call; `broken`: workflows from there
    that have errors of their own.
    """
    with _no_collections():
        return _load_files(paths, catalogue, cache if cache is not None else LoadCache(), beside, broken)


@contextmanager
def _no_collections() -> Generator[None]:
    """Almost all that loading makes stays: collections in between find nothing, and take a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load_files(
    paths: Iterable[str | FilePath],
    catalogue: Catalogue,
    kept: LoadCache,
    beside: Sequence[Loaded],
    broken: Collection[str],
) -> LoadResult:
    revision = catalogue.revision
    if kept.revision != revision:
        kept.revision, kept.entries = revision, {}
    result = LoadResult()
    entries: dict[str, tuple[bytes, LoadResult]] = {}
    for path in paths:
        file = str(path)
        try:
            body = FilePath(path).read_bytes()
        except OSError as error:
            message = f"the file cannot be read: {error.strerror or error}"
            result.diagnostics.error(
                "unreadable", message, Place(file), hint="check that it exists, and who may read it"
            )
            result.failed.add(file)
            continue
        digest = hashlib.blake2b(body, digest_size=16).digest()
        known = kept.entries.get(file)
        if known is not None and known[0] == digest:
            one = known[1]
        else:
            one = load_text(body, file, catalogue) if body.strip() else _empty(file)
        entries[file] = (digest, one)
        _take(result, one)
    kept.entries = entries
    between, result.wrong = check_together([*beside, *result.loaded], {*broken, *result.broken}, catalogue.triggers)
    result.diagnostics.extend(between.items)
    result.failed.update(each.file for each in result.wrong)
    wrong = {id(each) for each in result.wrong}
    result.loaded = [each for each in result.loaded if id(each) not in wrong]
    return result


def _empty(file: str) -> LoadResult:
    """Many editors empty a file before they write it: what it held must not be out of force for that moment."""
    result = LoadResult(failed={file})
    hint = "write a workflow in it, or remove it: until then what it held stays in force"
    result.diagnostics.error("empty", "the file is empty", Place(file), hint=hint)
    return result


def _take(result: LoadResult, one: LoadResult) -> None:
    result.loaded.extend(one.loaded)
    result.diagnostics.extend(one.diagnostics.items)
    for file, lines in one.diagnostics.sources.items():
        result.diagnostics.add_source(file, lines)
    result.failed |= one.failed
    result.broken |= one.broken


def load_mapping(value: Mapping[str, Any], catalogue: Catalogue, file: str = "") -> WorkflowDefinition:
    """A definition from plain data (API, builder). Raises InvalidDefinition with every error, places by path."""
    diagnostics = Diagnostics()
    draft = _load(PlainData(dict(value), file), catalogue, diagnostics)
    diagnostics.raise_errors()
    if draft is None:
        raise AssertionError("a workflow that could not be read has an error")
    return draft.definition
