"""ARCHITECTURE.md says which module has which responsibility of the engine, and which tests are its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reactor.tests.tidy.tree import ROOT

pytestmark = [pytest.mark.uncovered, pytest.mark.slow, pytest.mark.req("P-17")]
SHARE = 0.6
"""Of what a module does when it is called, its own tests reach at least so much."""
RESPONSIBILITIES = (
    "workflow base", "registry", "executor", "step", "result", "metrics", "definition language", "extensions",
    "dependency resolver", "scheduler", "compensation manager", "context storage",
)  # fmt: skip


def table() -> dict[str, tuple[str, str]]:
    """Responsibility: its module and the file of its tests."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| ([a-z ]+) \| `([\w/]+\.py)` \| `(tests/[\w/]+\.py)` \|$", text, re.MULTILINE)
    return {name: (module, tests) for name, module, tests in rows}


def test_each_responsibility_has_one_module_and_no_module_has_two() -> None:
    found = table()
    assert tuple(found) == RESPONSIBILITIES
    modules = [module for module, _ in found.values()]
    assert len(set(modules)) == len(modules)
    assert [file for row in found.values() for file in row if not (ROOT / file).is_file()] == []


def test_each_has_tests_of_its_own(tmp_path: Path) -> None:
    """What runs while a module is imported is no proof, and is left out."""
    found = table()
    settings = tmp_path / "settings"
    settings.write_text(f"[run]\nsource = .\nconcurrency = thread\ndata_file = {tmp_path / 'data'}\nomit = tests/*\n")
    coverage = [sys.executable, "-P", "-m", "coverage"]
    tests = sorted({file for _, file in found.values()})
    command = [*coverage, "run", f"--rcfile={settings}", "-m", "pytest", "-q", "-p", "reactor.tests.tidy.contexts"]
    done = subprocess.run([*command, "-m", "not uncovered", *tests], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    report = tmp_path / "report.json"
    say = [*coverage, "json", f"--rcfile={settings}", "--show-contexts", "-q", "-o", str(report)]
    subprocess.run(say, check=True, cwd=ROOT)
    files = json.loads(report.read_text())["files"]
    little: list[str] = []
    for name, (module, own) in found.items():
        contexts = files[module]["contexts"]
        imported = sum("" in each for each in contexts.values())
        reached = sum(own in each and "" not in each for each in contexts.values())
        share = reached / (files[module]["summary"]["num_statements"] - imported)
        if share < SHARE:
            little.append(f"{name}: {own} reaches {share:.0%} of {module}")
    assert little == []
