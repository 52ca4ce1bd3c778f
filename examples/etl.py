"""Steps of data_pipeline."""

from __future__ import annotations

from typing import Any

from reactor import StepError


def validate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Every row has an id and an amount that is a number; one that has not stops the load."""
    for number, row in enumerate(rows, 1):
        if not row.get("id") or not isinstance(row.get("amount"), (int, float)):
            raise StepError("invalid_data", f"row {number} has no id or no amount: {row}")
    return {"rows": rows}


def transform(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Amounts in cents, the largest first."""
    done = [{"id": row["id"], "cents": round(row["amount"] * 100)} for row in rows]
    return {"rows": sorted(done, key=lambda row: -row["cents"]), "count": len(done)}
