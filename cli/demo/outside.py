"""What stands for the outside world: a webhook that shows what it gets, and a bank that refuses large sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

LIMIT = 1_000  # the bank charges nothing above


class Outside:
    """A small HTTP server on a free port of this machine. `async with Outside(told) as outside`."""

    def __init__(self, told: Callable[[str, str], None]) -> None:
        self.port = 0
        self._told = told
        self._receipts: dict[str, str] = {}  # by idempotency key: a repeated call charges nothing again
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Outside:
        from aiohttp import web

        app = web.Application()
        app.add_routes([web.post("/webhook", self._webhook), web.post("/charges", self._charge)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _webhook(self, request: web.Request) -> web.Response:
        from aiohttp import web

        said: Mapping[str, Any] = await request.json()
        self._told("webhook", "was told: " + ", ".join(f"{key} {value}" for key, value in said.items()))
        return web.Response(status=204)

    async def _charge(self, request: web.Request) -> web.Response:
        from aiohttp import web

        amount = float((await request.json())["amount"])
        if amount > LIMIT:
            self._told("bank", f"refuses to charge {amount:.2f}: its limit is {LIMIT}")
            return web.json_response({"error": f"the limit is {LIMIT}"}, status=402)
        key = request.headers.get("idempotency-key", "")
        receipt = self._receipts.setdefault(key, f"R-{len(self._receipts) + 1:04}")
        self._told("bank", f"charges {amount:.2f}, receipt {receipt}")
        return web.json_response({"receipt": receipt}, status=201)
