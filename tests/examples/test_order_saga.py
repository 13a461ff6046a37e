import pytest

from examples import order_saga
from examples.order_saga import ACTIVITIES, Order, OrderSaga
from tenuto.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from tenuto.exceptions import ActivityError, ApplicationError
from tenuto.worker import Worker
from tests.examples.conftest import Until


@pytest.fixture(autouse=True)
def _empty_world() -> None:
    order_saga.outside.clear()


def happened() -> list[str]:
    return [what for _, what in order_saga.outside]


def shop(client: Client) -> Worker:
    return Worker(client, workflows=[OrderSaga], activities=ACTIVITIES)


async def test_nothing_is_undone_when_all_goes_well(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        assert await client.execute_workflow(OrderSaga.run, Order("1", "piano"), id="1") == "parcel-1"
    assert happened() == ["stock reserved", "card charged", "shipped"]


async def test_a_failure_undoes_last_first_and_is_reported(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(OrderSaga.run, Order("1", "piano", address=""), id="1")
    assert happened() == [
        "stock reserved",
        "card charged",
        "parcel recalled",
        "card refunded",
        "stock released",
    ]
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, ApplicationError)
    assert caught.value.cause.cause.type == "NoAddress"


async def test_the_step_that_failed_is_undone_too(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(OrderSaga.run, Order("1", "piano", card="declined"), id="1")
    assert happened() == ["stock reserved", "card refunded", "stock released"]


async def test_compensations_survive_cancellation(url: str, until: Until) -> None:
    async with await Client.connect(url) as client, shop(client):
        handle = await client.start_workflow(OrderSaga.run, Order("1", "piano", address="far away"), id="1")
        await until(lambda: "card charged" in happened())
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert happened()[-3:] == ["parcel recalled", "card refunded", "stock released"]


async def test_a_compensation_that_fails_keeps_no_other_from_running(url: str) -> None:
    async with await Client.connect(url) as client, shop(client):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(OrderSaga.run, Order("1", "piano", card="closed", address=""), id="1")
    assert happened() == ["stock reserved", "card charged", "parcel recalled", "stock released"]
    error = caught.value.cause
    assert isinstance(error, ApplicationError)
    assert error.type == "CompensationFailed"
    assert error.details == ("refund_card: AccountClosed: the account was closed",)
    assert isinstance(error.cause, ActivityError)


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await order_saga.main()
    assert "order 4 was cancelled" in capsys.readouterr().out
