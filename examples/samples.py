"""Small Python steps that several examples call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reactor import StepError

SAVED = Path(__file__).with_name("saved.json")
PREPARED = SAVED.with_name("prepared")


def fetch() -> list[int]:
    """Three numbers, as if from elsewhere."""
    return [3, 1, 2]


def process(data: list[int]) -> dict[str, Any]:
    """Sort and sum."""
    return {"sorted": sorted(data), "sum": sum(data)}


def save(processed: dict[str, Any]) -> str:
    """Write the result to a file; the file's name."""
    SAVED.write_text(json.dumps(processed))
    return SAVED.name


def clean() -> None:
    """Remove what `save` wrote, also what it wrote half."""
    SAVED.unlink(missing_ok=True)


def fetch_result() -> dict[str, Any]:
    """More than the next step wants."""
    return {"result": [1, 2, 3], "took_ms": 12}


def load_settings() -> dict[str, Any]:
    """More than the next step wants."""
    return {"settings": {"factor": 2}, "version": 7}


def process_data(raw_data: list[int], config: dict[str, Any]) -> dict[str, Any]:
    """Multiply, and count."""
    return {"processed_data": [each * config["factor"] for each in raw_data], "metrics": {"count": len(raw_data)}}


def one() -> int:
    """The number that small.yaml begins with."""
    return 1


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


def add(left: int, right: int) -> int:
    """The sum."""
    return left + right


def prepare() -> str:
    """Something that `undo_prepare` takes back: a file."""
    PREPARED.touch()
    return PREPARED.name


def undo_prepare() -> None:
    """Take it back."""
    PREPARED.unlink(missing_ok=True)


def risky(goes_wrong: str) -> str:
    """Go wrong as asked for."""
    if goes_wrong == "network_error":
        raise ConnectionError("nobody answers")
    if goes_wrong == "invalid_input":
        raise StepError("invalid_input", "this can never work")
    if goes_wrong:
        raise StepError(goes_wrong, "something else went wrong")
    return "well"
