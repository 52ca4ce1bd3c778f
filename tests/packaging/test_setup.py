"""Setting up works on a bare Python, and says what to do where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reactor.tests.tidy.tree import ROOT

pytestmark = pytest.mark.uncovered
SCRIPT = ROOT / "deploy" / "make-venv.sh"
NO_ENSUREPIP = f"""#!/bin/sh
case "$*" in *--without-pip*|*"-m pip"*) ;; *"-m venv"*|*"-m virtualenv"*) exit 1 ;; esac
exec {sys.executable} "$@"
"""
NO_VENV = f"""#!/bin/sh
case "$*" in *"-m pip"*|*"-m venv"*|*"-m virtualenv"*) exit 1 ;; esac
exec {sys.executable} "$@"
"""
OLD = """#!/bin/sh
[ "$1" = --version ] && { echo "Python 3.9.2"; exit 0; }
exit 1
"""


def make_venv(folder: Path, program: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script with an interpreter of this behaviour, in an environment without the distribution's tools."""
    python = folder / "python3"
    python.write_text(program)
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python)}
    if path is not None:
        environment["PATH"] = path
    command = ["/bin/sh", str(SCRIPT), str(folder / "venv")]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def tools(folder: Path) -> str:
    """A PATH with nothing but what the script itself needs: no apt-get, no sudo."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("rm", "id", "sh"):
        found = next(each for each in (Path("/bin") / name, Path("/usr/bin") / name) if each.exists())
        (programs / name).symlink_to(found)
    return str(programs)


def test_a_python_without_ensurepip_borrows_the_pip_of_the_system(tmp_path: Path) -> None:
    done = make_venv(tmp_path, NO_ENSUREPIP)
    assert done.returncode == 0, done.stderr
    pip = subprocess.run([tmp_path / "venv/bin/python", "-m", "pip", "--version"], capture_output=True, text=True)
    assert str(tmp_path / "venv") in pip.stdout


@pytest.mark.parametrize("target", ["run", "test", "check", "bench", "bench-peers", "soak", "clean", "pages", "format"])
def test_make_knows(target: str) -> None:
    done = subprocess.run(["make", "-n", target], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("there", "asked", "said"),
    [
        ("3.11.2", "3.13.0", "has Python 3.11.2, not Python 3.13.0: run `make clean` first."),
        ("3.11.2", "3.11.2", ""),
        ("", "3.13.0", ""),
    ],
)
def test_an_interpreter_that_would_not_be_taken_is_told(tmp_path: Path, there: str, asked: str, said: str) -> None:
    """An environment that is there keeps the interpreter that it was made with."""
    for python, version in ((tmp_path / "venv" / "bin" / "python", there), (tmp_path / "python3", asked)):
        python.parent.mkdir(parents=True, exist_ok=True)
        if version:
            python.write_text(f"#!/bin/sh\necho Python {version}\n")
            python.chmod(0o755)
    command = ["make", "-s", "same-python", f"VENV={tmp_path}/venv", f"PYTHON={tmp_path}/python3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    told = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert (told, done.returncode) == (([f"{tmp_path}/venv {said}"], 2) if said else ([], 0))


def test_an_old_python_is_named(tmp_path: Path) -> None:
    done = make_venv(tmp_path, OLD)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Reactor needs Python 3.11 or later; '{tmp_path}/python3' is Python 3.9.2.\n"
        "Install one, or name it: make run PYTHON=/path/to/python3.11\n"
    )


def test_a_python_without_venv_says_what_to_install(tmp_path: Path) -> None:
    done = make_venv(tmp_path, NO_VENV, tools(tmp_path))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "This Python cannot make a virtual environment: its modules venv and ensurepip are missing.\n"
        f"Install them and try again (Debian, Ubuntu: sudo apt install python{version}-venv).\n"
    )
    assert not (tmp_path / "venv").exists()
