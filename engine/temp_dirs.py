"""A run's own temporary folder: its path is known before it is made, the same after a crash, and gone with the run.

The path is a pure function of the run (semantics 4.4); the folder is made when a step first needs it. All of them
stand in one folder that nobody else may enter.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from ..core.errors import ConfigError


def path_of(run: str) -> str:
    """Where the folder of a run is, made or not; `run` is its id."""
    return os.path.join(_base(), run)


def made(run: str) -> str:
    """The folder, made if it is not there. Raises ConfigError: the folder above it is another user's, or cannot be."""
    base, path = _base(), path_of(run)
    try:
        os.makedirs(base, mode=0o700, exist_ok=True)
        found = os.lstat(base)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ConfigError(
                f"{base}, which holds the temporary folders of runs, is open to others or belongs to somebody else",
                hint="remove it, or set TMPDIR to another folder",
            )
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as e:
        raise ConfigError(
            f"the temporary folder {path} cannot be made: {e.strerror or e}", hint="set TMPDIR to a folder with space"
        ) from None
    return path


def is_made(run: str) -> bool:
    """Is the folder of a run there?"""
    return os.path.isdir(path_of(run))


def remove(run: str) -> None:
    """The folder with all that is in it goes."""
    shutil.rmtree(path_of(run), ignore_errors=True)


def _base() -> str:
    return os.path.join(tempfile.gettempdir(), f"reactor-{os.getuid()}")
