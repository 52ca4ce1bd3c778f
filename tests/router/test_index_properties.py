"""The index against a plain, slow matcher: any patterns, any events, any order of changes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from reactor.router import RuleIndex
from reactor.tests.router.random_patterns import Maker
from reactor.tests.router.slow_matcher import matches

seeds = st.integers(0, 2**32)


def filled(some: list[dict[str, Any]]) -> RuleIndex:
    index = RuleIndex()
    index.change(add=enumerate(some))
    return index


def as_json(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


@settings(max_examples=80)
@given(seeds)
def test_the_index_agrees_with_the_plain_matcher(seed: int) -> None:
    maker = Maker(seed)
    some = [maker.pattern() for _ in range(25)]
    index = filled(some)
    for _ in range(40):
        event = maker.event(some)
        expected = [number for number, pattern in enumerate(some) if matches(pattern, event)]
        assert index.match(event) == expected
        assert index.match(as_json(event)) == expected
        assert index.match({name: msgspec.Raw(json.dumps(value).encode()) for name, value in event.items()}) == expected


@settings(max_examples=40)
@given(seeds)
def test_explain_agrees_with_match(seed: int) -> None:
    maker = Maker(seed)
    some = [maker.pattern() for _ in range(20)]
    index = filled(some)
    for _ in range(20):
        event = maker.event(some)
        every = list(index.explain_all(event))
        assert [why.rule_id for why in every] == list(range(len(some)))
        assert [why.rule_id for why in every if why.matched] == index.match(event)
        assert [index.explain(number, as_json(event)) for number in range(len(some))] == every
        assert all(why.matched == (why.operator == "") for why in every)


@settings(max_examples=30)
@given(seeds)
def test_after_any_changes_the_index_is_as_if_built_anew(seed: int) -> None:
    maker = Maker(seed)
    index, kept, held, patterns = RuleIndex(), dict[int, dict[str, Any]](), [], []
    for step in range(80):
        number = maker.random.randrange(15)
        if number in kept:
            index.remove(number)
            del kept[number]
        else:
            kept[number] = maker.pattern()
            patterns.append(kept[number])
            index.add(number, kept[number])
        if step % 10 == 0:
            held = held[-2:]
            held.append((index.snapshot(), dict(kept)))
            for snapshot, then in [*held, (index.snapshot(), kept)]:
                event = maker.event(patterns)
                expected = [number for number, pattern in then.items() if matches(pattern, event)]
                assert snapshot.match(event) == expected
                assert snapshot.match(as_json(event)) == expected
                assert (list(snapshot), len(snapshot)) == (list(then), len(then))
                assert [why.rule_id for why in snapshot.explain_all(event) if why.matched] == expected
    held.clear()
    index.change(remove=list(kept))
    assert index.match(maker.event(patterns)) == []


@pytest.mark.parametrize("wide", [40, 300])
@settings(max_examples=15)
@given(seeds)
def test_a_tree_with_very_many_members_is_read_the_same_way(wide: int, seed: int) -> None:
    maker = Maker(seed)
    some = [maker.pattern() for _ in range(15)]
    index = filled(some)
    for number in range(wide):
        index.add(f"wide {number}", {"b": {f"m{number}": [{"exists": True}], "deep": {f"n{number}": ["x"]}}})
    for _ in range(20):
        event = maker.event(some)
        expected = [number for number, pattern in enumerate(some) if matches(pattern, event)]
        assert index.match(event) == expected
        assert index.match(as_json(event)) == expected
    event = {"b": {"m7": 1, "deep": [{"n7": "x"}, {"n8": "x"}]}}
    assert [rule for rule in index.match(event) if isinstance(rule, str)] == ["wide 7"]


@settings(max_examples=20)
@given(seeds)
def test_crowded_buckets_and_guarded_pairs_agree_too(seed: int) -> None:
    maker = Maker(seed)
    crowd = [
        {**pattern, "type": [kind], "c": ["a", {"prefix": "ab"}, {"numeric": [">", number]}][: number % 4 or 1]}
        for pattern in [maker.pattern() for _ in range(4)]
        for kind in ("a", "ab", "abc")
        for number in range(15)
    ]
    index = filled(crowd)
    kept = set(range(len(crowd)))
    for gone in (set(), set(range(0, len(crowd), 2))):
        index.change(remove=gone)
        kept -= gone
        for _ in range(15):
            event = {**maker.event(crowd), "type": maker.random.choice(["a", ["abc", "ab"]])}
            expected = [number for number in sorted(kept) if matches(crowd[number], event)]
            assert index.match(event) == expected
            assert index.match(as_json(event)) == expected
    index.change(remove=kept)
    assert (len(index), index.match({"type": "a", "c": "a"})) == (0, [])
