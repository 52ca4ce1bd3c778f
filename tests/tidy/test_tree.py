"""The tree keeps to its own rules: levels, sizes, names, docstrings, links, nothing dead."""

from collections.abc import Callable, Iterable, Iterator

import pytest

from reactor.tests.tidy import checks, imports, texts
from reactor.tests.tidy.tree import LEVELS, OUTSIDE, ROOT, Module, files, modules, package

SHORT = (checks.length, checks.functions)
OURS = (imports.absolute, imports.levels, checks.names, checks.chance)


def nothing_wrong(found: Iterable[str]) -> None:
    wrong = list(found)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("check", OURS, ids=lambda each: each.__name__)
def test_package(check: Callable[[Module], Iterator[str]]) -> None:
    nothing_wrong(line for each in package() for line in check(each))


@pytest.mark.parametrize("check", SHORT, ids=lambda each: each.__name__)
def test_nothing_is_too_long(check: Callable[[Module], Iterator[str]]) -> None:
    nothing_wrong(line for each in modules() if not each.generated and each.part != "tests" for line in check(each))


def test_what_is_public_is_documented() -> None:
    explained = checks.documented_methods(package())
    nothing_wrong(line for each in package() for line in checks.docstrings(each, explained))


@pytest.mark.req("Q-12")
def test_nothing_is_left_for_later() -> None:
    nothing_wrong(line for each in modules() if not each.generated for line in checks.promises(each))


def test_arrows_between_modules_run_one_way() -> None:
    nothing_wrong(imports.circles(package()))


def test_no_module_is_dead() -> None:
    nothing_wrong(imports.dead(package()))


def test_texts_name_no_machine_and_no_registry() -> None:
    wrong: list[str] = []
    for path in files():
        if path.startswith("tests/tidy/"):
            continue  # the patterns themselves, and what they must find
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        wrong.extend(texts.elsewhere(path, text))
    nothing_wrong(wrong)


def test_links_lead_somewhere() -> None:
    pages = [each for each in files() if each.endswith(".md")]
    nothing_wrong(line for each in pages for line in texts.links(ROOT, each, (ROOT / each).read_text()))


def test_texts_are_wrapped() -> None:
    pages = [each for each in files() if each.endswith(".md")]
    nothing_wrong(line for each in pages for line in texts.wide(each, (ROOT / each).read_text()))


def test_the_root_holds_the_parts_and_nothing_else() -> None:
    folders = {each.split("/")[0] for each in files() if "/" in each}
    assert folders - set(LEVELS) - set(OUTSIDE) == {".ci"}
    scripts = {each for each in files() if "/" not in each and each.endswith(".py")}
    assert scripts <= {"__init__.py", "__main__.py", "app.py", "setup.py"}


def test_the_architecture_opens_with_the_files_to_read() -> None:
    opening = (ROOT / "ARCHITECTURE.md").read_text().partition("## ")[0]
    named = [each for each in checks.READING_ORDER if f"`{each}`" in opening]
    assert named == list(checks.READING_ORDER)
    assert [each for each in named if each not in files()] == []
