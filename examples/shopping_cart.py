"""An entity: a workflow that lives as long as a shopping cart, and that clients talk to.

You learn:
- a *signal* tells the workflow something and gets no answer; a *query* reads its state; an *update* changes it and is
  answered, and its validator may refuse it before anything is recorded;
- `@workflow.init` hands the arguments to `__init__`, so that handlers find the state in place, however early they run;
- the cart expires by a durable timer: `wait_condition(..., timeout=...)`, begun anew with every change;
- `continue_as_new` gives a long life short histories; handlers must have ended before, or their work would be lost;
- two checkouts at once are kept apart with an `asyncio.Lock`, because a handler that awaits may meet another one.

    python -m examples.shopping_cart
"""

import asyncio
from dataclasses import dataclass, field

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowUpdateFailedError
from tenuto.exceptions import ApplicationError
from tenuto.worker import Worker


@dataclass
class Cart:
    """The state that one run hands to the next."""

    items: dict[str, int] = field(default_factory=dict)
    expires_after: float = 24 * 3600
    """Seconds without a change after which the cart is given up."""
    changes_per_run: int = 1000
    """Changes after which the workflow continues as new, if the engine doesn't suggest it before."""
    runs: int = 1


@activity.defn
async def place_order(cart_id: str, items: dict[str, int]) -> str:
    return f"{cart_id}: {', '.join(f'{count} x {item}' for item, count in sorted(items.items()))}"


@workflow.defn
class ShoppingCart:
    @workflow.init
    def __init__(self, cart: Cart) -> None:
        self.cart = cart
        self.changes = 0
        self.order: str | None = None
        self.checking_out = asyncio.Lock()

    @workflow.run
    async def run(self, cart: Cart) -> str:
        while self.order is None:
            seen = self.changes
            try:
                await workflow.wait_condition(
                    lambda: self.changes > seen or self.order is not None,  # noqa: B023 - asked before the next turn
                    timeout=cart.expires_after,
                )
            except TimeoutError:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self.order is None and self.changes == seen:
                    return "expired"
            if self.changes >= cart.changes_per_run or workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self.order is None:
                    self.cart.runs += 1
                    workflow.continue_as_new(self.cart)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.order

    @workflow.signal
    def remove(self, item: str) -> None:
        self.cart.items.pop(item, None)
        self.changes += 1

    @workflow.query
    def contents(self) -> dict[str, int]:
        return self.cart.items

    @workflow.query
    def runs(self) -> int:
        return self.cart.runs

    @workflow.update
    def add(self, item: str, count: int = 1) -> int:
        """Put something into the cart; answers how many pieces are in it now."""
        self.cart.items[item] = self.cart.items.get(item, 0) + count
        self.changes += 1
        return sum(self.cart.items.values())

    @add.validator
    def check_add(self, item: str, count: int = 1) -> None:
        if not 1 <= count <= 10:
            raise ValueError(f"{count} pieces of {item}? Between 1 and 10, please")
        if self.order is not None:
            raise ValueError("the cart is ordered already")

    @workflow.update
    async def checkout(self) -> str:
        """Order what is in the cart; answers the order. A second checkout gets the same answer."""
        async with self.checking_out:
            if not self.cart.items:
                raise ApplicationError("the cart is empty", type="EmptyCart")
            if self.order is None:
                self.order = await place_order(workflow.info().workflow_id, self.cart.items)
            return self.order


async def main(url: str = "memory://") -> None:
    async with (
        await Client.connect(url) as client,
        Worker(client, workflows=[ShoppingCart], activities=[place_order]),
    ):
        cart = await client.start_workflow(ShoppingCart.run, Cart(changes_per_run=3), id="cart-anna")
        # This handle stays with the first run; one without a run id goes on to the latest.
        cart = client.get_workflow_handle_for(ShoppingCart.run, cart.id)
        print("pieces:", await cart.execute_update(ShoppingCart.add, args=["apple", 3]))
        print("pieces:", await cart.execute_update(ShoppingCart.add, "bread"))
        try:
            await cart.execute_update(ShoppingCart.add, args=["caviar", 1000])
        except WorkflowUpdateFailedError as error:
            print("refused:", error.cause)
        await cart.signal(ShoppingCart.remove, "bread")
        print("pieces:", await cart.execute_update(ShoppingCart.add, "butter"))
        print("contents:", await cart.query(ShoppingCart.contents), "in run", await cart.query(ShoppingCart.runs))
        print("ordered:", await cart.execute_update(ShoppingCart.checkout))
        print("the workflow ended with:", await cart.result())

        short = await client.start_workflow(ShoppingCart.run, Cart(expires_after=0.1), id="cart-ben")
        print("the forgotten cart:", await short.result())


if __name__ == "__main__":
    asyncio.run(main())
