"""ARCHITECTURE.md is true: its run table is the engine's, and every file, class and method that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from reactor.engine.run import TABLE, Signal
from reactor.store.contract import RunState

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
SEVEN = (
    "core/event.py",
    "router/intake.py",
    "store/contract.py",
    "engine/run.py",
    "engine/executor.py",
    "triggers/supervisor.py",
    "app.py",
)
FOLDERS = "core|language|store|connections|triggers|router|engine|plugins|web|cli|testing"


def run_table() -> str:
    """The run table as Markdown: a row for each state that takes a signal, with the state after it."""
    lines = ["| state | signal → state |", "| --- | --- |"]
    for state in RunState:
        moves = [(signal, TABLE[state, signal]) for signal in Signal if (state, signal) in TABLE]
        if not moves:
            lines.append(f"| {state.name.lower()} | takes none |")
            continue
        cells = [
            f"{signal.value} → {'(end)' if move.state is None else move.state.name.lower()}" for signal, move in moves
        ]
        lines.append(f"| {state.name.lower()} | {', '.join(cells)} |")
    return "\n".join(lines)


def test_the_run_table_is_the_engines() -> None:
    drawn = re.search(r"<!-- the run table -->\n+(.*?)\n*<!-- end of the run table -->", TEXT, re.DOTALL)
    assert drawn is not None
    assert drawn[1].strip() == run_table(), f"put this there:\n\n{run_table()}\n"


def test_it_opens_with_the_seven_files() -> None:
    opening = TEXT.split("## The parts")[0]
    assert tuple(re.findall(r"`([\w/]+\.py)`", opening)) == SEVEN
    assert [file for file in SEVEN if len((ROOT / file).read_text().splitlines()) > 400] == []


def test_every_file_it_names_is_there() -> None:
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w/]+\.py|app\.py)`", TEXT))
    assert len(named) > 25
    assert sorted(each for each in named if not (ROOT / each).is_file()) == []


def names_of(path: str) -> set[str]:
    """The classes of a module, and their methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return found


@pytest.fixture(scope="module")
def everything() -> set[str]:
    files = [path for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*.py")]
    return set().union(*(names_of(str(path.relative_to(ROOT))) for path in files))


def test_every_class_and_method_it_names_is_there(everything: set[str]) -> None:
    named = set(re.findall(r"`([A-Z]\w+\.\w+)`", TEXT))
    assert len(named) > 10
    assert sorted(named - everything) == []


def test_a_name_stands_in_the_file_that_is_named_after_it() -> None:
    flow = TEXT.split("## One event, end to end")[1].split("## What is durable")[0]
    pairs = re.findall(r"`([A-Z]\w+(?:\.\w+)?)`(?: in| of)\s+`([\w/]+\.py)`", flow)
    assert len(pairs) > 10
    assert [f"{name} is not in {file}" for name, file in pairs if name not in names_of(file)] == []
