"""Steps of comprehensive_analysis and of the workflow in `chosen.py`: simple, and enough to show the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Lines = dict[str, list[str]]


def _lines(files: list[str]) -> Lines:
    return {file: Path(file).read_text().splitlines() for file in files}


def _found(ast: Lines, word: str, what: str) -> list[str]:
    return [f"{file}:{n}: {what}" for file, lines in ast.items() for n, line in enumerate(lines, 1) if word in line]


def parse_elixir(files: list[str]) -> dict[str, Lines]:
    """The lines of Elixir files."""
    return {"elixir_ast": _lines(files)}


def parse_js(files: list[str]) -> dict[str, Lines]:
    """The lines of JavaScript files."""
    return {"js_ast": _lines(files)}


def semantic_all(elixir_ast: Lines, js_ast: Lines) -> dict[str, list[str]]:
    """Comparisons that are always equal or never."""
    return {"semantic_issues": _found({**elixir_ast, **js_ast}, "== NaN", "is never equal")}


def security_all(elixir_ast: Lines, js_ast: Lines) -> dict[str, list[str]]:
    """Text that becomes code."""
    return {"security_issues": _found(js_ast, "eval(", "runs text") + _found(elixir_ast, "eval_string", "runs text")}


def style_all(elixir_ast: Lines, js_ast: Lines) -> dict[str, list[str]]:
    """Tabs."""
    return {"style_issues": _found({**elixir_ast, **js_ast}, "\t", "has a tab")}


def final_report(
    semantic_issues: list[str], security_issues: list[str], style_issues: list[str], llm_insights: list[str]
) -> dict[str, dict[str, list[str]]]:
    """Everything in four sections."""
    sections = {"semantic": semantic_issues, "security": security_issues, "style": style_issues}
    return {"final_report": {**sections, "insights": llm_insights}}


def parse(files: list[str]) -> dict[str, Lines]:
    """The lines of any files."""
    return {"ast": _lines(files)}


def semantic(parse: dict[str, Lines]) -> dict[str, Any]:
    """How many lines there are."""
    return {"semantic_results": {file: len(lines) for file, lines in parse["ast"].items()}}


def security(parse: dict[str, Lines]) -> dict[str, Any]:
    """Text that becomes code."""
    return {"security_results": _found(parse["ast"], "eval", "runs text")}


def enhance(all_results: dict[str, Any]) -> dict[str, Any]:
    """Which results there were to look at; a model would say more."""
    return {"enhanced_results": sorted(all_results)}


def report(all_results: dict[str, Any]) -> dict[str, Any]:
    """Which results there are."""
    return {"report": sorted(all_results)}
