"""Paths under `/hooks` whose triggers a reload changes: nobody who posts there notices."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reactor.tests.web.site import Site

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
