"""The files that the tidy tests read: each parsed once."""

import ast
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {
    "core": 0,
    "language": 1,
    "store": 1,
    "proto": 1,
    "connections": 2,
    "triggers": 3,
    "router": 3,
    "engine": 3,
    "plugins": 4,
    "app": 5,
    "web": 6,
    "assist": 6,
    "marketplace": 6,
    "cli": 7,
    "__main__": 8,
    "testing": 7,
}
OUTSIDE = ("tests", "bench", "deploy", "docs", "examples")
SHADOWED = (".types", ".venv")
SHIPPED_AS_DATA = "cli/demo/project/"  # the demo copies it; its steps import from the copy


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of its tree; walked once, because every check reads them."""
        return tuple(ast.walk(self.tree))

    @property
    def parts(self) -> tuple[str, ...]:
        """Its dotted place below the root, `__init__` left out."""
        parts = Path(self.path).with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    @property
    def part(self) -> str:
        """The folder, or the file in the root, that owns it; empty for the root's `__init__`."""
        return self.parts[0] if self.parts else ""

    @property
    def in_package(self) -> bool:
        """Is it part of what ships?"""
        return self.part not in OUTSIDE and self.path != "setup.py" and not self.path.startswith(SHIPPED_AS_DATA)

    @property
    def generated(self) -> bool:
        """Did a compiler write it?"""
        return self.path.endswith(("_pb2.py", "_pb2_grpc.py"))


def module(path: str, text: str) -> Module:
    """A module from its text."""
    return Module(path, text, ast.parse(text, path))


@functools.cache
def files() -> tuple[str, ...]:
    """Every file of the project, as paths from the root: what git has and what it would add."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        return tuple(sorted(each for each in listed if each and (ROOT / each).is_file() and _ours(each)))
    walked = (str(each.relative_to(ROOT)) for each in ROOT.rglob("*") if each.is_file())
    return tuple(sorted(each for each in walked if _ours(each) and "__pycache__" not in each))


def _ours(path: str) -> bool:
    return Path(path).parts[0] not in SHADOWED


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the project."""
    return tuple(module(each, (ROOT / each).read_text()) for each in files() if each.endswith(".py"))


def package() -> list[Module]:
    """The modules that ship, generated ones left out."""
    return [each for each in modules() if each.in_package and not each.generated]
