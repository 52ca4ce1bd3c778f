"""HTTP requests under `/hooks` -> events, answered once they are durable, or with the result of the run they start.

Promise: at least once (effectively once with an id: an Idempotency-Key, the sender's delivery id, a CloudEvent's own);
no order. What is not answered with 2xx, the sender repeats. Source: triggers.md, section 3.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import TypeAdapter

from ..core.clock import Clock
from ..core.errors import ConfigError, StoreUnavailable, input_in_doubt
from ..core.event import Delivery, Event, Receipt, Settlement
from ..core.http import HttpRequest, HttpResponse, Refused
from ..core.limits import INBOX_DELIVERIES_MAX, MIB
from .contract import Traits, TriggerContext
from .http_answer import Answers
from .http_body import Bodies
from .http_config import Auth, HttpConfig, Rate
from .signatures import Check, check_of

QUEUE_BYTES_MAX = 64 * MIB  # of one trigger: bodies of requests that wait to be read
KEY_CHARS_MAX = 255
_auth: TypeAdapter[Any] = TypeAdapter(Auth)


class HttpTrigger:
    """Serves one path. Requests wait in a bounded queue until the supervisor reads them."""

    Config: ClassVar[type[HttpConfig]] = HttpConfig
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=False, ordered=False, replays=False, shared=True)

    def __init__(self, config: HttpConfig, context: TriggerContext) -> None:
        self._config = config
        self._context = context
        self._queue: deque[Waiting] = deque()
        self._taken: set[Waiting] = set()  # read, and not settled
        self._bytes = 0
        self._open = 0  # requests not answered yet
        self._more: asyncio.Future[None] | None = None
        self._less: asyncio.Future[None] | None = None
        self._left = False  # its path is another's by now
        self._closed = False
        self._check: Check
        self._bodies: Bodies
        self._bucket = Bucket(config.rate, context.clock) if config.rate is not None else None
        self._answers = Answers(config, context.clock)

    async def connect(self) -> None:
        """Serve the path.

        Raises ConfigError: it is served already, `auth` must be written, or a secret of it is not there.
        """
        routes, config, spec = self._context.routes, self._config, self._context.spec
        if routes is None:
            raise ConfigError(
                f"the trigger {self._context.name} needs a web server, and there is none in this process",
                hint="run it by `reactor serve` or `reactor dev`, or mount `reactor.web.asgi(app)`",
            )
        if config.auth is None and routes.exposed:
            raise ConfigError(
                f"the http trigger {self._context.name} is reached from other machines and does not say who may",
                path="auth",
                hint="write `auth`; if anybody may, `auth: none`",
            )
        auth = config.auth
        if auth is not None and auth != "none":
            auth = _auth.validate_python(self._context.render(auth.model_dump(exclude_unset=True, by_alias=True)))
        self._check = check_of(auth)
        self._bodies = Bodies(spec, self._context.clock, self._check.drop)
        facts = {"auth": config.auth is not None, "origins": tuple(config.cors)}
        try:
            for method in config.methods:
                routes.add(self._context.name, method, config.path, self.handle, bytes_max=spec.max_bytes, facts=facts)
        except ConfigError:
            routes.remove(self.handle)
            raise

    async def read(self) -> Delivery:
        """The next request, as one unit."""
        while not self._queue:
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        waiting = self._queue.popleft()
        self._bytes -= waiting.size
        self._taken.add(waiting)
        waiting.settled.add_done_callback(lambda _: self._settled(waiting))
        self._look()
        return Delivery(tuple(waiting.events), functools.partial(_settle, waiting))

    async def close(self) -> None:
        """Serve nothing more; who is not settled yet is told to come again: what became durable is a duplicate then.
        After `leave` who was read has an answer all the same, once there is one.
        """
        self._closed = True
        if self._context.routes is not None:
            self._context.routes.remove(self.handle)
        for waiting in (*self._queue, *(() if self._left else self._taken)):
            await _settle(waiting, Settlement(again=True))
        self._queue.clear()
        self._bytes = 0

    async def leave(self) -> None:
        """Serve nothing more, and return when what came is durable. Who waits for the end of a run may wait on."""
        self._left = True
        if self._context.routes is not None:
            self._context.routes.remove(self.handle)
        while self._queue or (self._taken and self._context.spec.settle != "completed"):
            self._less = asyncio.get_running_loop().create_future()
            await self._less

    def _settled(self, waiting: Waiting) -> None:
        self._taken.discard(waiting)
        self._look()

    def _look(self) -> None:
        if self._less is not None and not self._less.done():
            self._less.set_result(None)

    def details(self) -> Mapping[str, Any]:
        """Where it is served, and how many requests are open."""
        methods = ", ".join(self._config.methods)
        return {"serves": f"{methods} /hooks{self._config.path}", "open": self._open}

    # -- requests
    async def handle(self, request: HttpRequest) -> HttpResponse:
        """One request, from its proof to its answer. Raises what becomes a problem document."""
        self._check.verify(request.headers, request.body, self._context.clock.now())
        if self._bucket is not None:
            self._bucket.take()
        key = request.headers.get("idempotency-key", "")
        if len(key) > KEY_CHARS_MAX:
            raise Refused(400, "invalid_request", f"an Idempotency-Key has at most {KEY_CHARS_MAX} characters")
        events = self._bodies.events(request, key)
        if len(events) == 1:
            data = events[0].data
            said = self._check.challenge(data)
            if said is not None:
                return HttpResponse(200, said.encode(), {"Content-Type": "text/plain; charset=utf-8"})
            events[0].id = events[0].id or self._check.delivery(request.headers, data)
        if not events:
            return await self._answers.make(events, (), self._behind)
        self._open += 1
        try:
            settlement = await self._accepted(events, len(request.body))
            if key:
                await self._same(events[0], settlement.receipts[0], key)
            return await self._answers.make(events, settlement.receipts, self._behind)
        finally:
            self._open -= 1

    @property
    def _behind(self) -> Any:
        return self._context.routes.behind if self._context.routes is not None else None

    async def _accepted(self, events: list[Event], size: int) -> Settlement:
        """Wait until the events are durable. Raises Refused 503, StoreUnavailable."""
        held = self._open > self._context.spec.max_in_flight if self._answers.result else False
        if held or len(self._queue) >= INBOX_DELIVERIES_MAX or self._bytes + size > QUEUE_BYTES_MAX:
            raise Refused(
                503,
                "resource_limit",
                f"the trigger {self._context.name} has too many open requests",
                hint="repeat the request later",
                headers={"Retry-After": "1"},
            )
        waiting = Waiting(events, size)
        if self._closed or self._left:  # its body took so long
            await _settle(waiting, Settlement(again=True))
        else:
            self._queue.append(waiting)
            self._bytes += size
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
        settlement = await waiting.settled
        if settlement.in_doubt:
            raise input_in_doubt()
        if settlement.again:
            raise StoreUnavailable(
                "nothing was taken: the store refuses writes now, or the trigger stops",
                retry_after_s=settlement.retry_after_s or 1.0,
                hint="repeat the request",
            )
        return settlement

    async def _same(self, event: Event, receipt: Receipt, key: str) -> None:
        """Raise Refused 422 if the key was used before, with another body."""
        if receipt.verdict != "duplicate" or self._behind is None or event.id != key:
            return
        first = await self._behind.event(receipt.event)
        if first.data != event.data:
            raise Refused(
                422,
                "invalid_input",
                f"the Idempotency-Key {key} came before with another body, as the event {receipt.event}",
                hint="use a new key for a new request",
            )


class Waiting:
    """A request between its queue and its settlement."""

    __slots__ = ("events", "settled", "size")

    def __init__(self, events: list[Event], size: int) -> None:
        self.events = events
        self.size = size
        self.settled: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()


async def _settle(waiting: Waiting, settlement: Settlement) -> None:
    if not waiting.settled.done():  # whoever asked may have gone
        waiting.settled.set_result(settlement)


class Bucket:
    """A token bucket: `max` requests in `per` seconds, in bursts of `burst`."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._clock = clock
        self._size = float(rate.burst or rate.max)
        self._per_s = rate.max / rate.per
        self._left = self._size
        self._at = clock.monotonic()

    def take(self) -> None:
        """One request. Raises Refused 429 with the time until the next is taken."""
        now = self._clock.monotonic()
        self._left = min(self._size, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1.0:
            wait = (1.0 - self._left) / self._per_s
            raise Refused(
                429,
                "rate_limited",
                "more requests than the trigger's `rate` allows",
                headers={"Retry-After": str(max(1, -int(-wait // 1)))},
            )
        self._left -= 1.0
