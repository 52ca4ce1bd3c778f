"""The demo's folder: a fresh copy of its project, or one of an earlier demo that goes on."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from ...core.errors import ConfigError

HOST = "127.0.0.1"
PACKAGED = Path(__file__).parent / "project"
FIRST = "morning.csv"  # what the demo drops itself
SECOND = "evening.csv"  # what the reader is asked to drop


def prepare(folder: str | None, *, port: int, outside: int) -> Path:
    """A folder with the demo's project, its ports written into `reactor.yaml`. One that holds the demo's project goes
    on where it was.

    Raises ConfigError for a folder that holds something else.
    """
    root = Path(tempfile.mkdtemp(prefix="reactor-demo-")) if folder is None else Path(folder).absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = sorted(each.name for each in root.iterdir())
        if held and not (root / "tables.sql").is_file():
            raise ConfigError(
                f"the demo cannot use the folder {root}: it holds {held[0]} and is no folder of the demo",
                hint="name an empty folder or one that does not exist yet",
            )
        if not held:
            shutil.copytree(PACKAGED, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            (root / "inbox").mkdir()
            _make_tables(root)
        text = (PACKAGED / "reactor.yaml").read_text()
        (root / "reactor.yaml").write_text(text.replace("8484", str(port)).replace("8485", str(outside)))
    except OSError as error:
        raise ConfigError(
            f"the demo cannot write its folder {root}: {error.strerror}", hint="name a folder that you may write"
        ) from None
    return root


def free_port(wanted: int) -> int:
    """The wanted port of this machine, or any free one when it is taken or 0."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigError("this machine has no free port", hint="end programs that hold many connections")


def drop(root: Path, sample: str) -> None:
    """Drop a sample in the inbox, as a whole at once: what is being written is no file of its own yet."""
    part = root / "inbox" / f"{sample}.part"
    shutil.copyfile(root / "samples" / sample, part)
    part.rename(root / "inbox" / sample)


def _make_tables(root: Path) -> None:
    import sqlite3

    with sqlite3.connect(root / "shop.db") as database:
        database.executescript((root / "tables.sql").read_text())
    database.close()
