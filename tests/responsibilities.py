"""ARCHITECTURE.md says which module has which responsibility of the engine, and which tests are its own: here the
data of the covered tests is judged. It fails where those tests reach too little of their module.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parent.parent
OTHERS = "other tests"
"""The context of all tests that are no responsibility's own."""
SHARE = 0.6
"""Of what a module does when it is called, its own tests reach at least so much."""


def table() -> dict[str, tuple[str, str]]:
    """Responsibility: its module and the file of its tests."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| ([a-z ]+) \| `([\w/]+\.py)` \| `(tests/[\w/]+\.py)` \|$", text, re.MULTILINE)
    return {name: (module, tests) for name, module, tests in rows}


def shares(reached: Callable[[str], tuple[int, Mapping[int, Sequence[str]]]]) -> dict[str, float]:
    """The share of each module's statements that its own tests reach; what runs at its import is no proof.

    `reached` gives, for a module's path, the number of its statements, and the contexts of each line that ran.
    """
    found: dict[str, float] = {}
    for name, (module, own) in table().items():
        statements, contexts = reached(module)
        imported = sum("" in each for each in contexts.values())
        by_own = sum(own in each and "" not in each for each in contexts.values())
        found[name] = by_own / max(1, statements - imported)
    return found


def main() -> int:
    """Read the coverage data of this folder; 0 when each responsibility's tests reach enough of its module."""
    measured = coverage.Coverage()
    measured.load()
    data = measured.get_data()

    def reached(module: str) -> tuple[int, Mapping[int, Sequence[str]]]:
        path = str(ROOT / module)
        statements = set(measured.analysis2(path)[1])
        lines = data.contexts_by_lineno(path)
        return len(statements), {line: contexts for line, contexts in lines.items() if line in statements}

    low = {name: share for name, share in shares(reached).items() if share < SHARE}
    for name, share in low.items():
        module, own = table()[name]
        print(f"The tests of `{name}`, {own}, reach {share:.0%} of {module} by themselves; {SHARE:.0%} is wanted.")
    return 1 if low else 0


if __name__ == "__main__":
    raise SystemExit(main())
