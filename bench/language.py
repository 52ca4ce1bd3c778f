"""What the envelope and the definitions cost: decode and encode an event, look up, validate, load many files.

`python -P -m reactor.bench.language [--json FILE]`
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reactor import App
from reactor.bench.figures import show, words
from reactor.core.event import decode, encode
from reactor.language.loader import load_files, load_text

EVENT = json.dumps(
    {
        "specversion": "1.0",
        "id": "4f1c2f0e-9f61-4c9f-8f1d-6a1d0a3f7a11",
        "source": "/shop/orders",
        "type": "com.shop.order.paid",
        "subject": "orders/17",
        "time": "2026-03-01T10:00:00Z",
        "datacontenttype": "application/json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": {"order": "A1", "lines": [{"sku": f"S{i}", "qty": i, "note": "x" * 40} for i in range(9)]},
    }
).encode()

SMALL = """
workflow: w{i}
inputs: {{id: string}}
when: [{{event: com.shop.order.{i}, if: event.data.total > {i}, with: {{id: "${{{{ event.data.id }}}}"}}}}]
steps:
  - {{name: a, transform: {{id: "${{{{ inputs.id }}}}"}}}}
  - {{name: b, log: {{message: "order ${{{{ steps.a.output.id }}}}"}}}}
"""


def best_us(call: Callable[[], Any], number: int, rounds: int = 9) -> float:
    """Microseconds of one call: the best of several rounds, which other work on the machine disturbs least."""
    found: list[float] = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(number):
            call()
        found.append((time.process_time() - begun) / number * 1e6)
    return min(found)


def steps_text(count: int) -> str:
    """A list of steps that hand a value on."""
    lines = ["workflow: many", "inputs: {n: integer}", "steps:"]
    for i in range(count):
        source = f"steps.s{i - 1}.output.n" if i else "inputs.n"
        lines.append(f'  - {{name: s{i}, transform: {{n: "${{{{ {source} }}}}"}}}}')
    return "\n".join(lines)


def measured() -> dict[str, Any]:
    """Every figure."""
    app = App()
    known = app.vocabulary()
    event = decode(EVENT)
    found: dict[str, Any] = {
        "event of 1 KiB, decode and check, us": round(best_us(lambda: decode(EVENT), 20_000), 2),
        "event of 1 KiB, encode, us": round(best_us(lambda: encode(event), 20_000), 2),
    }
    for count in (20, 100):
        times: list[float] = []
        for i in range(7):
            text = steps_text(count).replace("many", f"many{i}")
            begun = time.process_time()
            assert load_text(text, "many.yaml", known).loaded
            times.append((time.process_time() - begun) * 1e3)
        found[f"validate {count} steps, ms"] = round(statistics.median(times), 2)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"w{i}.yaml" for i in range(1_000)]
        for i, path in enumerate(paths):
            path.write_text(SMALL.format(i=i))
        begun = time.perf_counter()
        assert len(load_files(paths, known).loaded) == 1_000
        found["load 1 000 workflow files, s"] = round(time.perf_counter() - begun, 2)
    return found


def main() -> None:
    """Measure and print."""
    said = words(__doc__).parse_args()
    show(measured(), said.json)


if __name__ == "__main__":
    main()
