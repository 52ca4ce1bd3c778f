"""The requests whose answers a release files. `keep` names a part of the answer that later paths hold in braces."""

from typing import Any

YAML = "application/yaml"
CLOUD = "application/cloudevents+json"
ORDER = """
workflow: order
version: 1.2.0
tags: [eu]
inputs: {id: string, total: {type: number, minimum: 0}}
outputs: {sum: "${{ steps.add.output.sum }}"}
labels: {order: "${{ inputs.id }}"}
when: [{event: shop.paid, match: {data: {country: [DE]}}, if: event.data.total > 5}]
steps:
  add: {transform: {sum: "${{ inputs.total + 1.0 }}"}}
  check: {needs: [add], fail: {message: too much}, if: inputs.total > 100}
"""


def paid(id: str, total: float, country: str = "DE") -> dict[str, Any]:
    """An event of a shop."""
    data = {"id": "A1", "total": total, "country": country}
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": "shop.paid", "data": data}


REQUESTS: list[dict[str, Any]] = [
    {"method": "GET", "path": "/healthz"},
    {"method": "GET", "path": "/readyz"},
    {"method": "PUT", "path": "/api/v1/workflows/order", "type": YAML, "text": ORDER},
    {"method": "PUT", "path": "/api/v1/workflows/order", "type": YAML, "text": ORDER},
    {"method": "PUT", "path": "/api/v1/workflows/bad", "type": YAML, "text": "workflow: bad\nsteps: [{lgo: {}}]\n"},
    {"method": "GET", "path": "/api/v1/workflows"},
    {"method": "GET", "path": "/api/v1/workflows/order"},
    {
        "method": "POST",
        "path": "/events",
        "type": CLOUD,
        "json": paid("1", 7.5),
        "keep": {"event": "key", "run": "runs.0"},
    },
    {"method": "GET", "path": "/api/v1/runs/{run}"},
    {"method": "GET", "path": "/api/v1/events/{event}/explain"},
    {"method": "POST", "path": "/events", "type": CLOUD, "json": paid("1", 7.5)},
    {"method": "POST", "path": "/events", "type": CLOUD, "json": {"id": "2"}},
    {"method": "POST", "path": "/events", "type": CLOUD, "json": paid("3", 700), "keep": {"run": "runs.0"}},
    {"method": "GET", "path": "/api/v1/runs/{run}"},
    {"method": "GET", "path": "/api/v1/runs?state=failed&label=order=A1"},
    {"method": "GET", "path": "/api/v1/events?limit=1"},
    {"method": "POST", "path": "/api/v1/runs", "json": {"workflow": "order", "inputs": {"id": "B", "total": 1}}},
    {"method": "POST", "path": "/api/v1/runs", "json": {"workflow": "order", "inputs": {"id": "B", "total": "x"}}},
    {"method": "POST", "path": "/api/v1/runs", "json": {"workflow": "ordr"}},
    {"method": "GET", "path": "/api/v1/runs/no-such-run"},
    {"method": "GET", "path": "/api/v1/dead-letters"},
    {"method": "GET", "path": "/api/v1/triggers"},
    {"method": "POST", "path": "/api/v1/workflows/order/disable", "json": {}},
    {"method": "POST", "path": "/events", "type": CLOUD, "json": paid("4", 7.5)},
    {"method": "DELETE", "path": "/api/v1/workflows/order"},
    {"method": "GET", "path": "/api/v1/workflows/order"},
]
