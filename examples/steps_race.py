"""A race of steps: the first result counts, the others are cancelled.

You learn:
- steps are raced like any coroutines, as tasks with `asyncio.wait`; no wrapping is needed;
- the winner stays the winner: when the instance is brought back, what came first comes first again;
- a step that is cancelled is told so: a coroutine as usual, a plain function by an exception.

    python -m examples.steps_race
"""

import asyncio
from typing import Any

from tenuto.client import Client
from tenuto.steps import WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker

#: What became of the losers; a real step would release what it holds.
stopped: list[str] = []


async def ask(supplier: str, seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        stopped.append(supplier)
        raise
    return supplier


class FastestOffer(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        racing = [
            asyncio.create_task(step.do(f"ask {name}", lambda name=name, seconds=seconds: ask(name, seconds)))
            for name, seconds in event.payload.items()
        ]
        done, losers = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        for loser in losers:
            loser.cancel()
        return done.pop().result()


async def main(url: str = "memory://") -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[FastestOffer]):
        print(await client.execute_workflow(FastestOffer, {"slow": 60, "quick": 0.1, "lazy": 60}, id="race-1"))
    print("cancelled:", sorted(stopped))


if __name__ == "__main__":
    asyncio.run(main())
