"""What is shipped, built once: sdist, wheel, and an environment with nothing but the wheel and what is locked."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
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
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """What makes an environment of an interpreter with nothing but the locked dependencies and the wheel, once.

    It gives the folder of its programs.
    """
    made: dict[str, Path] = {}

    def made_of(python: str) -> Path:
        if python not in made:
            made[python] = tmp_path_factory.mktemp("clean")
            folder = made[python]
            run(python, "-m", "venv", folder / "venv", cwd=folder)
            pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "-q"]
            run(*pip, "--require-hashes", "-r", ROOT / "requirements.run.lock", cwd=folder)
            run(*pip, "--no-deps", wheel, cwd=folder)
        return made[python] / "venv" / "bin"

    yield made_of
    for folder in made.values():
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def installed(install: Callable[[str], Path], request: pytest.FixtureRequest) -> Path:
    """The programs of such an environment: of the interpreter that runs the tests, or of one that is the parameter."""
    return install(getattr(request, "param", sys.executable))
