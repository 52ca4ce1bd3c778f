"""What is stored with a run's end: outputs and error hold no secret, and the error is bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from reactor.app import App
from reactor.core.limits import INLINE_BYTES_MAX
from reactor.language.loader import load_text
from reactor.store.contract import RunFilter

FLOWS = """
workflow: leaks
outputs: {all: "${{ steps.made.output }}"}
steps:
  - {name: says, command: {argv: [printf, "%s", "${{ secrets.door }}"]}}
  - {name: made, transform: {whole: "${{ 'sword' + 'fish-9' }}", fine: yes}}
---
workflow: fails
steps:
  - {name: says, command: {argv: [printf, "%s", "${{ secrets.door }}"]}}
  - {name: made, transform: {whole: "${{ 'sword' + 'fish-9' }}"}}
  - {name: nested, group: {steps: [{name: inner, transform: "${{ steps.made.output.whole }}"}]}}
  - {name: stop, fail: {message: no luck, code: unlucky}}
---
workflow: large
inputs: {text: string}
steps:
  - {name: a, transform: "${{ inputs.text }}"}
  - {name: b, transform: "${{ inputs.text }}"}
  - {name: c, transform: 7}
  - {name: d, transform: ["${{ inputs.text }}", "${{ inputs.text }}"]}
  - {name: stop, fail: {message: no luck, code: unlucky}}
"""


async def ended(app: App, workflow: str, **inputs: Any) -> dict[str, Any]:
    handle = await app.start(workflow, inputs)
    await app.runs_api.outcome(handle.id)
    return await app.get(handle.id)


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REACTOR_SECRET_DOOR", "swordfish-9")
    async with App() as app:
        found = load_text(FLOWS, "flows.yaml", app.vocabulary())
        assert not found.diagnostics.errors
        await app.deploys.deploy(found.loaded)
        yield app


@pytest.mark.rule("11.3")
async def test_no_secret_is_in_the_outputs_and_the_error_of_a_run(app: App) -> None:
    """However it came there: here a computed step puts it together again."""
    run = await ended(app, "leaks")
    assert (run["state"], run["outputs"]) == ("completed", {"all": {"whole": "***", "fine": "yes"}})
    run = await ended(app, "fails")
    said = run["error"]["results"]
    assert (said["says"]["stdout"], said["made"], said["nested"]) == ("***", {"whole": "***"}, {"inner": "***"})
    rows = await app.store.runs(RunFilter(), limit=10)
    assert rows
    assert all(b"swordfish-9" not in msgspec.json.encode(row) for row in rows)


@pytest.mark.rule("11.3")
@pytest.mark.parametrize("secret", ["k", "5", "park", "code", "1767", "true", "failed", "stdout"])
async def test_a_secret_that_is_a_word_of_the_record_leaves_the_record_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str
) -> None:
    monkeypatch.setenv("REACTOR_SECRET_DOOR", secret)
    url = f"sqlite:///{tmp_path}/r.db"
    async with App(url) as app:
        found = load_text(FLOWS, "flows.yaml", app.vocabulary())
        await app.deploys.deploy(found.loaded)
        run = await ended(app, "fails")
        assert (run["state"], run["error"]["code"], run["error"]["class"]) == ("failed", "unlucky", "park")
        assert [step["state"] for step in run["steps"]] == ["completed"] * 4 + ["failed"]
        assert run["steps"][0]["output"]["stdout"] == "***"
        assert run["error"]["results"]["says"]["stdout"] == "***"
    async with App(url) as app:
        assert await app.get(run["id"]) == run


async def test_the_error_of_a_run_keeps_results_up_to_a_limit(app: App) -> None:
    """In the order in which the steps completed, as far as they fit; of the others the name."""
    text = "x" * (INLINE_BYTES_MAX * 2 // 3)
    run = await ended(app, "large", text=text)
    assert run["error"]["results"] == {"a": text, "b": None, "c": 7, "d": None}
    assert [step["output"] for step in run["steps"]][:3] == [text, text, 7]
