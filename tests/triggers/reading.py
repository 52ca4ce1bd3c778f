"""Reading a broker's trigger by hand, as the supervisor and a store would."""

from __future__ import annotations

import asyncio

from reactor.core.errors import ConfigError, NotConnected
from reactor.testing.trigger_suite import Rig, TriggerSuite, connect
from reactor.triggers.contract import Trigger

SUITE = TriggerSuite()


async def payloads(rig: Rig, trigger: Trigger, count: int) -> list[bytes]:
    """What the next events carry; they are accepted."""
    return await SUITE._payloads(rig, trigger, count)


async def unread(rig: Rig, *later: bytes) -> None:
    """One message is read and accepted; these come after it, while nobody reads."""
    trigger = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, trigger, 1) == [b"1"]
    await trigger.close()
    for payload in later:
        await rig.emit(payload)


async def raised(trigger: Trigger, rig: Rig, limit_s: float = 15.0) -> ConfigError:
    """What ends reading; what comes before is accepted."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                await SUITE._accept(rig, await trigger.read())
            except ConfigError as error:
                return error
            except NotConnected:
                try:
                    await connect(trigger, limit_s)
                except ConfigError as error:
                    return error
