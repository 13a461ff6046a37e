"""What a start can keep of the run before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenuto.client import Client
from tenuto.steps import WorkflowEntrypoint, WorkflowStep, WorkflowTimeoutError
from tenuto.steps.control import ASKED_QUERY, Asked
from tenuto.steps.kept import kept_before
from tenuto.steps.options import StartOptions
from tests.support.durable import an_id, history, serving

ran: list[str] = []


class Counts(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        first = await step.do("first", lambda: ran.append("first") or len(ran))
        try:
            await step.do("second", {"retries": {"limit": 0}}, lambda: ran.append("second") or 1 / 0)
        except ZeroDivisionError as error:
            said = str(error)
        await step.sleep("nap", 0.001)
        got = (await step.wait_for_event("event", type="go")).payload
        try:
            await step.wait_for_event("nothing", type="no", timeout=0.001)
        except WorkflowTimeoutError:
            said += ", timed out"
        last = await step.do("last", lambda: ran.append("last") or len(ran))
        return [first, said, got, last]


async def kept(client: Client, run: Any, name: str, count: int = 1) -> StartOptions:
    asked = await run.query(ASKED_QUERY, result_type=list[Asked])
    return StartOptions(kept=kept_before(await history(run), asked, name, count, None, client.data_converter))


async def test_what_came_before_a_step_is_kept_by_a_run_that_begins_there() -> None:
    ran.clear()
    async with serving(Counts) as client:
        first = await client.start_workflow(Counts, id=an_id())
        await first.signal("go", "went")
        assert await first.result() == [1, "division by zero, timed out", "went", 3]
        options = await kept(client, first, "last")
        again = await client.start_workflow(Counts, args=[None, options], id=an_id())
        assert await again.result() == [1, "division by zero, timed out", "went", 4]
        assert ran == ["first", "second", "last", "last"]
        # What was kept of the first run is kept of the second, too.
        third = await client.start_workflow(Counts, args=[None, await kept(client, again, "last")], id=an_id())
        assert await third.result() == [1, "division by zero, timed out", "went", 5]


async def test_a_step_that_there_is_not_is_named_with_those_there_are() -> None:
    async with serving(Counts) as client:
        run = await client.start_workflow(Counts, id=an_id())
        await run.signal("go", "went")
        await run.result()
        with pytest.raises(LookupError, match=r"no step 'lost'.* first-1, second-1, nap-1"):
            await kept(client, run, "lost")


class Race(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def slow() -> str:
            await asyncio.sleep(0.05)
            return "slow"

        racing = [asyncio.create_task(each) for each in (step.do("race", slow), step.do("race", lambda: "fast"))]
        done, left = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*left)
        await step.do("last", lambda: None)
        return [each.result() for each in done]


async def test_who_won_a_race_wins_it_again() -> None:
    async with serving(Race) as client:
        first = await client.start_workflow(Race, id=an_id())
        assert await first.result() == ["fast"]
        again = await client.start_workflow(Race, args=[None, await kept(client, first, "last")], id=an_id())
        assert await again.result() == ["fast"]
        third = await client.start_workflow(Race, args=[None, await kept(client, again, "last")], id=an_id())
        assert await third.result() == ["fast"]
