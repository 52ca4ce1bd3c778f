"""docs/first-steps.md is true: its workflow fails, is cured, and says why an event starts nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from reactor.app import App
from reactor.tests.docs.samples import samples


async def test_the_first_steps(tmp_path: Path) -> None:
    (sample,) = [each for each in samples("yaml") if each.place.startswith("docs/first-steps.md")]
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "orders.yaml").write_text(sample.text)
    async with App(":memory:", project=tmp_path, listen=False) as app:
        result = await app.load()
        assert [each.message for each in result.diagnostics.items] == []
        (run,) = (await app.emit("order.placed", {"order_id": "A1", "total": 12})).runs
        await asyncio.wait_for(app.runs_api.outcome(run), 20)
        failed = await app.get(run)
        shown = [(each["name"], each["state"], each["attempts"]) for each in failed["steps"]]
        assert shown == [("read", "failed", 1), ("tell", "pending", 0)]
        assert failed["error"]["message"] == "read: there is no `prices.json`"

        (tmp_path / "prices.json").write_text('{"currency": "EUR"}')
        await app.runs_api.retry(run)
        assert (await asyncio.wait_for(app.runs_api.outcome(run), 20)).state == "completed"
        assert [each["message"] for each in await app.runs_api.logs(run)] == ["A1 costs 12 EUR"]

        unmatched = await app.emit("order.placed", {"order_id": "A2", "total": 0})
        assert (unmatched.verdict, unmatched.runs) == ("unmatched", ())
        said = await app.events_api.explain(unmatched.event)
        assert 'data.total: expected {"numeric": [">", 0]}, found 0' in str(said)
