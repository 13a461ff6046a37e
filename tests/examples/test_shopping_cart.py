import asyncio

import pytest

from examples import shopping_cart
from examples.shopping_cart import Cart, ShoppingCart, place_order
from tenuto.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from tenuto.exceptions import ApplicationError
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.examples.conftest import Until


def shop(client: Client) -> Worker:
    return Worker(client, workflows=[ShoppingCart], activities=[place_order])


async def new_cart(client: Client, cart: Cart) -> WorkflowHandle[str]:
    handle = await client.start_workflow(ShoppingCart.run, cart, id="cart")
    return client.get_workflow_handle_for(ShoppingCart.run, handle.id)


async def test_is_filled_and_ordered(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        cart = await new_cart(client, Cart())
        assert await cart.execute_update(ShoppingCart.add, "apple") == 1
        assert await cart.execute_update(ShoppingCart.add, args=["bread", 2]) == 3
        await cart.signal(ShoppingCart.remove, "apple")
        assert await cart.query(ShoppingCart.contents) == {"bread": 2}
        assert await cart.execute_update(ShoppingCart.checkout) == "cart: 2 x bread"
        assert await cart.result() == "cart: 2 x bread"


async def test_the_validator_refuses_without_a_trace(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        cart = await new_cart(client, Cart())
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await cart.execute_update(ShoppingCart.add, args=["caviar", 1000])
        assert "Between 1 and 10" in str(caught.value.cause)
        events = [type(event).__name__ for event in (await cart.fetch_history()).events]
        assert "WorkflowExecutionUpdateAccepted" not in events


async def test_an_empty_cart_fails_the_update_and_not_the_workflow(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        cart = await new_cart(client, Cart())
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await cart.execute_update(ShoppingCart.checkout)
        assert isinstance(caught.value.cause, ApplicationError)
        assert await cart.execute_update(ShoppingCart.add, "apple") == 1


async def test_two_checkouts_at_once_make_one_order(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        cart = await new_cart(client, Cart())
        await cart.execute_update(ShoppingCart.add, "apple")
        both = await asyncio.gather(*(cart.execute_update(ShoppingCart.checkout) for _ in range(2)))
        assert both == ["cart: 1 x apple"] * 2
        events = (await cart.fetch_history()).events
        assert sum(type(event).__name__ == "ActivityTaskScheduled" for event in events) == 1


async def test_no_change_is_lost_over_continue_as_new(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        cart = await new_cart(client, Cart(changes_per_run=2))
        for item in range(7):
            await cart.execute_update(ShoppingCart.add, f"item {item}")
        assert await cart.query(ShoppingCart.contents) == {f"item {item}": 1 for item in range(7)}
        assert await cart.query(ShoppingCart.runs) == 4
        await cart.execute_update(ShoppingCart.checkout)


async def test_expires_a_day_after_the_last_change(until: Until) -> None:
    clock = ManualClock()
    async with await Client.connect("memory://", clock=clock) as client, shop(client):
        cart = await new_cart(client, Cart())
        await cart.execute_update(ShoppingCart.add, "apple")
        clock.advance(23 * 3600)
        await cart.execute_update(ShoppingCart.add, "bread")
        clock.advance(23 * 3600)
        assert await cart.query(ShoppingCart.contents) == {"apple": 1, "bread": 1}
        clock.advance(2 * 3600)
        assert await cart.result() == "expired"


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await shopping_cart.main()
    assert "the forgotten cart: expired" in capsys.readouterr().out
