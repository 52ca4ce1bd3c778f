"""A run that skips a test fails."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.req("Q-12")
@pytest.mark.parametrize(
    ("test", "status"),
    [
        ("def test_a(): pass", 0),
        ("import pytest\n@pytest.mark.sk" + "ip\ndef test_a(): pass", 1),
        ("import pytest\ndef test_a(): pytest.importorsk" + "ip('no_such_module')", 1),
    ],
)
def test_a_run_that_skips_a_test_fails(tmp_path: Path, test: str, status: int) -> None:
    (tmp_path / "test_x.py").write_text(test + "\n")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "reactor.tests.unskipped"]
    done = subprocess.run([*command, "--rootdir=.", "."], capture_output=True, text=True, cwd=tmp_path)
    told = "1 skipped: a test that is skipped proves nothing, so this run has failed" in done.stdout
    assert (done.returncode, told) == (status, bool(status)), done.stdout
