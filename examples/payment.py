"""A payment that is made once, although the activity that makes it runs twice.

You learn:
- an activity runs *at least* once: if its process dies after the money moved and before the result was recorded, or the
  answer gets lost, it runs again;
- `activity.info().idempotency_key` is the same for every attempt of one activity and different from every other's. Hand
  it to the service, which then knows the second request as the first;
- a service that can't do that needs one of the other ways: look before you act, a unique constraint, or
  `maximum_attempts=1`, with which the activity runs at most once and you deal with the doubt.

    python -m examples.payment
"""

import asyncio
from datetime import timedelta

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.common import RetryPolicy
from tenuto.worker import Worker


class Bank:
    """Stands in for a payment service. Its answer to the first request gets lost."""

    def __init__(self) -> None:
        self.charges: dict[str, int] = {}
        self.requests = 0

    async def charge(self, cents: int, idempotency_key: str) -> str:
        self.requests += 1
        first = idempotency_key not in self.charges
        self.charges.setdefault(idempotency_key, cents)
        if first:
            raise ConnectionError("the connection was reset")
        return f"receipt-{len(self.charges)}"


bank = Bank()


@activity.defn(retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_attempts=10))
async def charge(cents: int) -> str:
    return await bank.charge(cents, activity.info().idempotency_key)


@workflow.defn
class Payment:
    @workflow.run
    async def run(self, cents: int) -> str:
        return await charge(cents)


async def main(url: str = "memory://") -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Payment], activities=[charge]):
        print(await client.execute_workflow(Payment.run, 4200, id="payment-1"))
        print(f"{bank.requests} requests, {len(bank.charges)} charge: {bank.charges}")


if __name__ == "__main__":
    asyncio.run(main())
