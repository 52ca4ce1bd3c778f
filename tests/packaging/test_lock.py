"""Both lock files fit pyproject.toml and each other, pin everything by hash, and name no address."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reactor.tests.tidy.tree import ROOT

LOCKS = ("requirements.lock", "requirements.run.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# What `make run` and the image install beside the core, as the Makefile says.
RUN_EXTRAS = ("kafka", "nats", "postgres")


def locked(name: str) -> dict[str, str]:
    """Every pinned project of a lock file with its version."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(project): version for project, version in found}


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    """The core's requirements and those of some extras."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return [each for each in map(Requirement, lines) if each.name != PROJECT["name"]]


@pytest.mark.parametrize(("name", "extras"), [(LOCKS[0], tuple(EXTRAS)), (LOCKS[1], RUN_EXTRAS)])
def test_a_lock_fits_the_project(name: str, extras: tuple[str, ...]) -> None:
    versions = locked(name)
    unfit = [
        f"{each}: {name} has {versions.get(canonicalize_name(each.name))}, run `make lock`"
        for each in wanted(extras)
        if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"), prereleases=True)
    ]
    assert unfit == []


def test_the_short_lock_is_a_part_of_the_long_one() -> None:
    assert locked(LOCKS[1]).items() <= locked(LOCKS[0]).items()


def test_make_locks_the_same_extras() -> None:
    lock = re.search(r"^lock:\n(.*?)^\S", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert lock is not None
    assert tuple(re.findall(r"--extra (\w+)", lock.group(1))) == RUN_EXTRAS


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert [each for each in entries if each.strip() and "--hash=sha256:" not in each] == []
    assert "://" not in text


def test_all_takes_in_every_extra_of_a_user() -> None:
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == set(EXTRAS) - {"all", "dev"}


def test_every_requirement_ends_before_a_major_version() -> None:
    for line in [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]:
        requirement = Requirement(line)
        if requirement.name != PROJECT["name"]:
            assert any(each.operator == "<" for each in requirement.specifier), line
