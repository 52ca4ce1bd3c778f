"""The store suite on PostgreSQL, and what is special about many processes: leases, fences, lost answers, races."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import pytest

from reactor.core import faults
from reactor.core.clock import SYSTEM
from reactor.core.errors import ConfigError, Fenced, StoreUnavailable
from reactor.core.event import Mark
from reactor.store import open_store
from reactor.store.contract import Committed, RunChange, RunStart, RunState, Store, Unit
from reactor.store.postgres_sql import shown
from reactor.testing.clock import VirtualClock
from reactor.testing.store_suite import Reopen, StoreSuite
from reactor.testing.store_units import KEY, START, accept, admit, end, free, run_row, slots, start, step
from reactor.tests.servers.postgres import PostgresServer
from reactor.tests.store.proxy import Proxy

Opens = Callable[..., Awaitable[Store]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def opens(postgres_url: str, clock: VirtualClock) -> AsyncIterator[Opens]:
    """Opens stores of this test's database, by this address or another, and closes them."""
    stores: list[Store] = []

    async def opens(url: str = postgres_url) -> Store:
        store = open_store(url, clock=clock)
        await store.open()
        stores.append(store)
        return store

    yield opens
    for store in stores:
        await store.close()


@pytest.mark.broker("postgres")
class TestPostgres(StoreSuite):
    @pytest.fixture
    async def store(self, opens: Opens) -> Store:
        return await opens()

    @pytest.fixture
    def reopen(self, store: Store, opens: Opens) -> Reopen:
        async def reopen() -> Store:
            await store.close()
            return await opens()

        return reopen


@pytest.mark.broker("postgres")
@pytest.mark.rule("5.3")
async def test_two_nodes_share_the_slots_of_a_key(opens: Opens) -> None:
    stores = [await opens(), await opens()]
    units = [Unit(runs=(RunStart(run_row(number), slots(7)),)) for number in range(1, 201)]
    receipts = await asyncio.gather(*[stores[n % 2].submit(unit) for n, unit in enumerate(units)])
    verdicts = [receipt.started[0].verdict for receipt in receipts]
    assert verdicts.count("begun") == 7
    begun = [receipt.started[0].run for receipt in receipts if receipt.started[0].verdict == "begun"]
    ends = [stores[(number - 1) % 2].submit(end(number, release=free())) for number in begun]
    assert all(receipt.flow_freed == (KEY,) for receipt in await asyncio.gather(*ends))
    held = await stores[0].held(KEY, limit=100)
    tries = [stores[n % 2].submit(admit(run.id, slots(7))) for n, run in enumerate(held)]
    tries += [stores[(n + 1) % 2].submit(admit(run.id, slots(7))) for n, run in enumerate(held)]
    admitted = [receipt for receipt in await asyncio.gather(*tries) if receipt.admitted]
    assert len({receipt.admitted[0].run for receipt in admitted}) == len(admitted) == 7


@pytest.mark.broker("postgres")
@pytest.mark.rule("1.1")
async def test_two_nodes_accept_an_identity_once(opens: Opens) -> None:
    stores = [await opens(), await opens()]
    units = [
        Unit(accept=(accept(number, start(number, event=number), id=str(number // 2)),)) for number in range(2, 202)
    ]
    receipts = await asyncio.gather(*[stores[n % 2].submit(unit) for n, unit in enumerate(units)])
    pairs = [receipts[n : n + 2] for n in range(0, 200, 2)]
    assert all(sorted(receipt.accepted[0].new for receipt in pair) == [False, True] for pair in pairs)
    for first, second in pairs:
        assert first.accepted[0].event == second.accepted[0].event
        assert first.accepted[0].runs[0].run == second.accepted[0].runs[0].run


@pytest.mark.broker("postgres")
async def test_two_nodes_start_a_key_once(opens: Opens) -> None:
    stores = [await opens(), await opens()]
    units = [Unit(runs=(start(number, key=b"%d" % (number // 2)),)) for number in range(2, 202)]
    receipts = await asyncio.gather(*[stores[n % 2].submit(unit) for n, unit in enumerate(units)])
    verdicts = [receipt.started[0].verdict for receipt in receipts]
    assert (verdicts.count("begun"), verdicts.count("foreign")) == (100, 100)


@pytest.mark.broker("postgres")
async def test_a_living_node_keeps_its_runs(opens: Opens) -> None:
    first, second = await opens(), await opens()
    assert second.node > first.node
    await first.submit(Unit(runs=tuple(start(number) for number in range(1, 51))))
    assert list(await second.claim(runs_max=100)) == []
    receipt = await second.submit(end(1))
    assert receipt == Committed("state", "run 1 belongs to another node")
    await first.close()
    claimed = await second.claim(runs_max=100)
    assert [each.run.id for each in claimed] == list(range(1, 51))
    assert (await second.submit(end(1))).refused == ""


@pytest.mark.broker("postgres")
async def test_two_nodes_never_claim_the_same_run(opens: Opens) -> None:
    first = await opens()
    await first.submit(Unit(runs=tuple(start(number) for number in range(1, 301))))
    others = [await opens(), await opens()]
    await first.close()
    pages = await asyncio.gather(*[others[n % 2].claim(runs_max=40) for n in range(10)])
    numbers = [each.run.id for page in pages for each in page]
    assert sorted(numbers) == list(range(1, 301))


@pytest.mark.broker("postgres")
async def test_a_node_that_was_buried_writes_nothing(opens: Opens, postgres_url: str) -> None:
    store = await opens()
    await store.submit(Unit(runs=(start(1),)))
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("DELETE FROM node WHERE id = $1", store.node)
    said = f"node {store.node} was taken for dead and its work given to others: this process must write nothing more"
    with pytest.raises(Fenced) as caught:
        await store.submit(step(1))
    assert str(caught.value) == said
    assert await connection.fetchval("SELECT count(*) FROM j") == 0
    await connection.close()


@pytest.mark.broker("postgres")
async def test_an_expired_node_is_buried_by_one_in_good_standing(opens: Opens, postgres_url: str) -> None:
    dead = await opens()
    await dead.submit(Unit(runs=(start(1),)))
    connection = await asyncpg.connect(postgres_url)
    dead._lease.stop()
    await connection.execute("UPDATE node SET expires = now() - interval '1 hour' WHERE id = $1", dead.node)
    second = await opens()
    assert list(await second.claim(runs_max=9)) == []  # its own lease is too young to judge others
    async with asyncio.timeout(15):
        while not (claimed := await second.claim(runs_max=9)):
            await asyncio.sleep(0.05)
    assert [each.run.id for each in claimed] == [1]
    with pytest.raises(Fenced):
        await dead.submit(step(1))
    await connection.close()


@pytest.mark.broker("postgres")
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_whose_answer_was_lost_is_resolved(
    opens: Opens, postgres_url: str, clock: VirtualClock, cut: str
) -> None:
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        store = await opens(postgres_url.replace(f":{parts.port}", f":{proxy.port}"))
        await store.submit(Unit(runs=(start(1),)))
        for number in range(2, 12):
            proxy.cut_at_commit = cut
            unit = Unit(accept=(accept(number, start(number, event=number)),), journal=step(number).journal)
            futures = [
                asyncio.ensure_future(store.submit(each)) for each in (unit, step(1, number), step(1, number + 50))
            ]
            async with asyncio.timeout(20):
                while not all(future.done() for future in futures):
                    await clock.advance(1)
                    await asyncio.sleep(0.01)
            receipts = [await future for future in futures]
            assert proxy.cut_at_commit == ""
            assert [receipt.refused for receipt in receipts] == [""] * 3
            assert receipts[0].accepted[0].new
        assert len(await store.journal(1)) == 20
        for number in range(2, 12):
            assert len(await store.journal(number)) == 1
            assert await store.event(number) is not None
        assert store.refusing == ""


@pytest.mark.broker("postgres")
async def test_a_statement_that_arrives_late_writes_nothing(
    opens: Opens, postgres_url: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its group went again meanwhile, and the line broke again: whoever waits must not hear that nothing was written,
    and find it written after all.
    """
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        store = await opens(postgres_url.replace(f":{parts.port}", f":{proxy.port}"))
        await store.submit(Unit(runs=(start(1, state=int(RunState.RUNNING)),)))
        broken: list[str] = []

        def hook(name: str) -> None:
            if name == "store.before_commit" and not broken:
                broken.append(name)
                raise ConnectionResetError("the line broke again")

        proxy.cut_at_commit = "late"
        writing = asyncio.ensure_future(store.submit(step(1, 5)))
        async with asyncio.timeout(20):
            while proxy.cut_at_commit:
                await asyncio.sleep(0.01)
            monkeypatch.setattr(faults, "hook", hook)
            while not (broken or writing.done()):
                await clock.advance(1)
                await asyncio.sleep(0.01)
            proxy.arrive()
            await proxy.arrived.wait()
            while not writing.done():
                await clock.advance(1)
                await asyncio.sleep(0.01)
        assert await writing == Committed()
        assert (await store.submit(step(1, 6))).refused == ""
        assert sorted(row.ord >> 40 for row in await store.journal(1)) == [5, 6]


@pytest.mark.broker("postgres")
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_claim_whose_answer_was_lost_is_claimed_again(opens: Opens, postgres_url: str, cut: str) -> None:
    first = await opens()
    await first.submit(Unit(runs=tuple(start(number) for number in range(1, 11))))
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        second = await opens(postgres_url.replace(f":{parts.port}", f":{proxy.port}"))
        await first.close()
        proxy.cut_at_commit = cut
        with pytest.raises(StoreUnavailable):
            await second.claim(runs_max=7)
        assert [each.run.id for each in await second.claim(runs_max=8)] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [each.run.id for each in await second.claim(runs_max=8)] == [9, 10]


@pytest.mark.broker("postgres")
@pytest.mark.rule("1.8")
async def test_a_database_that_is_away_is_waited_for(
    opens: Opens, postgres_url: str, postgres_server: PostgresServer, clock: VirtualClock
) -> None:
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        store = await opens(postgres_url.replace(f":{parts.port}", f":{proxy.port}"))
        await store.submit(Unit(runs=(start(1),)))
        await proxy.close()
        waiting = asyncio.ensure_future(store.submit(step(1)))
        async with asyncio.timeout(10):
            while not store.refusing:
                await asyncio.sleep(0.01)
        assert store.refusing.startswith(
            f"the database postgresql://postgres@127.0.0.1:{proxy.port}{parts.path} cannot be"
        )
        with pytest.raises(StoreUnavailable):
            await store.submit(Unit(runs=(start(2),)))
        with pytest.raises(StoreUnavailable):
            await store.run(1)
        await proxy.open()
        async with asyncio.timeout(20):
            while not waiting.done():
                await clock.advance(1)
                await asyncio.sleep(0.01)
        assert await waiting == Committed()
        assert await store.run(1) is not None


@pytest.mark.broker("postgres")
async def test_a_second_server_is_refused_and_one_that_was_killed_is_not_waited_for(postgres_url: str) -> None:
    first = open_store(postgres_url, clock=SYSTEM, address="127.0.0.1:8484")
    await first.open()
    second = open_store(postgres_url, clock=SYSTEM, address="127.0.0.1:9999")
    with pytest.raises(ConfigError) as caught:
        await second.open()
    assert str(caught.value) == f"the store {shown(postgres_url)} is in use by a process at 127.0.0.1:8484"
    assert caught.value.hint == "stop that process, or give this one a database of its own"
    looking = open_store(postgres_url, clock=SYSTEM)  # what only looks, and serves nobody, is let in
    await looking.open()
    await looking.close()
    await first.close()
    server = await asyncpg.connect(postgres_url)
    await server.execute("INSERT INTO node VALUES (nextval('node_id'), 'killed:1', now() + interval '1 minute')")
    await server.close()
    third = open_store(postgres_url, clock=SYSTEM, address="127.0.0.1:8484")
    await third.open()
    await third.close()


async def test_a_wrong_database_is_named_without_the_password(postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", "postgres:s3cret@") + "_not_there"
    with pytest.raises(ConfigError) as caught:
        await open_store(url, clock=SYSTEM).open()
    name = shown(url)
    assert "s3cret" not in name
    assert str(caught.value) == f'{name} refuses us: database "{url.rsplit("/", 1)[1]}" does not exist'


async def test_a_url_that_cannot_be_used_hides_its_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await open_store("postgresql://me:s3cret@127.0.0.1:1/db?sslmode=disable", clock=SYSTEM).open()
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).startswith("the database postgresql://me@127.0.0.1:1/db cannot be reached: ")


@pytest.mark.broker("postgres")
@pytest.mark.rule("4.7")
@pytest.mark.parametrize("marks", [(), (Mark("t", "0", b"1"),)], ids=["one statement", "several"])
async def test_a_run_whose_end_was_not_heard_of_can_be_tried_again(
    opens: Opens, postgres_url: str, clock: VirtualClock, marks: tuple[Mark, ...]
) -> None:
    """A commit whose answer was lost is also what the node has to know of its runs without asking."""
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        store = await opens(postgres_url.replace(f":{parts.port}", f":{proxy.port}"))
        await store.submit(Unit(runs=(start(1, state=int(RunState.RUNNING)),)))
        proxy.cut_at_commit = "after"
        failed = RunChange(1, "open", state=int(RunState.FAILED), ended_at=START)
        ending = asyncio.ensure_future(store.submit(Unit(changes=(failed,), marks=marks)))
        async with asyncio.timeout(20):
            while not ending.done():
                await clock.advance(1)
                await asyncio.sleep(0.01)
        assert proxy.cut_at_commit == ""
        assert (await ending).refused == ""
        again = RunChange(1, "ended", state=int(RunState.RUNNING), gen=1, reopen=True)
        assert (await store.submit(Unit(changes=(again,)))).refused == ""
