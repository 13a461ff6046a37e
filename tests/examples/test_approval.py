import pytest

from examples import approval
from examples.approval import Approval, Decision, Request, notify
from tenuto.client import Client, WorkflowUpdateFailedError
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.examples.conftest import Until

DAY = 24 * 3600


def office(client: Client) -> Worker:
    return Worker(client, workflows=[Approval], activities=[notify])


async def test_the_first_approver_decides(url: str, until: Until) -> None:
    async with await Client.connect(url) as client, office(client):
        handle = await client.start_workflow(Approval.run, Request("a piano", ["Mia", "Ada"]), id="1")
        await until(lambda: handle.query(Approval.waits_for))
        assert await handle.execute_update(Approval.decide, Decision("Mia", True)) == "approved by Mia"
        assert await handle.result() == Decision("Mia", True)


async def test_is_escalated_after_two_days_and_rejected_after_four(until: Until) -> None:
    clock = ManualClock()
    async with await Client.connect("memory://", clock=clock) as client, office(client):
        handle = await client.start_workflow(Approval.run, Request("a piano", ["Mia", "Ada"]), id="1")

        async def timer_waits_for(approver: str) -> bool:
            timers = (await handle.describe()).pending_timers
            return bool(timers) and await handle.query(Approval.waits_for) == approver

        await until(lambda: timer_waits_for("Mia"))
        clock.advance(2 * DAY)
        await until(lambda: timer_waits_for("Ada"))
        clock.advance(2 * DAY)
        assert await handle.result() == Decision("nobody", False)


async def test_only_who_is_asked_may_decide_and_only_once(url: str, until: Until) -> None:
    async with await Client.connect(url) as client, office(client):
        handle = await client.start_workflow(Approval.run, Request("a piano", ["Mia"]), id="1")
        await until(lambda: handle.query(Approval.waits_for))
        with pytest.raises(WorkflowUpdateFailedError, match="Eve is not asked"):
            await handle.execute_update(Approval.decide, Decision("Eve", True))
        await handle.execute_update(Approval.decide, Decision("Mia", False))
        assert await handle.result() == Decision("Mia", False)


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await approval.main()
    assert "approved by the director" in capsys.readouterr().out
