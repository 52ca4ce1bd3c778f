"""Where files may be touched: under `server.files` and in the run's temporary folder, links resolved first.

A folder is opened, then looked at, and what follows happens relative to the open folder: a link that is put in its way
meanwhile leads nowhere. Source: actions.md section 3 (file), language.md section 7.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct

from ...core.errors import StepError
from .contract import Call


class Place(Struct, frozen=True):
    """A path as it was written, and its folder and name with all links resolved."""

    written: str
    folder: str
    name: str
    roots: tuple[str, ...]

    @property
    def path(self) -> str:
        """The absolute path."""
        return os.path.join(self.folder, self.name)


def locate(call: Call, written: str, *, follow: bool = True) -> Place:
    """Where a path leads. `follow`: a link as last part is resolved too. Raises StepError `forbidden`,
    `invalid_input`.
    """
    if not written or "\0" in written:
        raise StepError("invalid_input", f"{written!r} is no path of a file")
    services = call.services
    project = os.path.realpath(services.project) if services is not None else os.getcwd()
    roots = tuple(os.path.realpath(root) for root in (services.files if services is not None else ()))
    joined = os.path.join(project, written)
    if follow:
        real = os.path.realpath(joined)
    else:
        plain = os.path.normpath(joined) if joined.endswith(os.sep) else joined
        real = os.path.join(os.path.realpath(os.path.dirname(plain)), os.path.basename(plain))
        real = os.path.normpath(real)
    if not _inside(real, roots) and call.temp_dir is not None:
        roots = (*roots, os.path.realpath(call.temp_dir()))
    if not _inside(real, roots):
        raise outside(written, roots)
    if real in roots:
        return Place(written, real, "", roots)
    return Place(written, os.path.dirname(real), os.path.basename(real), roots)


def outside(written: str, roots: tuple[str, ...]) -> StepError:
    """The refusal of a path that leads out."""
    listed = ", ".join(roots) or "none"
    return StepError(
        "forbidden",
        f"`{written}` is outside the folders that may be touched: {listed}",
        hint="`server.files` in reactor.yaml lists them",
    )


def _inside(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


@contextmanager
def opened(place: Place, *, make: bool = False) -> Generator[int]:
    """The open folder of a place, for calls with `dir_fd`; `make`: create what is missing of it.

    Raises StepError `forbidden` if it leads out now, FileNotFoundError, NotADirectoryError.
    """
    if make:
        try:
            os.makedirs(place.folder, exist_ok=True)
        except FileExistsError as e:  # a file stands where a folder is to be
            raise NotADirectoryError(e.errno, e.strerror, e.filename) from None
    folder = os.open(place.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            now = os.readlink(f"/proc/self/fd/{folder}")
        except OSError:  # not Linux
            now = os.path.realpath(place.folder)
        if not _inside(now, place.roots):
            raise outside(place.written, place.roots)
        yield folder
    finally:
        os.close(folder)


@contextmanager
def disk_errors(written: str, op: str) -> Generator[None]:
    """Errors of the operating system as ours."""
    try:
        yield
    except FileNotFoundError as e:
        raise StepError("file_not_found", f"{op}: there is no `{written}`") from e
    except FileExistsError as e:
        raise StepError("exists", f"{op}: `{written}` is there already", hint="write `overwrite: true`") from e
    except (IsADirectoryError, NotADirectoryError) as e:
        raise StepError("conflict", f"{op}: `{written}` {_kind_of(e)}") from e
    except OSError as e:
        code = {
            errno.ENOSPC: "resource_limit",
            errno.EDQUOT: "resource_limit",
            errno.EFBIG: "resource_limit",
            errno.EACCES: "forbidden",
            errno.EPERM: "forbidden",
            errno.EROFS: "forbidden",
            errno.ELOOP: "forbidden",
            errno.ENOTEMPTY: "conflict",
            errno.EINVAL: "conflict",  # a folder into itself
            errno.ENAMETOOLONG: "invalid_input",
        }.get(e.errno or 0, "step_failed")
        raise StepError(code, f"{op}: `{written}`: {e.strerror or e}") from e


def _kind_of(error: OSError) -> str:
    return "is a folder" if isinstance(error, IsADirectoryError) else "leads through a file as if it were a folder"
