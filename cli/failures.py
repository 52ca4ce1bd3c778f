"""What went wrong, as people read it on stderr (what, where, what to do), and the exit code that it becomes."""

from __future__ import annotations

import errno
import sys
from typing import Any

from ..core.errors import ConfigError, ReactorError
from ..language.diagnostics import InvalidDefinition, printable

RUN_FAILED, USAGE, NOT_FOUND, UNREACHABLE = 1, 2, 3, 4

_EXITS = {
    "not_found": NOT_FOUND,
    "unknown_workflow": NOT_FOUND,
    "unreachable": UNREACHABLE,
    "store_unavailable": UNREACHABLE,
    "store_failed": UNREACHABLE,
    "fenced": UNREACHABLE,
    "internal": RUN_FAILED,
}
"""Error code → exit code; all others are wrong use or input."""


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Usage(ReactorError):
    """The command line is wrong."""

    code = "usage"


class Unreachable(ReactorError):
    """No server answers, or the one that does cannot serve now."""

    code = "unreachable"


class Answered(ReactorError):
    """A server's refusal: its problem document. `where` is the server, empty for the store itself."""

    def __init__(self, problem: dict[str, Any], where: str) -> None:
        super().__init__(
            str(problem.get("detail") or problem.get("title") or "the server refused the request"),
            code=str(problem.get("code") or "failed"),
            hint=str(problem.get("hint") or ""),
            details=problem.get("details"),
        )
        self.status = int(problem.get("status") or 0)
        self.where = where


def unwritable(error: BaseException) -> bool:
    """Is there no room, or no way, for what is written: the output, or a file?"""
    return isinstance(error, OSError) and not error.filename and error.errno in _UNWRITABLE


def exit_code(error: BaseException) -> int:
    """The exit code of an error that ends a verb."""
    if isinstance(error, OSError) and error.filename:
        return USAGE
    if not isinstance(error, ReactorError):
        return RUN_FAILED
    if isinstance(error, Answered) and error.code not in _EXITS and error.status >= 500:
        return UNREACHABLE
    return _EXITS.get(error.code, USAGE)


def tell(error: Exception, *, debug: bool = False) -> int:
    """Say it on stderr; its exit code."""
    if debug and not isinstance(error, Usage) and getattr(error, "code", "") != "unavailable":
        import traceback

        traceback.print_exception(error)
    else:
        print(text_of(error), file=sys.stderr)
    return exit_code(error)


def text_of(error: BaseException) -> str:
    """An error in a few lines."""
    if isinstance(error, InvalidDefinition):
        return str(error)  # has its places and carets already
    if isinstance(error, OSError) and error.filename:
        return tell_text(
            f"{error.filename}: {error.strerror or error}", hint="see that it is there, and that this user may use it"
        )
    if isinstance(error, OSError) and unwritable(error):
        return tell_text(f"what there is to write cannot be written: {error.strerror}", hint="make room for it")
    if not isinstance(error, ReactorError):
        return tell_text(
            f"Reactor failed by a defect of its own: {type(error).__name__}: {error}",
            hint="run it again with --debug, and report what it prints",
        )
    if isinstance(error, Answered) and error.code == "invalid_definition":
        return str(error)
    where = error.where if isinstance(error, Answered) else error.path if isinstance(error, ConfigError) else ""
    return tell_text(str(error), where=where, code=error.code if error.code == "unavailable" else "", hint=error.hint)


def tell_text(what: str, *, where: str = "", code: str = "", hint: str = "") -> str:
    """The form of every error: `error: …`, then where and what to do, each on a line of its own."""
    lines = [f"error[{code}]: {what}" if code else f"error: {what}"]
    if where:
        lines.append(f"  --> {where}")
    if hint:
        lines.append(f"  = help: {hint}")
    return "\n".join("\n".join(printable(line) for line in text.split("\n")) for text in lines)
