"""Local stand-ins of the services that the examples call; each speaks its service's documented wire format.

Sources: Slack, chat.postMessage; PagerDuty, Events API v2 (alert and change events); Amazon S3, ListObjectsV2 and
GetObject; OpenAI, chat completions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web


class StandIns:
    """One server for all of them, each below a path of its own. `async with StandIns() as there`."""

    def __init__(self) -> None:
        self.records: Any = []  # what the API has
        self.objects: dict[str, str] = {}  # what the bucket `papers` has
        self.slack: list[str] = []  # texts posted
        self.slack_ok = True
        self.pagerduty: list[dict[str, Any]] = []
        self.processed: list[tuple[Mapping[str, str], Any]] = []
        self.asked: list[str] = []  # prompts
        self.asking = 0
        self.asking_most = 0
        self.answer: Callable[[str], str] = lambda prompt: f"About <{prompt[:20]}>"
        self.meet = 0  # prompts that wait until so many are there at once
        self.review: Any = {"llm_insights": ["fine"]}
        self.hanging = 0
        self._together = asyncio.Condition()

    async def __aenter__(self) -> StandIns:
        app = web.Application()
        app.add_routes([
            web.get("/api/records", self._records),
            web.get("/api/hang", self._hang),
            web.post("/slack/chat.postMessage", self._slack),
            web.post("/pagerduty/enqueue", self._pagerduty),
            web.post("/pagerduty/change/enqueue", self._pagerduty),
            web.post("/processed", self._processed),
            web.get("/s3/{bucket}", self._list),
            web.get("/s3/{bucket}/{key:.+}", self._object),
            web.post("/model/chat/completions", self._model),
            web.post("/review", self._review),
            web.route("*", "/any/{rest:.*}", self._any),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def _records(self, request: web.Request) -> web.Response:
        return web.json_response(self.records)

    async def _hang(self, request: web.Request) -> web.Response:
        self.hanging += 1
        await asyncio.sleep(3600)
        return web.Response()

    async def _slack(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer xoxb-test":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        message = await request.json()
        if not self.slack_ok:
            return web.json_response({"ok": False, "error": "channel_not_found"})
        self.slack.append(message["text"])
        answer = {"ok": True, "channel": "C1", "ts": "1503435956.000247", "message": {"text": message["text"]}}
        return web.json_response(answer)

    async def _pagerduty(self, request: web.Request) -> web.Response:
        event = await request.json()
        wanted = {"routing_key", "payload"} | (set() if "change" in request.path else {"event_action"})
        if not wanted <= set(event) or event["routing_key"] != "R1":
            return web.json_response({"status": "invalid event", "message": "Event object is invalid"}, status=400)
        self.pagerduty.append({"path": request.path, **event})
        answer = {"status": "success", "message": "Event processed", "dedup_key": event.get("dedup_key")}
        return web.json_response(answer, status=202)

    async def _processed(self, request: web.Request) -> web.Response:
        self.processed.append((dict(request.headers), await request.json()))
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        assert request.query["list-type"] == "2"
        prefix = request.query.get("prefix", "")
        found = [key for key in sorted(self.objects) if key.startswith(prefix)]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>" for key in found
        )
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{request.match_info['bucket']}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        )
        return web.Response(text=text, content_type="application/xml")

    async def _object(self, request: web.Request) -> web.Response:
        return web.Response(text=self.objects[request.match_info["key"]])

    async def _model(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer sk-test":
            return web.json_response({"error": {"message": "no key", "type": "invalid_request_error"}}, status=401)
        asked = await request.json()
        prompt = asked["messages"][-1]["content"]
        self.asked.append(prompt)
        async with self._together:
            self.asking += 1
            self.asking_most = max(self.asking_most, self.asking)
            self._together.notify_all()
            if len(self.asked) <= self.meet:
                await asyncio.wait_for(self._together.wait_for(lambda: self.asking_most >= self.meet), 10)
            self.asking -= 1
        message = {"role": "assistant", "content": self.answer(prompt)}
        usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1741569952, "model": asked["model"]}
        return web.json_response({**answer, "choices": choices, "usage": usage})

    async def _any(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "1", "path": request.match_info["rest"]})

    async def _review(self, request: web.Request) -> web.Response:
        return web.json_response(self.review)
