"""Steps of code_generation_transaction: each one's effect is a file below `generated/`, so that it can be seen."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

from reactor import StepError

FOLDER = Path(__file__).with_name("generated")


def _path(kind: str, name: str) -> Path:
    FOLDER.mkdir(exist_ok=True)
    return FOLDER / f"{kind}-{name}"


def reserve(requirements: dict[str, Any]) -> dict[str, str]:
    """Take the function's name for ourselves."""
    _path("reserved", requirements["name"]).touch()
    return {"reservation_id": requirements["name"]}


def release(id: str) -> None:
    """Give the name back."""
    _path("reserved", id).unlink(missing_ok=True)


def generate(requirements: dict[str, Any], reservation_id: str) -> dict[str, Any]:
    """Write the function into a temporary file."""
    code = f"def {reservation_id}({', '.join(requirements['arguments'])}):\n    return {requirements['returns']}\n"
    file = _path("draft", f"{reservation_id}.py")
    file.write_text(code)
    return {"generated_code": code, "temp_files": [str(file)]}


def cleanup(files: list[str]) -> None:
    """Remove the temporary files."""
    for file in files:
        Path(file).unlink(missing_ok=True)


def validate(code: str) -> dict[str, Any]:
    """Is it Python?"""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise StepError("syntax_error", f"line {error.lineno}: {error.msg}") from error
    return {"validation_result": {"statements": len(tree.body)}}


def commit(code: str, validation: dict[str, Any]) -> dict[str, str]:
    """Put it where it stays."""
    name = hashlib.sha256(code.encode()).hexdigest()[:12]
    _path("commit", name).write_text(f"# {validation['statements']} statements\n{code}")
    return {"commit_id": name}


def rollback(id: str) -> None:
    """Take it away again."""
    _path("commit", id).unlink(missing_ok=True)
