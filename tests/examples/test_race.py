import pytest

from examples import race
from examples.race import FastestOffer, Offer, Supplier, ask
from tenuto.client import Client, WorkflowFailureError
from tenuto.exceptions import ApplicationError
from tenuto.worker import Worker


@pytest.fixture(autouse=True)
def _empty_world() -> None:
    race.stopped.clear()


async def test_the_first_offer_wins_and_the_losers_are_cancelled(url: str) -> None:
    suppliers = [
        Supplier("slow", 600, 1),
        Supplier("none", 0, None),
        Supplier("quick", 0.02, 9),
        Supplier("lazy", 60, 2),
    ]
    async with await Client.connect(url) as client, Worker(client, workflows=[FastestOffer], activities=[ask]):
        handle = await client.start_workflow(FastestOffer.run, suppliers, id="race")
        assert await handle.result() == Offer("quick", 9)
        assert sorted(race.stopped) == ["lazy", "slow"]
        events = [type(event).__name__ for event in (await handle.fetch_history()).events]
        assert events.count("ActivityTaskCanceled") == 2
        assert events[-1] == "WorkflowExecutionCompleted"


async def test_without_any_offer_the_workflow_fails(url: str) -> None:
    suppliers = [Supplier("none", 0, None), Supplier("nothing", 0, None)]
    async with await Client.connect(url) as client, Worker(client, workflows=[FastestOffer], activities=[ask]):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(FastestOffer.run, suppliers, id="race")
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "NoOffer"


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await race.main()
    assert "cancelled: ['slow']" in capsys.readouterr().out
