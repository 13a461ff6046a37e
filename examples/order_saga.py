"""A saga: when a step fails or the order is cancelled, what was done is undone, last step first.

You learn:
- The compensation is pushed *before* its step runs. A step that seems to fail may have taken effect (the answer was
  lost), so its compensation must run too, and must be harmless if there is nothing to undo.
- `except (Exception, asyncio.CancelledError)`: a cancel request arrives as asyncio.CancelledError, which
  `except Exception` doesn't swallow. It is delivered once, so the clean-up can await activities as usual.
- A compensation that can't be done is not hidden: the others still run, and the failure names it.

    python -m examples.order_saga
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError
from tenuto.worker import Worker


@dataclass
class Order:
    id: str
    item: str
    card: str = "valid"
    address: str = "1 Main Street"


#: Stands in for the services outside. All of it is keyed by the order's id, so doing or undoing twice is harmless.
outside: list[tuple[str, str]] = []

UNDO_RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=5)


@activity.defn
async def reserve_stock(order: Order) -> None:
    outside.append((order.id, "stock reserved"))


@activity.defn(retry_policy=UNDO_RETRIES)
async def release_stock(order: Order) -> None:
    outside.append((order.id, "stock released"))


@activity.defn
async def charge_card(order: Order) -> None:
    if order.card == "declined":
        raise ApplicationError("the card was declined", type="CardDeclined", non_retryable=True)
    outside.append((order.id, "card charged"))


@activity.defn(retry_policy=UNDO_RETRIES)
async def refund_card(order: Order) -> None:
    if order.card == "closed":
        raise ApplicationError("the account was closed", type="AccountClosed", non_retryable=True)
    outside.append((order.id, "card refunded"))


@activity.defn
async def ship(order: Order) -> str:
    if not order.address:
        raise ApplicationError("there is no address", type="NoAddress", non_retryable=True)
    if order.address == "far away":
        await asyncio.sleep(3600)
    outside.append((order.id, "shipped"))
    return f"parcel-{order.id}"


@activity.defn(retry_policy=UNDO_RETRIES)
async def recall_parcel(order: Order) -> None:
    outside.append((order.id, "parcel recalled"))


class Saga:
    """What has to be undone if the rest fails."""

    def __init__(self) -> None:
        self._compensations: list[tuple[Callable[..., Any], Any]] = []

    def push(self, compensation: Callable[..., Any], argument: Any) -> None:
        self._compensations.append((compensation, argument))

    async def compensate(self) -> list[str]:
        """Undo, last first. If one fails, the others still run; returns what could not be undone."""
        failures = []
        while self._compensations:
            compensation, argument = self._compensations.pop()
            try:
                await workflow.execute_activity(compensation, argument)
            except ActivityError as error:
                failures.append(f"{error.activity_type}: {error.cause}")
        return failures


@workflow.defn
class OrderSaga:
    @workflow.run
    async def run(self, order: Order) -> str:
        saga = Saga()
        try:
            saga.push(release_stock, order)
            await reserve_stock(order)
            saga.push(refund_card, order)
            await charge_card(order)
            saga.push(recall_parcel, order)
            return await ship(order)
        except (Exception, asyncio.CancelledError) as error:
            failures = await saga.compensate()
            if failures:
                raise ApplicationError("not all could be undone", *failures, type="CompensationFailed") from error
            raise


ACTIVITIES = [reserve_stock, release_stock, charge_card, refund_card, ship, recall_parcel]


async def main(url: str = "memory://") -> None:
    async with (
        await Client.connect(url) as client,
        Worker(client, workflows=[OrderSaga], activities=ACTIVITIES),
    ):
        for order in [Order("1", "piano"), Order("2", "violin", card="declined"), Order("3", "harp", address="")]:
            try:
                result = await client.execute_workflow(OrderSaga.run, order, id=f"order-{order.id}")
                print(f"order {order.id}: {result}")
            except WorkflowFailureError as error:
                print(f"order {order.id} failed: {error.cause.__cause__}")
            for _, what in [entry for entry in outside if entry[0] == order.id]:
                print(f"    {what}")

        handle = await client.start_workflow(OrderSaga.run, Order("4", "drums", address="far away"), id="order-4")
        while ("4", "card charged") not in outside:  # noqa: ASYNC110 - we only look on
            await asyncio.sleep(0.01)
        await handle.cancel(reason="the customer changed their mind")
        try:
            await handle.result()
        except WorkflowFailureError as error:
            print(f"order 4 was cancelled: {error.cause!r}")
        for _, what in [entry for entry in outside if entry[0] == "4"]:
            print(f"    {what}")


if __name__ == "__main__":
    asyncio.run(main())
