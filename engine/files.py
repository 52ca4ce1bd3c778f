"""The workflow files of a project: texts, and Python files, whose classes are registered as if a program had done it.

A Python file counts if it imports `reactor`; it is imported when it is new or has changed, under the name of its path
(`workflows.orders`). What it imports itself is not looked at again: Python keeps it. Source: language page, section 1.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import os
import re
import sys
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ..core.limits import FILE_IMPORT_S_MAX
from ..language.builder import BuiltWorkflow
from ..language.catalogue import Catalogue
from ..language.definition import Loaded
from ..language.diagnostics import Diagnostics, InvalidDefinition, Place
from ..language.loader import LoadCache, LoadResult, load_files
from ..language.python_form import Workflow
from .functions import Functions
from .importing import Importing, Slow

SUFFIX = ".py"
_OURS = "__read_by_reactor__"


def is_workflows(module: object) -> bool:
    """Is this the module of a file of workflows, which is read again when it changes?"""
    return _OURS in getattr(module, "__dict__", ())


class WorkflowFiles:
    """Reads the files of one project, again and again; what has not changed is not read again."""

    def __init__(self, root: str, functions: Functions, *, import_s: float = FILE_IMPORT_S_MAX) -> None:
        self._root = os.path.abspath(root)
        self._functions = functions
        self._import_s = import_s
        self._begun: dict[str, tuple[bytes, Importing]] = {}  # imports whose ends nobody has seen, with their texts
        self._texts = LoadCache()
        self._known: dict[str, tuple[bytes, Hashable, LoadResult]] = {}

    async def read(
        self, paths: Iterable[str | Path], catalogue: Catalogue, beside: Sequence[Loaded] = (), *, texts: bool = True
    ) -> LoadResult:
        """As `load`, or as `code` without `texts`; while Python files are imported, others have their turn."""
        files = [str(path) for path in paths]
        for file in files:  # one after the other: they may import each other
            importing = self._ahead(file, catalogue)
            if importing is not None:
                await importing.through()
        return self.load(files, catalogue, beside) if texts else self.code(files, catalogue)

    def _ahead(self, file: str, catalogue: Catalogue) -> Importing | None:
        """The import that a file will be read by, begun if it was not; None if it needs none, or cannot be read."""
        if not file.endswith(SUFFIX):
            return None
        try:
            body = Path(file).read_bytes()
            known = self._known.get(file)
            if known is not None and known[:2] == (_digest(body), catalogue.revision):
                return None
            if not _imports_reactor(ast.parse(body, file)):
                return None
        except (OSError, SyntaxError, ValueError):
            return None
        begun = self._import(file, body, fresh=known is None)
        return begun if isinstance(begun, Importing) else None

    def load(self, paths: Iterable[str | Path], catalogue: Catalogue, beside: Sequence[Loaded] = ()) -> LoadResult:
        """The workflows of all files, checked against each other and those `beside`; nothing is raised."""
        files = [str(path) for path in paths]
        coded = self.code(files, catalogue)
        own = {(one.definition.workflow, one.file) for one in beside}  # the program registered them itself
        classes = [one for one in coded.loaded if (one.definition.workflow, one.file) not in own]
        texts = [file for file in files if not file.endswith(SUFFIX)]
        result = load_files(texts, catalogue, self._texts, [*beside, *classes], coded.broken)
        result.loaded[:0] = [one for one in classes if not any(one is wrong for wrong in result.wrong)]
        _add(result, coded)
        return result

    def code(self, paths: Iterable[str | Path], catalogue: Catalogue) -> LoadResult:
        """The workflows of the Python files alone; what they define can be called from now on."""
        result = LoadResult()
        for file in (str(path) for path in paths):
            if file.endswith(SUFFIX):
                one = self._file(file, catalogue)
                result.loaded += one.loaded
                _add(result, one)
        return result

    def _file(self, file: str, catalogue: Catalogue) -> LoadResult:
        result = LoadResult()
        try:
            body = Path(file).read_bytes()
        except OSError as error:
            message = f"the file cannot be read: {error.strerror or error}"
            hint = "check that it exists, and who may read it"
            result.diagnostics.error("unreadable", message, Place(file), hint=hint)
            result.failed.add(file)
            return result
        digest = _digest(body)
        known = self._known.get(file)
        if known is not None and known[:2] == (digest, catalogue.revision):
            return known[2]
        try:
            tree = ast.parse(body, file)
        except (SyntaxError, ValueError) as error:
            _not_python(result.diagnostics, file, body, error)
        else:
            if _imports_reactor(tree):
                self._classes(result, file, body, fresh=known is None, catalogue=catalogue)
        if result.diagnostics:
            result.failed.add(file)
        else:
            self._known[file] = (digest, catalogue.revision, result)
        return result

    def _classes(self, result: LoadResult, file: str, body: bytes, *, fresh: bool, catalogue: Catalogue) -> None:
        try:
            module = self._imported(file, body, fresh=fresh)
        except Slow as slow:
            result.diagnostics.add_source(file, body.decode(errors="replace"))
            hint = "see what it does when it is imported: it must not wait for anything there; then change or reload it"
            result.diagnostics.error("import_slow", f"the file is still being imported: {slow}", Place(file), hint=hint)
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the module's own code runs here and may raise anything
            _not_imported(result.diagnostics, file, body, error)
            return
        for each in _workflows(module):
            try:
                loaded = self._functions.register(each, catalogue)
            except InvalidDefinition as error:
                result.broken.add(self._functions.name_of(each))
                result.diagnostics.add_source(file, body.decode(errors="replace"))
                result.diagnostics.extend(error.diagnostics)
            else:
                result.loaded.append(msgspec.structs.replace(loaded, file=file))

    def _imported(self, file: str, body: bytes, *, fresh: bool) -> ModuleType:
        """The module of these very bytes. Raises Slow, and what the module's code raises."""
        begun = self._import(file, body, fresh=fresh)
        if isinstance(begun, ModuleType):
            return begun
        try:
            return begun.ended()
        finally:
            if begun.is_through:  # one that failed is begun anew the next time
                del self._begun[file]

    def _import(self, file: str, body: bytes, *, fresh: bool) -> Importing | ModuleType:
        """The import of these very bytes, begun once; what the program itself imported is taken as it is, the first
        time.
        """
        name = self._name(file)
        begun = self._begun.get(file)
        if begun is not None and begun[0] == body:
            return begun[1]
        before = sys.modules.get(name)
        if fresh and before is not None and os.path.abspath(str(before.__file__)) == file and _OURS not in vars(before):
            return before
        if self._root not in sys.path:
            sys.path.append(self._root)
        module = ModuleType(name)
        module.__file__ = file
        vars(module)[_OURS] = True
        linecache.checkcache(file)
        importing = Importing(module, compile(body, file, "exec"), limit_s=self._import_s)
        self._begun[file] = body, importing
        return importing

    def _name(self, file: str) -> str:
        inside = os.path.relpath(file, self._root)
        path = os.path.basename(file) if inside.startswith("..") else inside
        return ".".join(re.sub(r"\W", "_", part) for part in path.removesuffix(SUFFIX).split(os.sep))


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _add(result: LoadResult, more: LoadResult) -> None:
    """What is wrong in other files, with their lines."""
    for file, text in more.diagnostics.sources.items():
        result.diagnostics.add_source(file, text)
    result.diagnostics.extend(more.diagnostics.items)
    result.failed |= more.failed
    result.broken |= more.broken


def _workflows(module: ModuleType) -> list[Any]:
    """The classes that a module defines (those with a leading _ are for others to derive from), and what it builds."""
    found: list[Any] = []
    members: dict[str, Any] = vars(module)
    for name, each in members.items():
        own = isinstance(each, type) and issubclass(each, Workflow) and each.__module__ == module.__name__
        if not name.startswith("_") and (own or isinstance(each, BuiltWorkflow)):
            found += [] if any(each is other for other in found) else [each]
    return found


def _imports_reactor(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(each.name.partition(".")[0] == "reactor" for each in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "reactor":
            return True
    return False


def _not_python(diagnostics: Diagnostics, file: str, body: bytes, error: SyntaxError | ValueError) -> None:
    line, column = (error.lineno or 0, error.offset or 0) if isinstance(error, SyntaxError) else (0, 0)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    diagnostics.add_source(file, body.decode(errors="replace"))
    diagnostics.error("wrong_syntax", f"this is not Python: {text}", Place(file, line, column), hint="correct the file")


def _not_imported(diagnostics: Diagnostics, file: str, body: bytes, error: BaseException) -> None:
    line, at = 0, error.__traceback__
    while at is not None:
        line = at.tb_lineno if at.tb_frame.f_code.co_filename == file else line
        at = at.tb_next
    message = f"the file cannot be imported: {type(error).__name__}: {error}"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    hint = f"install what holds `{missing}`, or put it into the project" if missing else "correct what is raised here"
    diagnostics.add_source(file, body.decode(errors="replace"))
    diagnostics.error("import_failed", message, Place(file, line), hint=hint)
