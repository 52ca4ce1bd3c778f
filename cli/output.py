"""What verbs print: JSON or YAML for programs, aligned columns for people, in colour where a terminal shows them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.durations import format_duration
from ..language.diagnostics import printable
from ..language.values import is_list


def dump(value: Any, form: str) -> None:
    """Print a value as `json` or `yaml`."""
    if form == "yaml":
        from ..language.export import dump_yaml

        sys.stdout.write(dump_yaml(value))
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False))


def line(value: Mapping[str, Any]) -> None:
    """Print one JSON value on a line, at once: for who reads along."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """Say something to people beside the output, on stderr."""
    print("\n".join(printable(each) for each in text.split("\n")), file=sys.stderr, flush=True)


def done(value: Any, form: str, text: str) -> None:
    """Print what was done as `json` or `yaml`; people are told it beside the output."""
    if form == "table":
        note(text)
    else:
        dump(value, form)


def wrote(files: Iterable[str | Path], then: str, form: str) -> None:
    """Say which files were written, and what to do next."""
    if form != "table":
        dump({"files": [str(file) for file in files], "next": then}, form)
        return
    for file in files:
        print(f"wrote {file}")
    print(f"next: {then}")


def relative(path: str | Path) -> str:
    """A file as it is named from the current folder, if it is below it."""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings."""
    texts = [[cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, texts)
        return
    heads = [column.upper() for column in columns]
    widths = [max(len(text) for text in (head, *(row[i] for row in texts))) for i, head in enumerate(heads)]
    for row in (heads, *texts):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def pairs(values: Mapping[str, Any]) -> None:
    """Print names and values, one a line; those without a value are left out."""
    shown = {name: cell(value) for name, value in values.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in shown), default=0)
    for name, text in shown.items():
        print(f"{name.ljust(width)}  {text}")


def cell(value: Any) -> str:
    """A value in one line."""
    if value is None or value == "":
        text = "-"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, str):
        text = value
    elif is_list(value) and all(isinstance(item, str) for item in value):
        text = ", ".join(value) or "-"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return printable(text.replace("\n", " "))


def took(milliseconds: float | None) -> str | None:
    """How long something took, for people: `7 ms`, `14.2 s`, `1h30m`."""
    if milliseconds is None:
        return None
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.3g} s" if seconds < 59.95 else format_duration(round(seconds))


def moment(instant: str | None) -> str | None:
    """An instant to the second: a table of runs or events then fits 80 columns."""
    return f"{instant[:19]}Z" if instant is not None else None


def percent(value: float) -> str:
    """A part of the whole, for people."""
    return f"{value:.0f} %"


_COLOURS = {
    "completed": "green", "connected": "green", "matched": "green", "running": "cyan", "waiting": "cyan",
    "queued": "yellow", "pending": "yellow", "paused": "yellow", "compensated": "yellow", "cancelled": "yellow",
    "skipped": "dim", "failed": "red", "timed_out": "red", "compensation_failed": "red", "down": "red", "gap": "red",
    "dead": "red",
}  # fmt: skip


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(text, style=_COLOURS.get(text, "")) for text in row))
    Console().print(made)
