"""What was accepted of a stream, as ranges: against a plain set, and its bound."""

import itertools

from hypothesis import given, strategies as st

from reactor.triggers.jetstream_position import RANGES_MAX, Accepted, Look, union

SMALL = st.integers(1, 40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SMALL, SMALL),
        st.tuples(st.just("remove"), SMALL, SMALL),
        st.tuples(st.just("forget"), SMALL, SMALL),
    )
)


def held(accepted: Accepted) -> set[int]:
    return {number for first, last in accepted.ranges() for number in range(first, last + 1)}


@given(STEPS)
def test_is_a_set_of_whole_numbers_in_ranges_that_do_not_touch(steps: list[tuple[str, int, int]]) -> None:
    accepted, model = Accepted(), set[int]()
    for word, one, other in steps:
        if word == "add":
            accepted.add(min(one, other), max(one, other))
            model |= set(range(min(one, other), max(one, other) + 1))
        elif word == "remove":
            accepted.remove(one)
            model.discard(one)
        else:
            accepted.forget(one)
            model = {number for number in model if number > one}
        assert held(accepted) == model
        assert (accepted.first, accepted.last) == ((min(model), max(model)) if model else (0, 0))
    ranges = list(accepted.ranges())
    assert all(first <= last for first, last in ranges)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(ranges))
    assert held(Accepted(bytes(accepted))) == model


@given(st.sets(SMALL), st.integers(0, 40), st.integers(0, 42))
def test_what_is_missing_is_what_is_not_there(there: set[int], floor: int, end: int) -> None:
    accepted = union(b"[[%d,%d]]" % (number, number) for number in there)
    missing = {number for first, last in accepted.missing(floor, end) for number in range(first, last + 1)}
    assert missing == set(range(floor + 1, end)) - there


def test_of_many_ranges_the_oldest_are_joined() -> None:
    accepted = Accepted()
    for number in range(RANGES_MAX + 1):
        accepted.add(10 * number + 1, 10 * number + 1)
    ranges = list(accepted.ranges())
    assert len(ranges) == RANGES_MAX
    assert ranges[:2] == [(1, 11), (21, 21)]


def test_of_other_subjects_is_what_lies_between() -> None:
    accepted = Accepted(b"[[3,3],[7,9]]")
    accepted.join()
    assert list(accepted.ranges()) == [(3, 9)]
    nothing = Accepted()
    nothing.join()
    assert bytes(nothing) == b"[]"


def test_less_is_pending_than_was_delivered() -> None:
    before = Look(first=1, last=9, floor=2, delivered=3, pending=6, open=1)
    assert not Look(first=1, last=9, floor=5, delivered=6, pending=3, open=1).removed_since(before)
    assert not Look(first=1, last=12, floor=5, delivered=6, pending=6, open=1).removed_since(before)
    assert Look(first=10, last=9, floor=9, delivered=6, pending=0, open=0).removed_since(before)
    assert not Look(first=10, last=9, floor=9, delivered=6, pending=0, open=0).removed_since(None)
