"""Tests that run side by side run each once, and a run that lost one fails."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reactor.tests.tidy.tree import ROOT

FILE = """
import os, pathlib, pytest
RAN = pathlib.Path(__file__).with_suffix(".ran")

@pytest.fixture(scope="module")
def of_file():
    yield
    RAN.open("a").write("ended")

@pytest.mark.parametrize("number", range(3))
def test_a(of_file, number):
    RAN.open("a").write(f"{os.getpid()} {number}\\n")
"""


def side_by_side(folder: Path, *, lines: int = 1, **more: str) -> tuple[int, str]:
    """Run these files and six good ones in two processes: the status and the last lines."""
    good = {f"{part}/test_{number}.py": FILE for part in "ab" for number in range(3)}
    for name, text in {**good, **{f"{name}.py": text for name, text in more.items()}}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    pytest_here = [sys.executable, "-P", "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"]
    command = [sys.executable, "-P", str(ROOT / "tests" / "side_by_side.py"), "2", *pytest_here, "--rootdir=.", "."]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    return done.returncode, "\n".join(done.stdout.splitlines()[-lines:])


def test_every_test_runs_once_and_a_file_in_one_process(tmp_path: Path) -> None:
    assert side_by_side(tmp_path) == (0, "Side by side: 18 tests passed.")
    ran = [each.read_text() for each in sorted(tmp_path.rglob("*.ran"))]
    assert len(ran) == 6
    for text in ran:
        assert re.fullmatch(r"(\d+) 0\n\1 1\n\1 2\nended", text), text


def test_a_test_that_fails_makes_the_run_fail(tmp_path: Path) -> None:
    text = "def test_b():\n    assert False\n"
    status, said = side_by_side(tmp_path, lines=3, test_bad=text, test_worse=text)
    first, second, last = said.splitlines()
    assert status == 1
    assert sorted((first, second)) == [f"FAILED test_{name}.py::test_b - assert False" for name in ("bad", "worse")]
    assert re.fullmatch(r"Side by side: process \d ended with 1(; process 2 ended with 1)?\.", last), last


@pytest.mark.parametrize("dies", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_process_that_dies_makes_the_run_fail_though_the_other_goes_on(tmp_path: Path, dies: str) -> None:
    status, said = side_by_side(tmp_path, test_bad=f"import os\ndef test_b():\n    {dies}\n")
    assert status == 1
    assert re.fullmatch(
        r"Side by side: (process \d ended with -9; )?\d+ tests ran, and the processes had collected 19\.", said
    ), said


def test_what_cannot_be_collected_makes_the_run_fail(tmp_path: Path) -> None:
    status, said = side_by_side(tmp_path, test_bad="import no_such_module\n")
    assert status == 1
    assert said.startswith("Side by side: process 1 ended with 2; process 2 ended with 2; ")
