"""What http triggers are lent: how runs end, and events by their key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..core.event import Event, Outcome, decode_stored

if TYPE_CHECKING:
    from ..app import App


class Lent:
    """The store and the runs of an app, as `core.http.Behind`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def outcome(self, run: str) -> Outcome:
        """See Behind.outcome."""
        return await self._app.runs_api.outcome(run)

    async def run(self, run: str) -> Mapping[str, Any]:
        """See Behind.run."""
        return await self._app.runs_api.get(run)

    async def event(self, key: str) -> Event:
        """See Behind.event."""
        return decode_stored((await self._app.events_api.row(key)).body)
