"""What is said of figures beside those of a loop without an engine."""

from reactor.bench.workflows import beside

FOUND = {
    "W1 yaml p50/p99 ms": [4.5, 9.0],
    "W2 python workflows/s": 2_000,
    "W2 python CPU us/workflow": 400.0,
    "W3 p50 ms": 11.0,
    "W4 5 steps runs/s": 1_000,
}


def test_rates_are_shares_and_times_are_scaled() -> None:
    bare = [{"W1 p50 ms": one, "W2 workflows/s": rate} for one, rate in ((2.0, 6_900), (3.0, 13_800))]
    assert beside(FOUND, bare) == {
        "no engine: W1 p50 ms / W2 workflows/s": [2.5, 10_350],
        "W2 python of no engine, at least 0.19": 0.19,
        "W4 5 steps of no engine, at least 0.13": 0.1,
        "W1 yaml added to no engine, ms, at most 2.8": 2.0,
        "W3 ms here, at most 16.0": 11.0,
    }


def test_what_was_not_measured_is_not_judged() -> None:
    assert list(beside({}, [{"W1 p50 ms": 1.9, "W2 workflows/s": 20_700}])) == ["no engine: W1 p50 ms / W2 workflows/s"]
