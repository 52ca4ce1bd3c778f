"""The routing part of `make bench`: all that are compared are asked the same, and must find the same."""

from typing import Any

import pytest

from reactor.bench import matching, routing
from reactor.bench.__main__ import SECTIONS
from reactor.router import RuleIndex
from reactor.tests.servers.install import Missing

pytestmark = [pytest.mark.uncovered, pytest.mark.req("R-5")]
PATTERN = {
    "type": ["a", "b"],
    "data": {
        "total": [{"numeric": [">=", 1.5, "<", 7]}],
        "gift": [False],
        "path": [{"prefix": "/x"}, {"suffix": "y"}],
        "coupon": [{"exists": False}],
        "status": [{"anything-but": ["new"]}],
    },
    "$or": [{"source": ["s"]}, {"data": {"age": [{"numeric": [">", 5]}]}}],
}


def test_a_pattern_in_the_words_of_others() -> None:
    assert routing.text_of(PATTERN) == (
        '(type == "a" or type == "b") and ((data.total != null and data.total >= 1.5 and data.total < 7)) '
        "and (data.gift == false) "
        'and ((data.path != null and data.path.starts_with("/x")) or (data.path != null and data.path.ends_with("y"))) '
        'and (data.coupon == null) and ((data.status != null and not (data.status in ["new"]))) '
        'and (((source == "s")) or (((data.age != null and data.age > 5))))'
    )


def test_a_function_and_the_index_find_the_same_matches() -> None:
    lines, drawn = matching.workload(400, 400)
    rules = routing.shared(drawn, 200)
    found = routing.by_function(rules, lines)[1]
    assert found == routing.by_index(rules, lines)[1] > 0


def test_every_clause_of_a_function_is_asked() -> None:
    fitting = {"total": 2, "gift": False, "path": "/x1", "status": "old", "age": 6}
    check = routing.function_of(PATTERN)
    index = RuleIndex()
    index.change(add=[("r", PATTERN)])
    for name, value, matches in [
        ("age", 6, True), ("age", 5, False), ("total", 7, False), ("total", None, False), ("gift", True, False),
        ("path", "z", False), ("path", "zy", True), ("status", "new", False), ("coupon", "c", False),
    ]:  # fmt: skip
        event = {"type": "b", "source": "t", "data": {**fitting, name: value}}
        assert (check(event), bool(index.match(event))) == (matches, matches), (name, value)


def test_who_finds_something_else_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(rules: Any, lines: Any) -> tuple[float, int]:
        return 1.0, -1

    def missing(rules: Any, lines: Any) -> tuple[float, int]:
        raise Missing("there is no network")

    monkeypatch.setattr(routing, "PEERS", {"a function": (routing.by_function, 2_000), "gone": (missing, 10)})
    found = routing.compared(50, 100)
    assert found.pop("50 rules, Reactor, events/s") > 0
    assert found.pop("50 rules, a function, events/s") > 0
    assert found.pop("… Reactor is faster than a function at 50 rules").endswith("x")
    assert found == {"50 rules, gone": "not measured: there is no network"}
    monkeypatch.setattr(routing, "PEERS", {"wrong": (wrong, 2_000)})
    with pytest.raises(AssertionError, match=r"wrong finds -1 matches, Reactor \d+"):
        routing.compared(50, 100)


def test_it_is_part_of_make_bench_beside_the_budgets() -> None:
    assert SECTIONS["routing beside others"] == ["reactor.bench.routing"]
    assert set(matching.BUDGETS["events_per_s"]) >= {1_000, 10_000}
