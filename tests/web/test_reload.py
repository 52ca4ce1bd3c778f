"""Paths under `/hooks` whose triggers a reload changes: nobody who posts there notices."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reactor.tests.web.site import Site
from reactor.triggers import isolation

FLOW = "workflow: {name}\nwhen: [{{http: {{path: /x, {keys}}}}}]\nsteps: [{{log: {{message: x}}}}]\n"
HEAD = b"POST /hooks/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 8\r\n"
CLOSE = b"Connection: close\r\n\r\n"


class Reloaded(Site):
    """A site with one workflow file, which a test writes anew."""

    def __init__(self, root: Path) -> None:
        (root / "workflows").mkdir()
        (root / "reactor.yaml").write_text("vars: {}\n")
        self.file = root / "workflows" / "hook.yaml"
        super().__init__(project=root)

    async def load(self, keys: str, name: str = "hook") -> None:
        self.file.write_text(FLOW.format(name=name, keys=keys))
        assert not (await self.app.load()).diagnostics.errors
        assert [status.state for status in self.app.supervisor.status()] == ["connected"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Reloaded]:
    async with Reloaded(tmp_path) as site:
        await site.load("method: POST")
        yield site


@pytest.mark.rule("10.3")
async def test_no_request_is_refused_while_a_path_changes_hands(site: Reloaded) -> None:
    """Its keys change (a new trigger), what stands beside them (the same one), the workflow's name too."""
    answers: collections.Counter[int] = collections.Counter()
    done = asyncio.Event()

    async def post() -> None:
        while not done.is_set():
            answers[(await site.post("/hooks/x", {})).status] += 1

    posting = [asyncio.ensure_future(post()) for _ in range(4)]
    for name, keys in [("hook", "cors: ['http://a']"), ("hook", "method: [POST, PUT]"), ("other", "wait: 9s")]:
        before = answers.total()
        await site.load(keys, name)
        await site.until(lambda before=before: answers.total() > before + 20)
    site.file.write_text(FLOW.format(name="other", keys="wait: 9s").replace("wait: 9s}", "wait: 9s}, max_in_flight: 7"))
    assert not (await site.app.load()).diagnostics.errors
    before = answers.total()
    await site.until(lambda: answers.total() > before + 20)
    done.set()
    await asyncio.gather(*posting)
    assert set(answers) == {202}
    taken = {verdict: 0 for _, verdict in site.app.counts.by_verdict}
    for (_, verdict), count in site.app.counts.by_verdict.items():
        taken[verdict] += count
    assert taken == {"accepted": answers.total()}, "each of them met the rules that its trigger belongs to"


async def test_a_request_whose_body_comes_while_its_path_changes_hands_is_taken(site: Reloaded) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
    writer.write(HEAD + CLOSE + b'{"a"')
    await writer.drain()
    await site.get("/healthz")  # it has come that far
    await site.load("method: [POST, PUT]")
    writer.write(b": 1}")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 202")
    writer.close()


async def test_a_request_whose_body_comes_while_its_trigger_is_paused_comes_again(site: Reloaded) -> None:
    """It hung for ever: nobody read the queue of the trigger that was gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
    writer.write(HEAD + CLOSE + b'{"a"')
    await writer.drain()
    await site.get("/healthz")  # it has come that far
    [status] = site.app.supervisor.status()
    await site.app.supervisor.pause(status.name)
    writer.write(b": 1}")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"nothing was taken: the store refuses writes now, or the trigger stops" in answer
    writer.close()


RESULT = """
workflow: hook
when: [{{http: {{path: /x, respond: result, {keys}}}, settle: {settle}}}]
outputs: {{given: "${{{{ steps.s.output }}}}"}}
steps: [{{name: s, wait: {{event: {{type: go}}}}}}]
"""


@pytest.mark.rule("10.3")
@pytest.mark.parametrize("settle", ["accepted", "completed"])
@pytest.mark.parametrize("ended", ["changed", "gone"])
async def test_who_waits_for_a_result_has_it_after_a_reload(
    site: Reloaded, settle: str, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reload waits for no run, and who asked before it is answered long after its trigger is gone."""
    monkeypatch.setattr(isolation, "CLOSE_S_MAX", 0.2)
    site.file.write_text(RESULT.format(keys="wait: 200s", settle=settle))
    assert not (await site.app.load()).diagnostics.errors
    asked = asyncio.ensure_future(site.post("/hooks/x", {}))
    await site.until(lambda: bool(site.app.engine.executor.runs))
    if ended == "changed":
        site.file.write_text(RESULT.format(keys="wait: 201s", settle=settle))
    else:
        site.file.write_text("workflow: hook\nsteps: [{log: {message: x}}]\n")
    assert not (await site.app.load()).diagnostics.errors
    await site.until(lambda: all(task.done() for task in site.app.supervisor._leaving))
    if ended == "changed":
        assert [status.state for status in site.app.supervisor.status()] == ["connected"]
    assert not asked.done()
    await site.app.emit("go", {"n": 1})
    answer = await asyncio.wait_for(asked, 20)
    assert (answer.status, answer.json["given"]["data"]) == (200, {"n": 1})


@pytest.mark.parametrize("word", ["pause", "resume"])
async def test_a_trigger_that_a_reload_removes_meanwhile_is_not_found(word: str, site: Reloaded) -> None:
    [status] = site.app.supervisor.status()
    switch = getattr(site.app.supervisor, word)

    async def reload_first(*given: Any, **more: Any) -> None:
        await site.app.supervisor.apply({})
        await switch(*given, **more)

    setattr(site.app.supervisor, word, reload_first)
    reply = await site.post(f"/api/v1/triggers/{status.name}/{word}", {})
    assert reply.problem() == {
        "status": 404,
        "code": "not_found",
        "detail": f"there is no trigger `{status.name}`",
        "hint": "`reactor trigger list` lists them",
    }
