"""One run of the chaos suite: three engines and three workers on one PostgreSQL, load on all of them, faults meanwhile,
and a reckoning in the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenuto.client import Client
from tests.chaos import checks, graph_load
from tests.chaos.database import Database
from tests.chaos.durable_load import DurableLoad
from tests.chaos.faults import Driver
from tests.chaos.graph_load import GraphLoad
from tests.chaos.processes import EngineMember, Member, worker_member
from tests.chaos.report import report
from tests.chaos.witness import Witness, two_writers
from tests.crash.server_load import service

ENGINES = WORKERS = 3
#: Seconds for what is left when nothing is done to anybody any more.
REST = 240.0
#: Seconds in which processes tidy up behind the last workflow, and spread partitions.
SETTLING = 60.0


@dataclass(frozen=True)
class Plan:
    """How many workflows are started over how many seconds, and what is done meanwhile: faults of one group at the same
    time, one group after the other."""

    durable: int
    graphs: int
    seconds: float
    faults: Sequence[Sequence[str]]
    pause: tuple[float, float] = (0.5, 3.0)


class Cluster:
    """The processes, and those who talk to them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.engines = [EngineMember(f"engine-{number}", folder, database.url) for number in range(ENGINES)]
        self.workers = [
            worker_member(f"worker-{number}", folder, database.url, self.ledger) for number in range(WORKERS)
        ]
        self.witness = Witness(database)

    @property
    def members(self) -> list[Member]:
        return [*self.engines, *self.workers]

    async def start(self) -> None:
        for member in self.members:
            member.start()
        for member in self.members:
            await member.serves()

    async def stop(self) -> None:
        """As one stops a service: all at the same time. Raises AssertionError for one that doesn't end cleanly."""
        async with asyncio.TaskGroup() as group:
            for member in self.members:
                group.create_task(member.stop())

    def kill(self) -> None:
        for member in self.members:
            member.kill()


async def run(plan: Plan, seed: int, folder: Path) -> tuple[str, list[str]]:
    """The report, and all that is not as it must be. Logs of the processes are left in `folder`."""
    database = Database()
    try:
        database.create()
        await database.start()
        cluster = Cluster(database, folder)
        try:
            async with await Client.connect(database.url("driver")) as client:
                await cluster.witness.set_up()
                await cluster.start()
                await _settled(lambda: checks.ownership(cluster.witness, cluster.engines))
                return await _under_load(plan, random.Random(seed), cluster, client)
        finally:
            cluster.kill()
    finally:
        database.destroy()


async def _under_load(plan: Plan, chosen: random.Random, cluster: Cluster, client: Client) -> tuple[str, list[str]]:
    began = time.time()
    durable = DurableLoad(client, plan.durable)
    driver = Driver(
        cluster.database,
        cluster.witness,
        cluster.engines,
        cluster.workers,
        durable.probe,
        random.Random(chosen.random()),
    )
    async with service() as service_url:
        graphs = GraphLoad([engine.url for engine in cluster.engines], service_url, seed=chosen.randrange(2**32))
        try:
            async with graphs.at_work(plan.graphs), asyncio.TaskGroup() as group:
                durable_load = group.create_task(durable.run())
                pacing = group.create_task(_pace(plan, durable, graphs))
                await _wreak(plan, driver, random.Random(chosen.random()))
                await pacing
                await asyncio.wait([group.create_task(driver.over())], timeout=REST)
                views = await graph_load.all_completed(graphs, plan.graphs, REST)
                await asyncio.wait([durable_load], timeout=REST)
                durable_load.cancel()
                found = await graph_load.searches(graphs, views)
        finally:
            await graphs.close()
    faults = [
        *graph_load.outputs(graphs, views),
        *graph_load.hand_outs(graphs, views),
        *graph_load.updates(graphs, views),
    ]
    faults += found
    faults += await _settled(lambda: checks.ownership(cluster.witness, cluster.engines))
    faults += await _settled(lambda: checks.leftovers(cluster.witness))
    runs = await checks.stored(client)
    writes = await cluster.witness.writes()
    faults += checks.results(durable.results, plan.durable) + checks.histories(runs)
    faults += checks.activities(runs, checks.Ledger(cluster.ledger), plan.durable)
    faults += two_writers(writes) + [fault for done in driver.done for fault in done.faults]
    await cluster.stop()
    faults += checks.logs(cluster.members)
    told = report(began, driver.done, writes, checks.finished_at(runs))
    ended = f"{plan.durable + plan.graphs} workflows ({len(runs)} runs) in {time.time() - began:.0f} s; " + (
        f"{graphs.repeated + durable.repeated} requests were repeated"
    )
    return f"{ended}\n\n{told}", faults


async def _pace(plan: Plan, durable: DurableLoad, graphs: GraphLoad) -> None:
    """Let workflows be started, evenly over the time of the plan."""
    began, total = time.monotonic(), plan.durable + plan.graphs
    given = 0
    for number in range(total):
        await asyncio.sleep(max(0.0, began + plan.seconds * number / total - time.monotonic()))
        if (number + 1) * plan.graphs // total > given:
            given += 1
            graphs.permits.release()
        else:
            durable.permits.release()


async def _wreak(plan: Plan, driver: Driver, chosen: random.Random) -> None:
    for together in plan.faults:
        await asyncio.sleep(chosen.uniform(*plan.pause))
        async with asyncio.TaskGroup() as group:
            for name in together:
                group.create_task(_do(driver, name))


async def _do(driver: Driver, name: str) -> None:
    await driver.methods[name]()


async def _settled(check: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """What is wrong still when everybody has had time to put it right."""
    deadline = time.monotonic() + SETTLING
    while (faults := await check()) and time.monotonic() < deadline:  # noqa: ASYNC110 - in other processes
        await asyncio.sleep(0.2)
    return faults
