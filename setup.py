"""Finds the packages: the root is `reactor`, and of its folders only the package's levels are part of it."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LEVELS = (
    "core",
    "language",
    "store",
    "proto",
    "connections",
    "triggers",
    "router",
    "engine",
    "plugins",
    "web",
    "cli",
    "testing",
)


def packages() -> list[str]:
    """`reactor` and every folder with an `__init__.py` below the levels."""
    root = Path(__file__).parent
    found = ["reactor"]
    for level in LEVELS:
        for init in sorted((root / level).rglob("__init__.py")):
            found.append(".".join(("reactor", *init.parent.relative_to(root).parts)))
    return found


class WithoutSetup(build_py):
    """Leaves this file out of the package whose root it stands in."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        modules = super().find_package_modules(package, package_dir)
        return [each for each in modules if each[:2] != ("reactor", "setup")]


setup(packages=packages(), cmdclass={"build_py": WithoutSetup})
