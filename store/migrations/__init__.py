"""The shape of the stored state, step by step: numbered SQL files, each applied once and never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from ...core.errors import ConfigError
from ...core.ids import digest


class Migration(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    sql: str
    checksum: str


def migrations(kind: str) -> list[Migration]:
    """The files of one database (`sqlite`, `postgres`), in order."""
    found: list[Migration] = []
    for file in sorted(files(__name__).joinpath(kind).iterdir(), key=lambda file: file.name):
        number, _, name = file.name.removesuffix(".sql").partition("_")
        sql = file.read_text(encoding="utf-8")
        found.append(Migration(int(number), name, sql, digest(sql).hex()))
    return found


def pending(kind: str, applied: Mapping[int, str], where: str) -> list[Migration]:
    """What is to be applied to a store that says which numbers it has, with their checksums.

    Raises ConfigError if the store is newer than this program, or was made from other files.
    """
    known = {migration.number: migration for migration in migrations(kind)}
    for number, checksum in applied.items():
        if number not in known:
            raise ConfigError(
                f"{where} was written by a newer Reactor: it has migration {number}, this one knows up to {max(known)}",
                path="store",
                hint="start the newer version again, or restore a backup from before the upgrade",
            )
        if known[number].checksum != checksum:
            raise ConfigError(
                f"{where} is of another build of Reactor: its migration {number} (`{known[number].name}`) is not ours",
                path="store",
                hint="use the version that made it, or a new store",
            )
    return [migration for number, migration in known.items() if number not in applied]
