"""`POST /events`: CloudEvents in, in all three content modes; answered once they are durable (semantics 1.2, 1.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..connections.cloudevents_http import received
from ..core.http import Refused
from .access import check
from .tokens import Tokens
from .wire import Receive, Scope, Send, answer, answer_json, headers_of, read_body

if TYPE_CHECKING:
    from ..app import App


class EventsIn:
    """The handler of `/events`."""

    def __init__(self, app: App, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises what becomes a problem document: InvalidEvent, Refused, StoreUnavailable."""
        headers = headers_of(scope)
        method = scope["method"]
        if method not in ("POST", "OPTIONS"):
            raise Refused(
                405,
                "method_not_allowed",
                f"/events takes POST; found {method}",
                hint="events are listed at /api/v1/events",
                headers={"Allow": "OPTIONS, POST"},
            )
        check(self._tokens, scope, headers, "emit")
        if method == "OPTIONS":
            await answer(send, 200, headers=handshake(headers, "OPTIONS, POST"))
            return
        server = self._app.project.server
        body = await read_body(receive, headers, server.body_bytes_max)
        events, batched = received(headers, body, bytes_max=server.body_bytes_max, depth_max=server.depth_max)
        receipts = await self._app.events_api.publish(events, checked=True)
        if batched:
            found: dict[str, Any] = {
                "ids": [event.id for event in events],
                "keys": [receipt.event for receipt in receipts],
                "verdicts": [receipt.verdict for receipt in receipts],
                "runs": [run for receipt in receipts for run in receipt.runs],
            }
        else:
            receipt = receipts[0]
            found = {"id": events[0].id, "key": receipt.event, "verdict": receipt.verdict, "runs": receipt.runs}
            if receipt.error is not None:
                found["error"] = msgspec.to_builtins(receipt.error)
        await answer_json(scope, send, 202, found)


def handshake(headers: dict[str, str], methods: str) -> list[tuple[bytes, bytes]]:
    """The answer to a validation request (CloudEvents 1.0.2, Web Hooks, section 4): this sender may, at any rate."""
    found = [(b"allow", methods.encode())]
    origin = headers.get("webhook-request-origin")
    if origin is not None:
        found += [(b"webhook-allowed-origin", origin.encode("latin-1")), (b"webhook-allowed-rate", b"*")]
    return found
