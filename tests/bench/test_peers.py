"""The table of `make bench-peers`: which figures are compared, and which way a ratio goes."""

import pytest

from reactor.bench.peers import report

FOUND = {
    "W1 python p50/p99 ms": [2.0, 4.0],
    "W1 yaml p50/p99 ms": [2.5, 5.0],
    "W2 python workflows/s": 5000,
    "W2 python CPU us/workflow": 150,
    "W2 yaml workflows/s": 4000,
    "W2 yaml CPU us/workflow": 200,
    "W3 p50 ms": 5.0,
    "W4 runs/s": 2000.0,
}
PEER = {
    "W1 p50 ms": 20.0,
    "W1 p99 ms": 40.0,
    "W2 workflows/s": 50.0,
    "W3 p50 ms": 100.0,
    "version": "1.2",
    "stores": ("SQLite", "PostgreSQL"),
    "failed": {},
}


def test_the_figures_of_each_form_are_taken_and_w3_and_w4_stand_for_both() -> None:
    assert report.reactor_figures(FOUND) == {
        "python": {"W1 p50 ms": 2.0, "W1 p99 ms": 4.0, "W2 workflows/s": 5000, "W3 p50 ms": 5.0, "W4 runs/s": 2000.0},
        "yaml": {"W1 p50 ms": 2.5, "W1 p99 ms": 5.0, "W2 workflows/s": 4000, "W3 p50 ms": 5.0, "W4 runs/s": 2000.0},
    }


def test_a_ratio_over_one_says_that_reactor_is_faster_in_time_and_in_rate() -> None:
    python = report.reactor_figures(FOUND)["python"]
    assert report.ratios(python, PEER) == {
        "W1 p50 ms": 10.0,
        "W1 p99 ms": 10.0,
        "W2 workflows/s": 100.0,
        "W3 p50 ms": 20.0,
    }
    assert report.ratios(python, {**PEER, "W1 p50 ms": 1.0})["W1 p50 ms"] == 0.5


def test_what_a_peer_did_not_do_has_no_ratio() -> None:
    python = report.reactor_figures(FOUND)["python"]
    assert "W2 workflows/s" not in report.ratios(python, {"W1 p50 ms": 20.0})


def test_a_peer_is_compared_with_its_stores_as_far_as_they_were_measured() -> None:
    reactor = {"SQLite": report.reactor_figures(FOUND)}
    assert list(report.compared(reactor, {"P": PEER})["P"]) == ["SQLite, python", "SQLite, yaml"]
    assert report.compared(reactor, {"P": {**PEER, "stores": ("PostgreSQL",)}}) == {"P": {}}


def test_two_measurements_give_their_mean_and_the_largest_factor_between_them() -> None:
    first = report.reactor_figures(FOUND)["python"]
    last = {**first, "W1 p99 ms": 40.0, "W2 workflows/s": 2500}
    assert report.mean(first, last) == {**first, "W1 p99 ms": 22.0, "W2 workflows/s": 3750.0}
    assert report.apart(first, last) == pytest.approx(2.0)


@pytest.mark.req("Q-11")
def test_the_wanted_ratios_are_met_or_missed_by_the_worst() -> None:
    reactor = {store: report.reactor_figures(FOUND) for store in ("SQLite", "PostgreSQL")}
    peers = {
        "DBOS, SQLite": {**PEER, "W2 workflows/s": 100.0, "stores": ("SQLite",)},
        "DBOS, PostgreSQL": {**PEER, "W2 workflows/s": 90.0, "stores": ("PostgreSQL",)},
        "Restate": {**PEER, "W2 workflows/s": 410.0},
    }
    assert report.verdicts(report.compared(reactor, peers)) == [
        "W2 against Restate: wanted 10x, least 9.8x (Restate: SQLite, yaml): missed",
        "W2 against DBOS: wanted 40x, least 40.0x (DBOS, SQLite: SQLite, yaml): met",
    ]
    del peers["Restate"]["W2 workflows/s"]
    assert report.verdicts(report.compared(reactor, peers))[0] == "W2 against Restate: wanted 10x, not measured"


def test_the_table_shows_figures_ratios_and_what_was_not_measured() -> None:
    reactor = {"SQLite": report.reactor_figures(FOUND)}
    refusing = {**PEER, "stores": ("SQLite",), "failed": {"W2": "TimeoutError: 9 of 100 had ended after 30 s"}}
    del refusing["W2 workflows/s"]
    lines = report.table(reactor, {"Peer": refusing}, {"Other": "there is no Go here to build its server with"})
    assert [" ".join(line.split()) for line in lines] == [
        "W1 p50 ms W1 p99 ms W2 workflows/s W3 p50 ms W4 runs/s",
        "Reactor, SQLite, python 2.00 4.00 5,000.0 5.0 2,000.0",
        "Reactor, SQLite, yaml 2.50 5.00 4,000.0 5.0 2,000.0",
        "Peer (1.2) 20.00 40.00 - 100.0 -",
        "",
        "how many times faster Reactor is than W1 p50 ms W1 p99 ms W2 workflows/s W3 p50 ms W4 runs/s",
        "Peer: SQLite, python 10.0x 10.0x - 20.0x -",
        "Peer: SQLite, yaml 8.0x 8.0x - 20.0x -",
        "",
        "not measured: Other: there is no Go here to build its server with",
        "not measured: Peer, W2: TimeoutError: 9 of 100 had ended after 30 s",
    ]
