"""store check, store snapshot: an SQLite store's file, looked at and copied while it may be in use.

Nothing is written to the store: both read one consistent state through a connection of their own. Source: SQLite,
"PRAGMA integrity_check" and "Online Backup API".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..core.durations import format_size
from ..core.errors import PermanentError, ReactorError, StoreFailed
from . import output
from .failures import Usage
from .parsing import Given
from .place import Place, find

BUSY_MS_MAX = 5_000


def check(given: Given) -> None:
    """Look at every page. Raises StoreFailed with what is wrong."""
    place = find(given.project, os.environ)
    path = _file(place, "check", "ask PostgreSQL's own tools, such as pg_amcheck")
    found = _faults(path)
    if found:
        raise StoreFailed(f"the store {path} is damaged: {found}", hint="stop, and restore the newest snapshot")
    holder = place.holder()
    log = path.with_name(path.name + "-wal")
    size, logged = path.stat().st_size, log.stat().st_size if log.exists() else None
    user = f"process {holder.pid}" if holder is not None else None
    facts: dict[str, Any] = {"store": str(path), "state": "sound"}
    if given.output != "table":
        output.dump({**facts, "bytes": size, "log_bytes": logged, "in_use_by": user}, given.output)
    else:
        shown = format_size(logged) if logged is not None else None
        output.pairs({**facts, "size": format_size(size), "log": shown, "in use by": user})


def _faults(path: Path) -> str:
    import apsw

    connection = _reader(path)
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return str(error)
    finally:
        connection.close()
    return "" if found == ["ok"] else "; ".join(found)


def snapshot(given: Given) -> None:
    """Copy the state of now to a new file, durable when it returns."""
    import apsw

    path = _file(find(given.project, os.environ), "snapshot", "use pg_dump")
    target = Path(given.word("file"))
    if target.exists():
        raise Usage(f"the file {target} exists already", hint="name a new file: a snapshot overwrites nothing")
    if not target.parent.is_dir():
        raise Usage(f"there is no folder {target.parent}", hint="make it first, or name a file elsewhere")
    fresh = target.with_name(target.name + ".part")
    source = _reader(path)
    try:
        made = apsw.Connection(str(fresh))
        try:
            with made.backup("main", source, "main") as copy:
                copy.step(-1)
        finally:
            made.close()
        _sync(fresh)
        fresh.rename(target)
        _sync(target.parent.absolute())
    except (apsw.Error, OSError) as error:
        fresh.unlink(missing_ok=True)
        raise StoreFailed(f"no snapshot could be written to {target}: {error}", hint="look at the disk") from None
    finally:
        source.close()
    size = target.stat().st_size
    made = {"file": str(target), "bytes": size, "store": str(path)}
    output.done(made, given.output, f"{target}: {format_size(size)}, the state of {path}")


def _file(place: Place, word: str, instead: str) -> Path:
    path = place.database
    if path is None:
        raise ReactorError(
            f"`reactor store {word}` works on SQLite files only, and this store is none",
            code="unavailable",
            hint=instead,
        )
    if not path.exists():
        raise PermanentError(f"there is no store {path} yet", code="not_found", hint="the first start makes it")
    return path


def _reader(path: Path) -> Any:
    import apsw

    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY_MS_MAX)
    except apsw.Error as error:
        raise StoreFailed(f"the store {path} cannot be read: {error}", hint="check who may read it") from None
    return connection


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
