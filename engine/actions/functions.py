"""Python functions by reference: `module:name`, from the project folder and the installed packages."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import os
import re
import sys
import threading
import traceback
from typing import Any

from ...core.errors import StepError
from ...language.diagnostics import did_you_mean

TRACEBACK_CHARS_MAX = 8_000
_INVALIDATING = threading.Lock()  # of two threads at once both would drop an entry of the caches: one KeyError
_NAME = "[A-Za-z][A-Za-z0-9_-]*"
_REGISTERED = re.compile(rf"{_NAME}(?:\.[A-Za-z0-9_-]+)*:{_NAME}(?:\.compensate)?", re.ASCII)


def split_reference(reference: str) -> tuple[str, str] | None:
    """Module and qualified name; None if the text is no reference."""
    module, colon, name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        return None
    return module, name


def is_registered_form(reference: str) -> bool:
    """Is this the form `workflow:step` of a function that a program registered, such as `ship-order:charge`?"""
    return _REGISTERED.fullmatch(reference) is not None


def is_unread(reference: str) -> bool:
    """Is its module still to be imported, or just being?"""
    parts = split_reference(reference)
    return parts is not None and _ready(parts[0]) is None


def _ready(module: str) -> Any:
    """A module that was imported to its end; Python lists it as soon as that begins."""
    found = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    return None if getattr(spec, "_initializing", False) else found


def resolve(reference: str, project: str) -> Any:
    """The function or class that `module:name` names.

    The project folder (absolute) is searched after the installed packages, so that a file of the project never shadows
    a library. Raises StepError `unknown_action`, saying which part is missing or why the import failed.
    """
    parts = split_reference(reference)
    if parts is None:
        raise StepError(
            "unknown_action",
            f"`{reference}` is no reference to a function",
            hint="write it as module:name, such as shop.orders:charge",
        )
    module_name, qualified = parts
    if project not in sys.path:
        sys.path.append(project)
    found: Any = _module(module_name, reference, project)
    where = f"module `{module_name}`"
    for name in qualified.split("."):
        if not hasattr(found, name):
            names = [n for n in dir(found) if not n.startswith("_")]
            raise StepError("unknown_action", f"`{reference}`: {where} has no `{name}`", hint=did_you_mean(name, names))
        found = getattr(found, name)
        where = f"`{name}`"
    if not callable(found):
        raise StepError("unknown_action", f"`{reference}` is a {type(found).__name__}, not a function or class")
    return found


def _module(name: str, reference: str, project: str) -> Any:
    loaded = _ready(name)
    if loaded is not None:
        return loaded
    with _INVALIDATING:
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is not None and (name == e.name or name.startswith(e.name + ".")):
            near = did_you_mean(name, _modules_of(project))
            raise StepError(
                "unknown_action",
                f"`{reference}`: there is no module `{e.name}` in {project} or among the installed packages",
                hint=near,
            ) from None
        raise _broken(reference, name, e) from e
    except (Exception, SystemExit) as e:  # the module's own code runs here and may raise anything
        raise _broken(reference, name, e) from e


def _broken(reference: str, module: str, error: BaseException) -> StepError:
    return StepError(
        "unknown_action",
        f"`{reference}`: importing `{module}` failed: {type(error).__name__}: {error}",
        details={"exception": type(error).__name__, "traceback": traceback_text(error)},
    )


def _modules_of(folder: str) -> list[str]:
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    return [name.removesuffix(".py") for name in entries if name.endswith(".py")]


# Where the frames between the engine and a step's own code are.
_BETWEEN = tuple(
    os.path.dirname(os.path.abspath(str(file))) for file in (__file__, asyncio.__file__, concurrent.futures.__file__)
)


def traceback_text(error: BaseException) -> str:
    """The traceback without our own first frames, its end kept if it is long."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None and at.tb_frame.f_code.co_filename.startswith(_BETWEEN):
        at = at.tb_next
    text = "".join(traceback.format_exception(type(error), error, at))
    return text if len(text) <= TRACEBACK_CHARS_MAX else "…" + text[-TRACEBACK_CHARS_MAX:]
