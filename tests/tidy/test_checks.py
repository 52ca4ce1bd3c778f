"""Every tidy check can fail: each is fed what it must find, and what it must leave alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reactor.tests.tidy import checks, imports, texts
from reactor.tests.tidy.tree import Module, module

HEAD = '"""A module."""\n'
LONG = "x = 1\n" * 501
FUNCTION = "def long():\n" + "    x = 1\n" * 60

BAD: list[tuple[Callable[[Module], Iterator[str]], str, str, list[str]]] = [
    (imports.absolute, "core/a.py", "from reactor.core import b", ["core/a.py:1: import reactor.core by its relative name"]),
    (imports.absolute, "core/a.py", "import reactor", ["core/a.py:1: import reactor by its relative name"]),
    (imports.levels, "router/a.py", "from ..engine import run", ["router/a.py:1: router (level 3) imports engine (level 3): sideways"]),
    (imports.levels, "core/a.py", "from ..app import App", ["core/a.py:1: core (level 0) imports app (level 5): upwards"]),
    (imports.levels, "core/a.py", "def f():\n    from .. import web", ["core/a.py:2: core (level 0) imports web (level 6): upwards"]),
    (imports.levels, "engine/actions/a.py", "from ...store.sqlite import S", ["engine/actions/a.py:1: engine sees of store the contract alone, not store.sqlite.S"]),
    (imports.levels, "cli/a.py", "from ..store import sqlite", ["cli/a.py:1: cli sees of store the contract alone, not store.sqlite"]),
    (imports.levels, "plugins/a.py", "from ..triggers.supervisor import s", ["plugins/a.py:1: plugins see the contracts of triggers and actions alone, not triggers.supervisor.s"]),
    (imports.levels, "plugins/a.py", "from ..engine.actions import http", ["plugins/a.py:1: plugins see the contracts of triggers and actions alone, not engine.actions.http"]),
    (imports.levels, "core/a.py", "from ..tests import x", ["core/a.py:1: tests is no part that core may import"]),
    (imports.levels, "core/a.py", "from .. import App", ["core/a.py:1: App is no part that core may import"]),
    (imports.levels, "other/a.py", "", ["other/a.py: other has no level: add it to ARCHITECTURE.md and to tests/tidy/tree.py"]),
    (checks.length, "core/a.py", LONG, ["core/a.py: 501 lines, at most 500"]),
    (checks.length, "core/event.py", "x = 1\n" * 401, ["core/event.py: 401 lines, at most 400"]),
    (checks.length, "app.py", "x = 1\n" * 251, ["app.py: 251 lines, at most 250"]),
    (checks.functions, "core/a.py", FUNCTION, ["core/a.py:1: long has 61 lines, at most 60"]),
    (checks.docstrings, "core/a.py", "x = 1", ["core/a.py:1: the module has no docstring"]),
    (checks.docstrings, "core/a.py", HEAD + "def f(): return 1", ["core/a.py:2: f has no docstring"]),
    (checks.docstrings, "core/a.py", HEAD + "if x:\n    async def f(): return 1", ["core/a.py:3: f has no docstring"]),
    (checks.docstrings, "core/a.py", HEAD + 'class A:\n    """A."""\n    def f(self): return 1', ["core/a.py:4: A.f has no docstring"]),
    (checks.names, "core/utils.py", "", ["core/utils.py: `utils` says nothing: name it after what it does"]),
    (checks.names, "core/a.py", "class RunManager: ...", ["core/a.py:1: `RunManager` says nothing: name it after what it does"]),
    (checks.names, "core/a.py", "def parse_helper(): ...", ["core/a.py:1: `parse_helper` says nothing: name it after what it does"]),
    (checks.chance, "engine/a.py", "import time\ntime.time()", ["engine/a.py:2: time.time comes in through core (clock, ids)"]),
    (checks.chance, "engine/a.py", "from time import monotonic", ["engine/a.py:1: time.monotonic comes in through core (clock, ids)"]),
    (checks.chance, "engine/a.py", "from random import random", ["engine/a.py:1: random.random comes in through core (clock, ids)"]),
    (checks.chance, "engine/a.py", "import uuid\nuuid.uuid4()", ["engine/a.py:2: uuid.uuid4 comes in through core (clock, ids)"]),
    (checks.chance, "engine/a.py", "datetime.datetime.now(UTC)", ["engine/a.py:1: datetime.datetime.now comes in through core (clock, ids)"]),
    (checks.chance, "engine/a.py", "asyncio.sleep(1)", ["engine/a.py:1: asyncio.sleep comes in through core (clock, ids)"]),
    (checks.promises, "core/a.py", "x = 1  # TO" + "DO later", ["core/a.py:1: TO" + "DO: do it, or say in the docs what is missing"]),
    (checks.promises, "core/a.py", "x = 1  # no" + "qa: E501", ["core/a.py:1: `no" + "qa` without a rule and the reason beside it"]),
    (checks.promises, "core/a.py", "x = 1  # type: ig" + "nore[arg-type]", ["core/a.py:1: `type: ig" + "nore` without a rule and the reason beside it"]),
    (checks.promises, "tests/a.py", "assert Tr" + "ue", ["tests/a.py:1: this assertion cannot fail"]),
    (checks.promises, "core/a.py", "try:\n    f()\nexcept Exception:\n    pa" + "ss", ["core/a.py:3: every error is swallowed here"]),
    (checks.promises, "core/a.py", "raise NotImplemented" + "Error", ["core/a.py:1: a stub: refuse it with `unavailable`, or do it"]),
    (checks.promises, "tests/a.py", "pytest.sk" + "ip('no')", ["tests/a.py:1: a test that is skipped proves nothing"]),
    (checks.promises, "testing/a.py", "pytest.sk" + "ip('no')", ["testing/a.py:1: a test that is skipped proves nothing"]),
    (checks.promises, "tests/a.py", "@pytest.mark.xf" + "ail\ndef f(): ...", ["tests/a.py:1: a test that is skipped proves nothing"]),
]  # fmt: skip

GOOD: list[tuple[Callable[[Module], Iterator[str]], str, str]] = [
    (imports.absolute, "core/a.py", "import aiohttp\nfrom .clock import Clock"),
    (imports.levels, "engine/a.py", "from ..core.event import Event\nfrom .run import Run\nfrom ..store.contract import Unit"),
    (imports.levels, "store/sqlite.py", "from .group import Group\nfrom ..core import limits"),
    (imports.levels, "app.py", "from .store.sqlite import SqliteStore\nfrom . import __version__"),
    (imports.levels, "plugins/a.py", "from ..triggers.contract import T\nfrom ..engine.actions.contract import A"),
    (imports.levels, "__init__.py", "from .app import App"),
    (checks.length, "core/a.py", "x = 1\n" * 500),
    (checks.functions, "core/a.py", "def f():\n" + "    x = 1\n" * 59),
    (checks.docstrings, "core/a.py", HEAD + "def _f(): ...\nclass _A:\n    def f(self): ..."),
    (checks.docstrings, "core/a.py", HEAD + "@typing.overload\ndef f(): ..."),
    (checks.names, "core/commonplace.py", "class Utility: ..."),
    (checks.chance, "core/clock.py", "import time\ntime.time()"),
    (checks.chance, "engine/a.py", "from time import perf_counter\nawait asyncio.sleep(0)\nclock.time()\nfrom datetime import time\ntime.fromisoformat(x)\nimport uuid\nuuid.UUID(x)"),
    (checks.promises, "core/a.py", "try:\n    f()\nexcept OSError:\n    pass  # no" + "qa: S110 - it is gone already"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "path", "text", "expected"), BAD)
def test_finds(check: Callable[[Module], Iterator[str]], path: str, text: str, expected: list[str]) -> None:
    assert list(check(module(path, text))) == expected


@pytest.mark.parametrize(("check", "path", "text"), GOOD)
def test_leaves_alone(check: Callable[[Module], Iterator[str]], path: str, text: str) -> None:
    assert list(check(module(path, text))) == []


def test_a_contract_explains_for_all_who_implement_it() -> None:
    contract = module(
        "core/a.py", HEAD + 'class Source:\n    """A source."""\n    def read(self):\n        """Wait."""'
    )
    other = module(
        "core/b.py", HEAD + 'class File:\n    """A file."""\n    def read(self): ...\n    def tell(self): ...'
    )
    explained = checks.documented_methods([contract, other])
    assert list(checks.docstrings(other, explained)) == ["core/b.py:5: File.tell has no docstring"]


APP = module(
    "app.py",
    "from .core.event import Event\nfrom . import web\nKINDS = {'http': 'triggers.http', 'file': '.triggers.file:F'}",
)


OWNER = module("engine/a.py", "from .b import B\nfrom .c import C")
TYPED = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import A\n"


def test_parts_may_name_their_owner() -> None:
    assert list(imports.circles([OWNER, module("engine/b.py", TYPED), module("engine/c.py", TYPED)])) == []


@pytest.mark.parametrize(
    ("b", "c"),
    [
        ("from .a import A", ""),
        ("from .c import C", "from .a import A"),
        (TYPED + "    from .c import C", TYPED + "    from .b import B"),
    ],
    ids=["carried out", "by way of another", "parts of each other"],
)
def test_finds_a_circle(b: str, c: str) -> None:
    tree = [OWNER, module("engine/b.py", b), module("engine/c.py", c)]
    assert list(imports.circles(tree)) == [f"in a circle: engine/a.py, engine/b.py{', engine/c.py' if c else ''}"]


def test_finds_a_dead_module() -> None:
    tree = [APP, *(module(f"{each}.py", "") for each in ("core/event", "triggers/http", "triggers/file", "core/old"))]
    assert list(imports.dead(tree)) == ["core/old.py: nobody imports it"]


def test_a_catalogue_names_the_modules_that_it_loads() -> None:
    catalogue = module("triggers/catalogue.py", 'KINDS = {"http": ("web", "Http")}\nimport_module(f".{name}", package)')
    tree = [module("app.py", "from .triggers import catalogue"), catalogue, module("triggers/web.py", "")]
    assert list(imports.dead(tree)) == []
    assert list(imports.dead([*tree, module("core/web.py", "")])) == ["core/web.py: nobody imports it"]


def test_nothing_is_dead_before_there_is_an_application() -> None:
    assert list(imports.dead([module("core/old.py", "")])) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see /wo" + "rk/main/x", ["a.md:1: a path of one machine: /wo" + "rk/"]),
        ("x\nin /ro" + "ot/.cache", ["a.md:2: a path of one machine: /ro" + "ot/"]),
        ("--index-" + "url https://x", ["a.md:1: a registry: --index-" + "url"]),
        ("https://files.python" + "hosted.org/", ["a.md:1: a registry: files.python" + "hosted"]),
        ("read ../sha" + "red/x", ["a.md:1: a path outside the project: ../sha" + "red"]),
        ("a/wo" + "rk/b and workflow/ and /ho" + "me", []),
    ],
)
def test_texts_that_name_another_place(text: str, expected: list[str]) -> None:
    assert list(texts.elsewhere("a.md", text)) == expected


def test_lines_that_are_too_wide() -> None:
    long = "x" * 121
    text = f"{'x' * 120}\n| {long} |\n```\n{long}\n```\n<!-- run {long} -->\n- {long}\n"
    assert list(texts.wide("a.md", text)) == ["a.md:7: 123 characters; wrap it at 120"]
    assert list(texts.wide("a.md", f"<!-- Written by `make pages`. -->\n{long}\n")) == []


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    page = "# Top `x`\n[a](b.md) [b](#top-x) [c](other.md#no) [d](https://x)\n`[e](f.md)`\n```\n[g](h.md)\n```\n[i](#nope)\n"
    (tmp_path / "page.md").write_text(page)
    (tmp_path / "other.md").write_text("# Yes\n# Yes\n")
    assert list(texts.links(tmp_path, "page.md", page)) == [
        "page.md:2: there is no b.md",
        "page.md:2: other.md has no heading #no",
        "page.md:7: page.md has no heading #nope",
    ]
    assert texts.anchors("# Yes\n# Yes\n") == {"yes", "yes-1"}
