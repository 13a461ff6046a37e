"""A race: several activities are started, the first answer counts, the others are cancelled.

You learn:
- `workflow.start_activity` gives a handle, an asyncio task: `asyncio.wait`, `cancel()`, `await` work as you know them;
- what `asyncio.wait` returns is a set, without order. Go through your own list instead, so that replay does the same;
- a cancelled activity hears of it at once (no heartbeat needed); with WAIT_CANCELLATION_COMPLETED the workflow waits
  until it has really stopped, so nothing runs on behind its back.

    python -m examples.race
"""

import asyncio
from dataclasses import dataclass

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.exceptions import ActivityError, ApplicationError
from tenuto.worker import Worker


@dataclass
class Supplier:
    name: str
    seconds: float
    price: int | None
    """None if the supplier has nothing to offer."""


@dataclass
class Offer:
    supplier: str
    price: int


#: What became of the losers; a real activity would release what it holds.
stopped: list[str] = []


@activity.defn
async def ask(supplier: Supplier) -> Offer:
    try:
        await asyncio.sleep(supplier.seconds)
    except asyncio.CancelledError:
        stopped.append(supplier.name)
        raise
    if supplier.price is None:
        raise ApplicationError(f"{supplier.name} has no offer", non_retryable=True)
    return Offer(supplier.name, supplier.price)


@workflow.defn
class FastestOffer:
    @workflow.run
    async def run(self, suppliers: list[Supplier]) -> Offer:
        wait = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        running = [workflow.start_activity(ask, supplier, cancellation_type=wait) for supplier in suppliers]
        try:
            while running:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for handle in [handle for handle in running if handle.done()]:
                    running.remove(handle)
                    try:
                        return await handle
                    except ActivityError as error:
                        workflow.logger.info("out of the race: %s", error.cause)
            raise ApplicationError("nobody has an offer", type="NoOffer")
        finally:
            for handle in running:
                handle.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def main(url: str = "memory://") -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[FastestOffer], activities=[ask]):
        suppliers = [Supplier("slow", 60, 90), Supplier("sold out", 0.05, None), Supplier("quick", 0.1, 120)]
        print(await client.execute_workflow(FastestOffer.run, suppliers, id="race-1"))
        print("cancelled:", stopped)


if __name__ == "__main__":
    asyncio.run(main())
