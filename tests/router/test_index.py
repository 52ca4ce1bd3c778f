"""What patterns mean, case by case; changes, snapshots, explanations."""

from __future__ import annotations

import json
import threading
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from reactor.core.event import InvalidEvent
from reactor.router import PatternError, RuleIndex


def takes(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    index = RuleIndex()
    index.add("rule", pattern)
    found = index.match(event)
    assert index.match(json.dumps(event).encode()) == found
    assert index.explain("rule", event).matched == bool(found)
    return bool(found)


def leaf(*alternatives: Any) -> dict[str, Any]:
    return {"data": {"x": list(alternatives)}}


def has(value: Any) -> dict[str, Any]:
    return {"data": {"x": value}}


@pytest.mark.parametrize(
    ("alternative", "yes", "no"),
    [
        # values: case-sensitive, numbers by double value, literals only themselves
        ("a", ["a", ["b", "a"], [["a"]]], ["A", "", 1, None, [], {}, {"a": 1}]),
        ("", [""], [None, " ", []]),
        (5, [5, 5.0, 50e-1, [4, 5]], ["5", 5.1, True]),
        (1, [1, 1.0], [True, "1"]),
        (0, [0, -0.0], [False, None, ""]),
        (True, [True], [1, "true", False]),
        (False, [False], [0, None, ""]),
        (None, [None, [1, None]], [False, 0, "", "null", []]),
        (2**53 + 1, [2**53, 2**53 + 1, float(2**53)], [2**53 + 2]),
        ({"prefix": "ab"}, ["ab", "abc", ["x", "ab"]], ["a", "xab", "AB", 5, None]),
        ({"prefix": ""}, ["", "a"], [1, None, []]),
        ({"prefix": {"equals-ignore-case": "Ab"}}, ["abc", "ABC"], ["a", "xab"]),
        ({"suffix": ".png"}, ["a.png", ".png"], ["a.PNG", "png"]),
        ({"suffix": {"equals-ignore-case": ".png"}}, ["a.PNG"], ["a.jpg"]),
        ({"equals-ignore-case": "alice"}, ["Alice", "ALICE"], ["alic", "alice ", None]),
        ({"numeric": ["=", 5]}, [5, 5.0], ["5", 6, True]),
        ({"numeric": [">", 10, "<=", 20]}, [10.5, 20, [1, 15]], [10, 20.1, "15", None, True]),
        ({"numeric": [">=", 10]}, [10, 1e300], [9.99]),
        ({"numeric": ["<", 0]}, [-1, -1e300], [0, -0.0]),
        ({"exists": True}, [None, "", 0, [1], {"y": 1}["y"]], [[], {}, {"y": 1}, [{}], [[]]]),
        ({"exists": False}, [[], {}, {"y": 1}], [None, "", 0, [1]]),
        ({"anything-but": "a"}, ["b", "A", 1, None, True, ["a", "b"]], ["a", ["a"], [], {}]),
        ({"anything-but": [1, 2]}, [3, "1", None, True, [1, 3]], [1, 2.0, [1, 2]]),
        ({"anything-but": {"prefix": "ab"}}, ["xab", 5, None], ["ab", "abc"]),
        ({"anything-but": {"suffix": ["x", "y"]}}, ["a", "xa"], ["ax", "ay"]),
        ({"anything-but": {"equals-ignore-case": ["ab", "cd"]}}, ["abc", 1], ["AB", "Cd"]),
        ({"anything-but": {"wildcard": "*/lib/*"}}, ["/bin/a", 1], ["/lib/", "/usr/lib/a"]),
        ({"wildcard": "a*c"}, ["ac", "abc", "a\nc"], ["abcd", "xac", "a", 1]),
        ({"wildcard": "*b*"}, ["b", "abc"], ["ac", ""]),
        ({"wildcard": "*ab*ba*"}, ["abba", "xabxbay"], ["aba"]),
        ({"wildcard": "a\\*\\\\*"}, ["a*\\", "a*\\x"], ["ax\\", "a*"]),
        ({"wildcard": "*"}, ["", "a"], [1, None]),
        ({"wildcard": "abcab*cab"}, ["abcabcab", "abcabxcab"], ["abcab"]),
        (
            {"cidr": "10.0.0.77/24"},
            ["10.0.0.0", "10.0.0.255"],
            ["10.0.1.0", "010.0.0.1", "10.0.0", "::ffff:10.0.0.1", 1],
        ),
        ({"cidr": "10.0.0.0/13"}, ["10.7.255.255"], ["10.8.0.0", "10.7.256.0", "x"]),
        ({"cidr": "0.0.0.0/0"}, ["1.2.3.4"], ["::1", "1.2.3"]),
        ({"cidr": "2001:db8::/33"}, ["2001:db8::1", "2001:0DB8:7fff::"], ["2001:db8:8000::", "10.0.0.1", ":"]),
    ],
)
def test_an_operator_takes_and_refuses(alternative: Any, yes: list[Any], no: list[Any]) -> None:
    assert [value for value in yes if not takes(leaf(alternative), has(value))] == []
    assert [value for value in no if takes(leaf(alternative), has(value))] == []


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ({"a": [1], "b": [2]}, [{"a": 1, "b": 2, "c": 3}], [{"a": 1}, {"b": 2}, {}]),
        ({"a.b": [1]}, [{"a.b": 1}], [{"a": {"b": 1}}]),
        (
            {"a": {"b": [1]}},
            [{"a": {"b": 1}}, {"a": [{"b": 1}]}, {"a": [[{"b": [1]}]]}],
            [{"a.b": 1}, {"a": 1}, {"A": {"b": 1}}],
        ),
        (
            {"a": {"b": [{"exists": False}]}},
            [{}, {"a": 1}, {"a": {}}, {"a": [{"c": 1}]}],
            [{"a": {"b": None}}, {"a": [{}, {"b": 1}]}],
        ),
        ({"a": [{"exists": False}, "x"]}, [{}, {"a": "x"}, {"a": []}], [{"a": "y"}, {"a": None}]),
        ({"a": [{"exists": True}, {"exists": False}], "b": [1]}, [{"b": 1}, {"a": 2, "b": 1}], [{"a": 2}]),
        ({"a": [{"exists": False}]}, [{}, {"b": 1}], [{"a": 0}]),
        ({"$or": [{"a": [1]}, {"b": [2]}], "c": [3]}, [{"a": 1, "c": 3}, {"b": 2, "c": 3}], [{"c": 3}, {"a": 1}]),
        ({"a": {"$or": [{"b": [1]}, {"c": {"d": [2]}}]}}, [{"a": {"b": 1}}, {"a": {"c": {"d": 2}}}], [{"a": {"c": 2}}]),
        (
            {"a": [{"prefix": "x"}], "$or": [{"a": [{"suffix": "y"}]}, {"b": [1]}]},
            [{"a": "xy"}, {"a": "x", "b": 1}],
            [{"a": "x"}, {"b": 1}],
        ),
    ],
)
def test_fields_and_branches(pattern: dict[str, Any], yes: list[Any], no: list[Any]) -> None:
    assert [event for event in yes if not takes(pattern, event)] == []
    assert [event for event in no if takes(pattern, event)] == []


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (
            {"items": {"a": [1], "b": [2]}},
            [
                {"items": {"a": 1, "b": 2}},
                {"items": [{}, {"a": 1, "b": 2}]},
                {"items": [{"a": [1, 3], "b": [2, 4]}]},
                {"items": [[{"a": 1, "b": 2}]]},
            ],
            [
                {"items": [{"a": 1}, {"b": 2}]},
                {"items": [{"a": 1, "b": 3}, {"a": 3, "b": 2}]},
                {"items": [[{"a": 1}], [{"b": 2}]]},
            ],
        ),
        (
            {"o": {"k": [1], "i": {"a": [1], "b": [2]}}},
            [{"o": [{"k": 1, "i": [{"a": 1, "b": 2}]}]}],
            [
                {"o": [{"k": 1, "i": []}, {"i": [{"a": 1, "b": 2}]}]},
                {"o": [{"k": 1, "i": [{"a": 1}]}, {"k": 1, "i": [{"b": 2}]}]},
            ],
        ),
        ({"p": {"x": [1]}, "q": {"y": [2]}}, [{"p": [{}, {"x": 1}], "q": [{"y": 2}]}], []),
        (
            {"t": [1], "$or": [{"t": [2]}, {"t": [3]}]},
            [{"t": [1, 2]}, {"t": [3, 1]}],
            [{"t": [1]}, {"t": [2, 3]}, {"t": [[1], [2]]}],
        ),
        (
            {"items": {"a": [1], "b": [{"exists": False}]}},
            [{"items": [{"a": 1}, {"c": 1}]}],
            [{"items": [{"a": 1}, {"b": 2}]}],
        ),
    ],
)
def test_two_fields_meet_in_one_element_of_an_array(pattern: dict[str, Any], yes: list[Any], no: list[Any]) -> None:
    assert [event for event in yes if not takes(pattern, event)] == []
    assert [event for event in no if takes(pattern, event)] == []


def test_examples_of_the_eventbridge_guide() -> None:
    event = {
        "version": "0",
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "region": "us-east-1",
        "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
        "detail": {
            "instance-id": "i-1234567890abcdef0",
            "state": "terminated",
            "c-count": 5,
            "d-count": 3,
            "x-limit": 301.8,
            "source-ip": "10.0.0.123",
        },
    }
    for pattern in (
        {
            "source": ["aws.ec2"],
            "detail-type": ["EC2 Instance State-change Notification"],
            "detail": {"state": ["terminated"]},
        },
        {"resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"]},
        {
            "detail": {
                "state": [{"anything-but": "initializing"}],
                "c-count": [{"numeric": [">", 0, "<=", 5]}],
                "d-count": [{"numeric": ["<", 10]}],
                "x-limit": [{"numeric": ["=", 3.018e2]}],
            }
        },
        {"detail": {"source-ip": [{"cidr": "10.0.0.0/24"}], "state": [{"anything-but": ["stopped", "overloaded"]}]}},
        {
            "detail": {"$or": [{"c-count": [{"numeric": [">", 9]}]}, {"d-count": [{"numeric": ["<", 10]}]}]},
            "region": [{"prefix": "us-"}],
        },
        {"detail": {"c-count": [{"exists": True}], "e-count": [{"exists": False}]}},
        {
            "detail": {"state": [{"wildcard": "term*ed"}]},
            "detail-type": [{"suffix": {"equals-ignore-case": "NOTIFICATION"}}],
        },
    ):
        assert takes(pattern, event), pattern
    assert not takes({"detail": {"state": [{"anything-but": {"prefix": "term"}}]}}, event)


def test_the_last_of_equal_names_counts() -> None:
    index = RuleIndex()
    index.add("rule", {"a": {"b": [2]}})
    assert index.match(b'{"a": {"b": 1}, "a": {"b": 1, "b": 2}}') == ["rule"]


def test_matches_come_in_the_order_of_adding_and_once() -> None:
    index = RuleIndex()
    for rule in ("z", "a", "m"):
        index.add(rule, {"$or": [{"type": ["t"]}, {"type": [{"prefix": "t"}]}, {"data": {"n": [1]}}]})
    index.remove("z")
    index.add("z", {"type": ["t"]})
    assert index.match({"type": "t", "data": {"n": 1}}) == ["a", "m", "z"]
    assert list(index) == ["a", "m", "z"]
    assert (len(index), "a" in index, "b" in index, index.revision) == (3, True, False, 5)


def test_an_event_may_be_any_mapping_with_undecoded_members() -> None:
    index = RuleIndex()
    index.add(1, {"type": ["t"], "meta": {"trigger": ["orders"]}, "data": {"items": {"n": [2]}}, "tags": ["b"]})
    event = MappingProxyType(
        {
            "type": "t",
            "meta": MappingProxyType({"trigger": "orders"}),
            "data": msgspec.Raw(b'{"items": [{"n": 1}, {"n": 2}]}'),
            "tags": ("a", "b"),
        }
    )
    assert index.match(event) == [1]
    assert index.explain(1, event).matched
    assert index.match(bytearray(b'{"type": "t"}')) == []


@pytest.mark.parametrize("text", [b"[]", b"", b"{", b'{"a": }', b"7", b'{"a":' * 100_000])
def test_bytes_that_are_no_object_are_refused(text: bytes) -> None:
    index = RuleIndex()
    index.add(1, {"a": [1]})
    with pytest.raises(InvalidEvent, match=r"^the event is no JSON object: "):
        index.match(text)
    with pytest.raises(InvalidEvent, match=r"^the event is no JSON object: "):
        index.explain(1, text)


def test_changes_are_all_or_nothing() -> None:
    index = RuleIndex()
    index.add("a", {"type": ["t"]})
    with pytest.raises(ValueError, match=r"^rule 'a' is in the index already; remove it first$"):
        index.add("a", {"type": ["u"]})
    with pytest.raises(ValueError, match=r"^rule 'b' is in the index already; remove it first$"):
        index.change(add=[("b", {"type": ["t"]}), ("b", {"type": ["t"]})])
    with pytest.raises(KeyError):
        index.change(add=[("b", {"type": ["t"]})], remove=["a", "a"])
    with pytest.raises(KeyError):
        index.remove("b")
    with pytest.raises(PatternError, match=r"^type: "):
        index.change(add=[("b", {"type": ["t"]}), ("c", {"type": "t"})], remove=["a"])
    assert (index.match({"type": "t"}), index.revision) == (["a"], 1)
    index.change(remove=["a"], add=[("a", {"type": ["u"]}), ("b", {"type": ["u"]})])
    assert (index.match({"type": "t"}), index.match({"type": "u"}), index.revision) == ([], ["a", "b"], 2)


@pytest.mark.rule("1.3")
def test_a_snapshot_answers_for_its_revision() -> None:
    index = RuleIndex()
    index.add("a", {"type": ["t"]})
    first = index.snapshot()
    index.remove("a")
    index.add("b", {"type": [{"prefix": "t"}]})
    index.add("a", {"new": ["t"]})
    second = index.snapshot()
    event = {"type": "t", "new": "t"}
    assert (first.revision, first.match(event), list(first), len(first)) == (1, ["a"], ["a"], 1)
    assert (second.match(event), list(second)) == (["b", "a"], ["b", "a"])
    assert first.explain("a", {"type": "u"}).path == "type"
    assert index.explain("a", {"type": "u"}).path == "new"
    with pytest.raises(KeyError):
        first.explain("b", event)


def test_a_thread_that_changes_rules_never_shows_half_a_change() -> None:
    index = RuleIndex()
    for number in range(200):
        index.add(("kept", number), {"type": ["t"], "data": {"n": [number % 7]}})
    stop = threading.Event()
    failures: list[BaseException] = []

    def change() -> None:
        try:
            round_ = 0
            while not stop.is_set():
                round_ += 1
                pair = {
                    "$or": [
                        {"type": ["t"], f"new{round_ % 9}": [{"exists": False}]},
                        {"data": {"n": [{"numeric": ["<", round_]}]}},
                    ]
                }
                added = [((round_, part), pair) for part in "ab"]
                index.change(add=added)
                index.change(remove=[rule for rule, _ in added], add=[((round_, "c"), pair)])
                index.remove((round_, "c"))
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for number in range(3_000):
            event = {"type": "t", "data": {"n": number % 7}}
            snapshot = index.snapshot()
            found = snapshot.match(event)
            assert found == snapshot.match(json.dumps(event).encode())
            others = [rule for rule in found if rule[0] != "kept"]
            assert [part for _, part in others] in ([], ["a", "b"], ["c"])
            assert len(found) - len(others) == sum(kept % 7 == number % 7 for kept in range(200))
    finally:
        stop.set()
        writer.join()
    assert failures == []
    assert len(index) == 200


def test_the_tables_are_empty_again_after_everything_was_removed() -> None:
    index = RuleIndex()
    patterns = [
        {"type": ["t"], "data": {"a": [{"prefix": "x" * n}], "b": [{"suffix": "y" * n}, {"wildcard": f"*mid{n}*"}]}}
        for n in range(1, 40)
    ] + [
        {
            "data": {"n": [{"numeric": [">", n, "<", n + 3]}], "ip": [{"cidr": f"10.0.{n}.0/24"}]},
            "z": [{"exists": n % 2 == 0}],
        }
        for n in range(40)
    ]
    index.change(add=enumerate(patterns))
    held = index.snapshot()
    for number in range(len(patterns)):
        index.remove(number)
    event = {"type": "t", "data": {"a": "xxx", "b": "yy", "n": 5, "ip": "10.0.4.1"}, "z": 1}
    assert held.match(event) == [0, 1, 43]
    del held
    index.change()
    root = index._root
    assert (root.always, root.absent, index._dead) == ((), {}, [])
    assert all(probe.is_empty() for probe in (*root.probes.values(), *root.pairs.values()))


@pytest.mark.parametrize(
    ("pattern", "event", "text"),
    [
        (
            {"data": {"total": [{"numeric": [">=", 100]}]}},
            {"data": {"total": 50}},
            'data.total: expected {"numeric": [">=", 100]}, found 50',
        ),
        (
            {"data": {"a": ["x", {"prefix": "y"}]}},
            {"data": {"a": ["z", True]}},
            'data.a: expected "x" or {"prefix": "y"}, found "z", true',
        ),
        (
            {"type": ["t"], "data": {"a": [{"exists": True}]}},
            {"type": "t"},
            'data.a: expected {"exists": true}, the event has no such value',
        ),
        (
            {"data": {"i": {"a": [1], "b": [2]}}},
            {"data": {"i": [{"a": 1}, {"b": 2}]}},
            "no single element of data.i has all of data.i.a, data.i.b as wanted",
        ),
        ({"$or": [{"a": [1], "b": [1]}, {"a": [2], "b": [2]}]}, {"a": 2, "b": 9}, "b: expected 2, found 9"),
        ({"a": [1]}, {"a": 1}, "matched"),
    ],
)
def test_an_explanation_is_a_sentence(pattern: dict[str, Any], event: dict[str, Any], text: str) -> None:
    index = RuleIndex()
    index.add("rule", pattern)
    assert index.explain("rule", event).text == text


def test_an_explanation_names_the_first_field_that_fails() -> None:
    index = RuleIndex()
    index.add("rule", {"type": ["t"], "data": {"n": [{"anything-but": [1]}], "m": [None]}})
    why = index.explain("rule", b'{"type": "t", "data": {"n": 1, "m": 2}}')
    assert (why.matched, why.path, why.operator, why.expected, why.actual) == (
        False,
        "data.n",
        "anything-but",
        ({"anything-but": [1]},),
        (1,),
    )
    with pytest.raises(KeyError):
        index.explain("other", {})
