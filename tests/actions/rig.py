"""How the tests of actions call them: as the engine does, with checked inputs."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.core.errors import ReactorError
from reactor.engine.actions.catalogue import Catalogue
from reactor.engine.actions.contract import Call
from reactor.testing.action_suite import LentServices

KEY = "00112233445566778899aabbccddeeff"


class Rig:
    """A catalogue and what it is lent."""

    def __init__(self, services: Any = None) -> None:
        self.catalogue = Catalogue()
        self.services = services or LentServices()
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.reports: list[tuple[float, str]] = []

    def call(self, name: str, with_: Any, **more: Any) -> Call:
        """The call that the engine would make."""
        fields: dict[str, Any] = {
            "key": KEY,
            "run": "5f3a-1-7",
            "workflow": "ship-order",
            "step": "charge",
            "services": self.services,
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "log": lambda level, message, fields: self.lines.append((level, message, dict(fields))),
            "progress": lambda fraction, message: self.reports.append((fraction, message)),
        }
        return Call(self.catalogue.inputs(name, with_), **{**fields, **more})

    async def __call__(self, name: str, with_: Any, **more: Any) -> Any:
        """Carry it out."""
        return await self.catalogue.action(name).execute(self.call(name, with_, **more))


async def failed(action: str, rig: Rig, with_: Any, **more: Any) -> ReactorError:
    """The error with which a call ends."""
    with pytest.raises(ReactorError) as caught:
        await rig(action, with_, **more)
    return caught.value
