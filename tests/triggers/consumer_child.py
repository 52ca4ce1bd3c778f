"""The process that tests of triggers kill: a store, an engine, and a supervisor with one trigger that starts runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import msgspec

from reactor.connections.configs import KafkaConfig, NatsConfig
from reactor.connections.kafka import KafkaConnection
from reactor.connections.nats import NatsConnection
from reactor.language.definition import TriggerSpec
from reactor.store.contract import RunFilter, RunRow, Store
from reactor.tests.engine.rig import Rig
from reactor.triggers.supervisor import Supervisor

FLOW = """
workflow: take
inputs: {id: string}
when: [{event: "*", with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: one, transform: "1"}
"""


def connection_of(kind: str, keys: Any) -> Any:
    """The connection that a trigger of this kind reads by."""
    if kind == "kafka":
        return KafkaConnection("main", KafkaConfig(**keys))
    return NatsConnection("main", NatsConfig(**keys))


async def all_runs(store: Store) -> list[RunRow]:
    """Every run of the workflow, newest first."""
    found: list[RunRow] = []
    while page := await store.runs(RunFilter(workflow="take"), before=found[-1].id if found else 0, limit=500):
        found += page
    return found


async def main(url: str, spec: str, connection: str, wanted: int) -> None:
    """Read until so many runs are there; a line on stdout for each delivery's runs."""
    trigger = msgspec.json.decode(spec, type=TriggerSpec)
    made = connection_of(trigger.kind, msgspec.json.decode(connection))
    async with Rig(url) as rig:
        await rig.deploy(FLOW.replace('"*"', f'"reactor.{trigger.kind}.message"'))
        supervisor = Supervisor(
            rig.intake.publish, read_marks=rig.store.marks, connections=lambda kind, name: made, store_id=rig.store.id
        )
        await supervisor.apply({trigger.name: trigger})
        told = 0
        while True:
            runs = len(await all_runs(rig.store))
            for _ in range(runs - told):
                print("run ", flush=False)
            sys.stdout.flush()
            told = runs
            if runs >= wanted:
                break
            await asyncio.sleep(0.01)
        await supervisor.close()
        await made.close()


async def consume(url: str, spec: Any, connection: Any, kill_after: int | None, runs: int) -> None:
    """Run this module as a process; it is killed after so many runs, else ends by itself when all are there."""
    arguments = [url, msgspec.json.encode(spec).decode(), msgspec.json.encode(connection).decode(), str(runs)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "reactor.tests.triggers.consumer_child", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(40):
            seen = 0
            while line := await child.stdout.readline():
                seen += line.startswith(b"run ")
                if kill_after is not None and seen >= kill_after:
                    break
            if kill_after is not None:
                child.send_signal(signal.SIGKILL)
            status = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
    assert status == (-signal.SIGKILL if kill_after is not None else 0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
