"""What is opened once: it is called from its opening to its close, in the event loop that opened it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from .errors import ConfigError, ReactorError, StoreFailed

T = TypeVar("T")


class OpenedOnce(ABC):
    """`async with` opens and closes it; what it holds as a `Face` is there in between alone."""

    loop: asyncio.AbstractEventLoop | None = None  # that opened it
    failed: asyncio.Future[ReactorError] | None = None  # what ended it by itself, once something has
    _closed = False

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            open_first = f"the app has no `{name}`, or none before it is open: write `async with app:` around its calls"
            raise AttributeError(open_first, name=name, obj=self)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @abstractmethod
    async def open(self) -> None:
        """Open it; between `check_unopened` and `opened` nothing is kept, so that it may be tried again."""

    @abstractmethod
    async def close(self) -> None:
        """Close it."""

    def check_unopened(self) -> None:
        """Raises ConfigError if it was opened before."""
        if self._closed:
            raise ConfigError("the app is closed, and an App is opened once", hint="make a new App(…) for each opening")
        if self.loop is not None:
            raise ConfigError("the app is open already", hint="use it as it is, or make another App with its own store")

    def opened(self) -> None:
        """It is open, in this event loop."""
        self.loop = asyncio.get_running_loop()
        self.failed = self.loop.create_future()

    def closed(self) -> None:
        """No call is taken from now on."""
        self._closed = True

    def check_use(self) -> None:
        """Raises StoreFailed if it is closed, ReactorError outside the event loop that opened it."""
        if self._closed:
            raise StoreFailed(
                "the app is closed, and takes no calls any more; this one did nothing",
                hint="call it before `close()`, inside its `async with` block; or make a new App of the same store",
            )
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # a thread that has none
            here = None
        if self.loop is None or here is self.loop:
            return
        if self.loop.is_closed():
            raise ReactorError(
                "the event loop that opened the app has ended, and the app with it",
                hint="open an App, use it and close it inside one `asyncio.run(…)`",
            )
        raise ReactorError(
            "the app is used outside the event loop that opened it",
            hint="hand the call to its loop: `asyncio.run_coroutine_threadsafe(app.emit(…), app.loop).result()`",
        )


class Face(Generic[T]):
    """A part that is called. After the close it would take what it cannot write any more, and from another event loop
    wake the wrong one.
    """

    def __set_name__(self, owner: type[OpenedOnce], name: str) -> None:
        self._name = name

    def __get__(self, app: OpenedOnce | None, owner: type[OpenedOnce]) -> T:
        if app is None or self._name not in vars(app):
            raise AttributeError(self._name)  # OpenedOnce.__getattr__ says it in words
        app.check_use()
        return cast("T", vars(app)[self._name])

    def __set__(self, app: OpenedOnce, part: T) -> None:
        vars(app)[self._name] = part
