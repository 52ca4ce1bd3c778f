"""The tables of limits, guarantees and statuses say what the code says."""

from __future__ import annotations

import re

from reactor.core import limits
from reactor.tests.docs.samples import ROOT
from reactor.triggers.catalogue import Kinds
from reactor.web.problems import STATUS

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "d": 86_400}


def rows(page: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with this head."""
    text = (ROOT / page).read_text()
    table = re.search(rf"^\| {head} \|.*\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None, f"{page} has no table that begins with `{head}`"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


def number(text: str) -> float:
    """A limit as a number of its smallest unit."""
    value, _, unit = text.partition(" ")
    return float(value) * UNITS[unit]


def test_limits_are_those_of_the_code() -> None:
    said = {row[2].strip("`"): number(row[1]) for row in rows("docs/limits.md", "what")}
    assert len(said) > 20
    assert said == {name: getattr(limits, name) for name in said}


def test_every_status_of_the_api_is_told() -> None:
    said = {int(each) for row in rows("docs/http-api.md", "status") for each in row[0].split(", ")}
    assert said == {*STATUS.values(), 408, 431, 500, 501}


def test_guarantees_are_those_of_the_traits() -> None:
    kinds = Kinds()
    said = {kind: row[1] for row in rows("docs/triggers.md", "kind") for kind in re.findall(r"`(\w+)`", row[0])}
    wanted = {name: kinds.load(name)[1].traits.guarantee for name in kinds.all if kinds.reads(name)}
    assert len(wanted) > 5
    assert {name: said[name].partition(";")[0].replace(" ", "_") for name in wanted} == wanted
