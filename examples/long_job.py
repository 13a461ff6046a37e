"""A long activity that goes on where it was, when its worker is stopped, crashes or stalls.

You learn:
- `activity.heartbeat(details)` says that the attempt is alive and how far it is. It is cheap: call it for every row;
- the next attempt finds the last details in `activity.info().heartbeat_details`. Heartbeats are written behind, so
  after a crash the details may be a little old: rows between them are done again, and must bear it;
- `heartbeat_timeout` notices an attempt that hangs; a worker that is shut down hands over its attempt at once.

    python -m examples.long_job
"""

import asyncio
from datetime import timedelta

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.common import RetryPolicy
from tenuto.worker import Worker

#: Stands in for the table that is filled: row -> the attempt that wrote it last.
imported: dict[int, int] = {}


@activity.defn(
    start_to_close_timeout=timedelta(hours=6),
    heartbeat_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)),
)
async def import_rows(count: int, seconds_a_row: float) -> str:
    info = activity.info()
    first = info.heartbeat_details[0] if info.heartbeat_details else 0
    for row in range(first, count):
        await asyncio.sleep(seconds_a_row)
        imported[row] = info.attempt
        activity.heartbeat(row + 1)
    return f"attempt {info.attempt} imported the rows from {first} on"


@workflow.defn
class Import:
    @workflow.run
    async def run(self, count: int, seconds_a_row: float) -> str:
        return await import_rows(count, seconds_a_row)


async def main(url: str = "memory://") -> None:
    async with await Client.connect(url) as client:
        async with Worker(client, workflows=[Import], activities=[import_rows]):
            handle = await client.start_workflow(Import.run, args=[100, 0.005], id="import-1")
            while len(imported) < 50:  # noqa: ASYNC110 - we only look on
                await asyncio.sleep(0.01)
        print(f"the worker was stopped after {len(imported)} rows")
        async with Worker(client, workflows=[Import], activities=[import_rows]):
            print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
