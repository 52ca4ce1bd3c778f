"""What is shipped is what was built from: sdist, then wheel, then an installation in an empty environment."""

import configparser
import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import reactor
from reactor.tests.packaging.conftest import run
from reactor.tests.packaging.interpreters import found, named
from reactor.tests.tidy.tree import LEVELS, ROOT, files

pytestmark = pytest.mark.uncovered
INTERPRETERS = found()
on_every_python = pytest.mark.parametrize("installed", [*INTERPRETERS.values()], ids=[*INTERPRETERS], indirect=True)

IMPORT_ALL = """
import importlib, importlib.util, pathlib, pkgutil, reactor
for module in pkgutil.walk_packages(reactor.__path__, "reactor."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:  # what an extra, or a test of the user's own, brings
        if error.name.partition(".")[0] not in ("google", "grpc", "opentelemetry", "pytest"):
            raise
print(pathlib.Path(reactor.__file__).parent)
print(importlib.util.find_spec("reactor.tests"))
"""


def ships(path: str) -> bool:
    """Is a file of the tree part of the package?"""
    if "/" in path:
        return path.split("/")[0] in LEVELS
    return path in {"__init__.py", "__main__.py", "app.py", "py.typed"}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {each for each in archive.namelist() if ".dist-info/" not in each}
    assert names == {f"reactor/{each}" for each in files() if ships(each)}


def test_the_sdist_holds_what_the_wheel_needs(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {each.partition("/")[2] for each in archive.getnames()}
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "core/__init__.py"} <= names


@pytest.mark.req("P-7")
def test_the_wheel_is_for_every_system_and_processor(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        (described,) = (each for each in archive.namelist() if each.endswith(".dist-info/WHEEL"))
        assert "Root-Is-Purelib: true" in archive.read(described).decode().splitlines()


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {each.split("/")[0] for each in archive.namelist() if ".dist-info/" in each}
        described = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        entries = configparser.ConfigParser()
        entries.read_string(archive.read(f"{folder}/entry_points.txt").decode())
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert (described["Name"], described["Version"]) == ("reactor-triggers", reactor.__version__)
    assert described["Requires-Python"] == ">=3.11"
    assert dict(entries["console_scripts"]) == {"reactor": "reactor.cli.main:program"}
    unbounded = [
        each for each in described.get_all("Requires-Dist") or [] if "<" not in each and "reactor-" not in each
    ]
    assert unbounded == []


def test_a_bounded_range_resolves(dist: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-P", "-m", "pip", "install", "-q", "--dry-run", "--no-deps", "--no-index"]
    pip.append("--ignore-installed")
    run(*pip, "--find-links", dist, f"reactor-triggers~={reactor.__version__}", cwd=tmp_path)
    major, minor, *_ = reactor.__version__.split(".")
    refused = [*pip, "--find-links", str(dist), f"reactor-triggers~={major}.{int(minor) + 1}.0"]
    done = subprocess.run(refused, capture_output=True, text=True, cwd=tmp_path)
    assert "No matching distribution found" in done.stderr


@on_every_python
def test_the_installed_package_is_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    where, tests = run(installed / "python", "-c", IMPORT_ALL, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert tests == "None"


@on_every_python
def test_every_file_compiles_without_a_warning(installed: Path, tmp_path: Path) -> None:
    """A newer Python warns of what a later one refuses."""
    package = run(installed / "python", "-c", "import reactor; print(*reactor.__path__)", cwd=tmp_path).strip()
    run(installed / "python", "-W", "error", "-m", "compileall", "-f", "-q", package, cwd=tmp_path)


@pytest.mark.req("Q-11")
@on_every_python
def test_the_first_example_of_the_readme_runs(installed: Path, tmp_path: Path) -> None:
    first = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert first is not None
    (tmp_path / "example.py").write_text(first.group(1))
    printed = run(installed / "python", "example.py", cwd=tmp_path)
    expected = re.search(r"^# prints: (.*)$", first.group(1), re.MULTILINE)
    assert expected is not None
    assert printed.strip() == expected.group(1)


def test_an_interpreter_is_one_that_works_as_the_version_it_is_called(tmp_path: Path) -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert named()[0] == "3.11"
    others = [each for each in named() if each != own][:2]
    for version, folder in zip(others, ("path", "pyenv/versions/" + others[1] + ".7/bin"), strict=True):
        (tmp_path / folder).mkdir(parents=True)
        said = {"path": "echo 3.0", f"pyenv/versions/{version}.7/bin": f"echo {version}"}[folder]
        program = tmp_path / folder / f"python{version}"
        program.write_text(f"#!/bin/sh\n{said}\n")
        program.chmod(0o755)
    expected = {own: sys.executable, others[1]: f"{tmp_path}/pyenv/versions/{others[1]}.7/bin/python{others[1]}"}
    assert found(str(tmp_path / "path"), tmp_path / "pyenv") == expected


def test_the_texts_name_the_versions_that_were_tested() -> None:
    *first, last = named()
    told = f"tested on Python {', '.join(first)} and {last}"
    for text in ("README.md", "docs/operations.md"):
        assert told in " ".join((ROOT / text).read_text().split()), text


@pytest.mark.req("P-3")
def test_the_root_holds_the_parts() -> None:
    parts = {"pyproject.toml", "triggers", "router", "engine", "plugins", "proto", "tests", "deploy", "README.md"}
    assert parts <= {each.name for each in ROOT.iterdir()}
