"""Python steps of the demo: plain functions, called by their place `module:name`."""

from __future__ import annotations

import csv
from typing import Any

COLUMNS = ("order_id", "customer", "item", "amount")


def check_rows(path: str) -> dict[str, Any]:
    """Read a CSV file of orders and tell the good rows from the bad, each bad one with its line and the reason."""
    good: list[dict[str, Any]] = []
    bad: list[str] = []
    with open(path, newline="", encoding="utf-8") as file:
        for row in (reader := csv.DictReader(file)):
            missing = [name for name in COLUMNS if not row.get(name)]
            if missing:
                bad.append(f"line {reader.line_num}: no {', no '.join(missing)}")
                continue
            try:
                amount = float(row["amount"])
            except ValueError:
                bad.append(f"line {reader.line_num}: the amount is no number: {row['amount']}")
                continue
            good.append({**{name: row[name] for name in COLUMNS}, "amount": amount})
    return {"good": good, "bad": bad}


def write_report(name: str, good: list[dict[str, Any]], bad: list[str]) -> str:
    """The report's text."""
    total = sum(row["amount"] for row in good)
    lines = [f"Report on {name}", "", f"Loaded:  {len(good)} orders, {total:.2f} in all", f"Refused: {len(bad)}"]
    return "\n".join([*lines, *(f"  {each}" for each in bad)]) + "\n"
