"""Activities are replaced by mocks, whose calls can be asserted on."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from tenuto import activity, workflow
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError
from tenuto.testing import WorkflowEnvironment, mock_activity
from tenuto.worker import Worker
from tests.support.durable import failure_of


class Order(Struct):
    id: str
    total: int


@activity.defn
async def charge(order: Order, currency: str) -> str:
    raise AssertionError("a test must not charge anybody")


@activity.defn
async def ship(id: str) -> str:
    return f"shipped {id}"


@workflow.defn
class Checkout:
    @workflow.run
    async def run(self, order: Order) -> list[Any]:
        receipt = await workflow.execute_activity(
            charge, args=[order, "EUR"], retry_policy=RetryPolicy(maximum_attempts=4)
        )
        return [receipt, await ship(order.id)]


ORDER = Order("o-1", 100)


async def checkout(*activities: Any) -> Any:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Checkout], activities=activities),
    ):
        return await env.client.execute_workflow(Checkout.run, ORDER, id="o-1")


async def test_a_result() -> None:
    mock = mock_activity(charge, result="receipt 7")
    assert await checkout(mock, ship) == ["receipt 7", "shipped o-1"]
    mock.assert_called_once_with(ORDER, "EUR")
    mock.assert_called_with(ORDER, "EUR")
    mock.assert_any_call(ORDER, "EUR")
    assert mock.call_count == 1


async def test_by_name_arguments_are_plain() -> None:
    mock = mock_activity("charge", result="receipt 7")
    await checkout(mock, ship)
    mock.assert_called_once_with({"id": "o-1", "total": 100}, "EUR")


async def test_an_error_a_few_times() -> None:
    mock = mock_activity(charge, error=ConnectionError("bank down"), times=2, result="receipt 8")
    assert await checkout(mock, ship) == ["receipt 8", "shipped o-1"]
    assert mock.call_count == 3


async def test_an_error_always() -> None:
    mock = mock_activity(charge, error=ApplicationError("no funds", non_retryable=True))
    never = mock_activity(ship)
    error = await failure_of(checkout(mock, never))
    assert isinstance(error, ActivityError)
    assert "no funds" in str(error.cause)
    never.assert_not_called()
    assert mock.call_count == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_function(kind: str) -> None:
    def pay(order: Order, currency: str) -> str:
        return f"{order.total} {currency}"

    async def pay_async(order: Order, currency: str) -> str:
        return pay(order, currency)

    mock = mock_activity(charge, function=pay if kind == "sync" else pay_async)
    assert (await checkout(mock, ship))[0] == "100 EUR"


def test_assertions_tell_the_calls() -> None:
    mock = mock_activity(charge)
    mock.calls = [(1,), (2,)]
    for check in (mock.assert_called_with, mock.assert_called_once_with, mock.assert_any_call):
        with pytest.raises(AssertionError, match=r"its calls: \(1,\), \(2,\)"):
            check(3)
    with pytest.raises(AssertionError, match="'charge' was called"):
        mock.assert_not_called()


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="times"):
        mock_activity("charge", times=3)
    with pytest.raises(ValueError, match="not both"):
        mock_activity("charge", result=1, function=print)
    with pytest.raises(TypeError, match="not an activity"):
        mock_activity(print)
