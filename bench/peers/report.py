"""The figures of all engines in one table, and how many times faster Reactor is than each peer."""

from __future__ import annotations

from typing import Any

Figures = dict[str, Any]

COLUMNS = {
    "W1 p50 ms": "{:,.2f}",
    "W1 p99 ms": "{:,.2f}",
    "W2 workflows/s": "{:,.1f}",
    "W3 p50 ms": "{:,.1f}",
    "W4 runs/s": "{:,.1f}",
}
FORMS = ("python", "yaml")
WANTED = {"Restate": 10.0, "DBOS": 40.0}  # how many times as many five-step workflows a second (W2)
UNSTEADY = 1.25  # two measurements of Reactor further apart than this make every ratio of the run doubtful


def reactor_figures(found: dict[str, Any]) -> dict[str, Figures]:
    """What `bench/workflows.py` measured, in the columns here, by form. W3 and W4 exist in one form, and stand for
    both.
    """
    return {
        form: {
            "W1 p50 ms": found[f"W1 {form} p50/p99 ms"][0],
            "W1 p99 ms": found[f"W1 {form} p50/p99 ms"][1],
            "W2 workflows/s": found[f"W2 {form} workflows/s"],
            "W3 p50 ms": found["W3 p50 ms"],
            "W4 runs/s": found["W4 runs/s"],
        }
        for form in FORMS
    }


def mean(first: Figures, last: Figures) -> Figures:
    """The means of two measurements of the same engine."""
    return {column: (first[column] + last[column]) / 2 for column in COLUMNS}


def apart(first: Figures, last: Figures) -> float:
    """The largest factor between two measurements, p99 left out."""
    pairs = [(first[column], last[column]) for column in COLUMNS if "p99" not in column]
    return max(max(pair) / min(pair) for pair in pairs)


def ratios(reactor: Figures, peer: Figures) -> Figures:
    """How many times faster Reactor is, by column: rates are divided by the peer's, times divide them."""
    return {
        column: reactor[column] / peer[column] if column.endswith("/s") else peer[column] / reactor[column]
        for column in COLUMNS
        if peer.get(column)
    }


def compared(reactor: dict[str, dict[str, Figures]], peers: dict[str, Figures]) -> dict[str, dict[str, Figures]]:
    """The ratios by peer and by "store, form" of Reactor; a peer's `stores` says with which it is compared."""
    return {
        name: {
            f"{store}, {form}": ratios(reactor[store][form], figures)
            for store in figures["stores"]
            if store in reactor
            for form in FORMS
        }
        for name, figures in peers.items()
    }


def table(reactor: dict[str, dict[str, Figures]], peers: dict[str, Figures], not_measured: dict[str, str]) -> list[str]:
    """The lines to print: figures, ratios, what was not measured and why."""
    head = f"{'':44}" + "".join(f"{column:>16}" for column in COLUMNS)
    lines = [head]
    for store, forms in reactor.items():
        lines.extend(row(f"Reactor, {store}, {form}", figures) for form, figures in forms.items())
    lines.extend(row(f"{name} ({figures['version']})", figures) for name, figures in peers.items())
    lines += ["", f"{'how many times faster Reactor is than':44}" + head[44:]]
    for name, against in compared(reactor, peers).items():
        for place, factors in against.items():
            lines.append(row(f"{name}: {place}", factors, "{:,.1f}x"))
    missing = dict(not_measured)
    for name, figures in peers.items():
        missing |= {f"{name}, {part}": why for part, why in figures["failed"].items()}
    if missing:
        lines += ["", *(f"not measured: {name}: {why}" for name, why in missing.items())]
    return lines


def verdicts(ratios: dict[str, dict[str, Figures]]) -> list[str]:
    """A line for each peer that W2 is to be some times as fast as: with the worst of its ratios, met or missed."""
    lines: list[str] = []
    for name, wanted in WANTED.items():
        found = {
            f"{peer}: {place}": factors["W2 workflows/s"]
            for peer, against in ratios.items()
            if peer.partition(",")[0] == name
            for place, factors in against.items()
            if "W2 workflows/s" in factors
        }
        if not found:
            lines.append(f"W2 against {name}: wanted {wanted:g}x, not measured")
            continue
        worst, factor = min(found.items(), key=lambda each: each[1])
        said = "met" if factor >= wanted else "missed"
        lines.append(f"W2 against {name}: wanted {wanted:g}x, least {factor:,.1f}x ({worst}): {said}")
    return lines


def row(name: str, figures: Figures, shape: str = "") -> str:
    """One line; a column without a figure holds a dash."""
    cells = [(shape or COLUMNS[column]).format(figures[column]) if figures.get(column) else "-" for column in COLUMNS]
    return f"{name:44}" + "".join(f"{cell:>16}" for cell in cells)
