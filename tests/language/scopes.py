"""A scope and values for tests of expressions."""

from typing import Any

from reactor.language.cel import Activation
from reactor.language.scope import ANY, EVENT, TEXT, Name, Scope

SCOPE = Scope(
    {
        "event": EVENT,
        "vars": ANY,
        "env": ANY,
        "inputs": Name(
            "object",
            {
                "order_id": TEXT,
                "total": Name("number"),
                "paid": Name("boolean"),
                "address": Name("object", {"city": TEXT}, open=False),
                "items": Name("array"),
            },
            open=False,
        ),
        "steps": Name(
            "object",
            {"charge": Name("object", {"output": ANY, "state": TEXT, "error": ANY}, open=False), "a-b": ANY},
            open=False,
            whole=False,
        ),
    }
)

ROOTS: dict[str, Any] = {
    "event": {
        "id": "e1",
        "type": "order.paid",
        "time": "2026-12-24T18:00:00+01:00",
        "data": {
            "total": 150,
            "price": 1.5,
            "country": "DE",
            "nothing": None,
            "paid": True,
            "items": [{"sku": "a", "part": None}, {"sku": "b", "part": {"size": 1}}],
            "numbers": [1, 2, 3],
            "in": 5,
            "huge": 2**70,
            "unsigned": 2**63,
            "text": "7",
        },
    },
    "vars": {"field": "total", "limit": 100},
    "env": {},
    "inputs": {"order_id": "A1", "total": 3, "paid": False, "address": {"city": "Oslo"}, "items": []},
    "steps": {"charge": {"output": {"id": 7}, "state": "completed"}, "a-b": {"output": 1}},
}


def activation(**more: Any) -> Activation:
    """A fresh activation of the values above."""
    return Activation({**ROOTS, **more})
