"""What is shipped, built once: sdist, wheel, and an environment with nothing but the wheel and what is locked."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.tests.tidy.tree import ROOT, files


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, cwd=cwd, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this tree and the wheel built from that sdist."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for path in files():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, source / path)
    run(sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", folder, source, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with nothing but the locked dependencies and the wheel; the folder of its programs."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    lock = ROOT / "requirements.run.lock"
    run(programs / "python", "-m", "pip", "install", "-q", "--require-hashes", "-r", lock, cwd=folder)
    run(programs / "python", "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=folder)
    yield programs
    shutil.rmtree(folder)
