"""Values inside addresses: percent-encoded in steps and in handlers, and judged by what decides the host."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from reactor.tests.engine.rig import Rig


@pytest.fixture
async def seen() -> AsyncIterator[tuple[str, list[str]]]:
    """The base of a server of this machine, and the raw paths that it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.raw_path}")
        return web.json_response({"id": "a/b?c"})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


FLOW = """
workflow: addresses
inputs: {order: string}
steps:
  - name: charge
    http: {method: PUT, url: "${{ vars.base }}/charges/${{ inputs.order }}", json: {order: "${{ inputs.order }}"}}
    compensate: {http: {method: PUT, url: "${{ vars.base }}/refunds/${{ output.json.id }}"}}
  - {name: refuse, fail: {message: no}}
"""


async def test_values_are_encoded_in_steps_and_handlers_and_the_base_is_not(seen: tuple[str, list[str]]) -> None:
    base, asked = seen
    async with Rig(":memory:", vars={"base": f"{base}/v1"}) as rig:
        await rig.deploy(FLOW)
        run = await rig.run("addresses", {"order": "../x y"})
        await rig.engine.executor.actions.close()
    assert run["state"] == "compensated"
    assert asked == ["PUT /v1/charges/..%2Fx%20y", "PUT /v1/refunds/a%2Fb%3Fc"]


async def test_a_port_may_stand_in_a_host_that_is_a_value(seen: tuple[str, list[str]]) -> None:
    base, asked = seen
    host = base.removeprefix("http://")
    async with Rig(":memory:", vars={"host": host}) as rig:
        await rig.deploy('workflow: hosts\nsteps: [{http: {url: "http://${{ vars.host }}/a"}}]')
        assert (await rig.run("hosts"))["state"] == "completed"
        await rig.engine.executor.actions.close()
    assert asked == ["GET /a"]


@pytest.mark.parametrize("url", ["${{ inputs.base }}/a", "http://${{ inputs.base }}/a", "${{ inputs.base }}"])
async def test_a_private_host_that_the_inputs_choose_is_refused(seen: tuple[str, list[str]], url: str) -> None:
    base, asked = seen
    given = base.removeprefix("http://") if url.startswith("http") else base
    async with Rig(":memory:") as rig:
        await rig.deploy(f'workflow: chosen\ninputs: {{base: string}}\nsteps: [{{http: {{url: "{url}"}}}}]')
        run = await rig.run("chosen", {"base": given})
        await rig.engine.executor.actions.close()
    assert run["error"]["code"] == "blocked_address"
    assert asked == []
