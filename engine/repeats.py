"""Signals that are sent again with the same key: they take effect once, and are answered like the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from ..store.contract import JournalRow, Kind, Store
from .run import CancelRequest, Transition

_transition = msgspec.json.Decoder(Transition).decode
_cancel = msgspec.json.Decoder(CancelRequest).decode
_any = msgspec.json.Decoder().decode


class Repeats:
    """Finds keys where their signals left them: in the run's history, and with its cancel."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def once(self, number: int, word: str, key: str, act: Callable[[str], Awaitable[Any]]) -> None:
        """Carry out the signal `word` unless one with this key was; `act` gets what it is to leave behind."""
        if not key:
            await act("")
            return
        left = f"{word} {key}"
        async with self._locks.setdefault(number, asyncio.Lock()):
            if not await self._left(number, left):
                await act(left)

    async def _left(self, number: int, left: str) -> bool:
        row = await self._store.run(number)
        if row is not None and row.cancel and _cancel(row.cancel).key == left:
            return True
        rows = await self._store.journal(number)
        return any(item.kind == Kind.TRANSITION and _transition(item.body).key == left for item in rows)

    async def answered(self, number: int, step: int, answer: dict[str, Any]) -> bool:
        """Was this very answer given to the approval at this place of the plan?"""

        def same(item: JournalRow) -> bool:
            return item.kind == Kind.SIGNAL and item.ord >> 40 == step and _any(item.body) == answer

        return any(same(item) for item in await self._store.journal(number))
