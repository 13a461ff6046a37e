"""Each limit ends in a clear error or in back-pressure, never in a silent drop."""

import asyncio
import logging
from asyncio.events import _set_running_loop
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from tenuto.exceptions import ActivityError, RetryState, TerminatedError
from tenuto.model.errors import PayloadError
from tenuto.model.limits import Limits
from tenuto.replay.loop import WorkflowLoop
from tenuto.replay.watchdog import RunsTooLongError, Watchdog
from tenuto.service import RPCError, RPCStatusCode
from tests.support.durable import ONCE, an_id, failure_of, serving, shape, until

BIG = "x" * 3000


def limited(*workflows: type[Any], activities: Any = (), **limits: int) -> Any:
    return serving(*workflows, activities=activities, connect={"limits": Limits(**limits)})


async def _stuck(handle: WorkflowHandle[Any]) -> Any:
    description = await handle.describe()
    return description if description.problem else None


@activity.defn(retry_policy=ONCE)
async def grow(size: int) -> str:
    return "x" * size


@activity.defn(retry_policy=ONCE)
async def beat_big() -> None:
    activity.heartbeat(BIG)


@workflow.defn
class Flexible:
    def __init__(self) -> None:
        self.said: list[str] = []

    @workflow.run
    async def run(self, how: str, what: str = "") -> str:
        if how == "wait":
            await workflow.wait_condition(lambda: "stop" in self.said)
        if how == "argument":
            await workflow.execute_activity(grow, args=[1, BIG])
        if how == "result":
            return BIG
        if how == "activity":
            await grow(3000)
        if how == "heartbeat":
            await beat_big()
        return how

    @workflow.signal
    def say(self, what: str) -> None:
        self.said.append(what)

    @workflow.query
    def echo(self, what: str) -> str:
        return what

    @workflow.update
    async def put(self, what: str) -> str:
        await workflow.wait_condition(lambda: "go" in self.said)
        return what


# -- payloads --------------------------------------------------------------------------------------------------------


async def test_values_that_are_too_large_are_refused_where_they_are_given() -> None:
    async with limited(Flexible, payload_size=2000) as client:
        with pytest.raises(PayloadError, match="2,000"):
            await client.start_workflow(Flexible.run, args=["wait", BIG], id=an_id())
        with pytest.raises(PayloadError):
            await client.start_workflow(Flexible.run, "wait", id=an_id(), memo={"big": BIG})
        handle = await client.start_workflow(Flexible.run, "wait", id=an_id())
        with pytest.raises(PayloadError):
            await handle.signal(Flexible.say, BIG)
        with pytest.raises(PayloadError):
            await handle.execute_update(Flexible.put, BIG)
        await handle.signal(Flexible.say, "stop")
        assert await handle.result() == "wait"


async def test_the_engine_refuses_too_large_messages_of_clients_with_other_limits() -> None:
    async with limited(Flexible, payload_size=2000) as client:
        generous = Client(
            client.gateway,
            identity="generous",
            data_converter=type(client.data_converter)(payload_size_limit=10_000),
            default_workflow_query_reject_condition=None,
        )
        handle = await client.start_workflow(Flexible.run, "wait", id=an_id())
        for request in (
            generous.start_workflow(Flexible.run, args=["wait", BIG], id=an_id()),
            generous.start_workflow(Flexible.run, "wait", id=an_id(), memo={"big": BIG}),
            generous.get_workflow_handle(handle.id).signal(Flexible.say, BIG),
            generous.get_workflow_handle(handle.id).execute_update(Flexible.put, BIG),
        ):
            with pytest.raises(RPCError) as caught:
                await request
            assert caught.value.status is RPCStatusCode.INVALID_ARGUMENT
            assert "at most 2,000" in str(caught.value)


@pytest.mark.parametrize("how", ["activity", "heartbeat"])
async def test_an_activity_whose_values_are_too_large_fails(how: str) -> None:
    async with limited(Flexible, activities=[grow, beat_big], payload_size=2000) as client:
        error = await failure_of(client.execute_workflow(Flexible.run, how, id=an_id()))
        assert isinstance(error, ActivityError)
        assert "2,000" in str(error.cause)
        assert error.retry_state in (RetryState.NON_RETRYABLE_FAILURE, RetryState.MAXIMUM_ATTEMPTS_REACHED)


async def test_a_workflow_whose_result_is_too_large_is_a_problem() -> None:
    async with limited(Flexible, payload_size=2000) as client:
        handle = await client.start_workflow(Flexible.run, "result", id=an_id())
        assert "2,000" in (await until(lambda: _stuck(handle))).problem


# -- histories -------------------------------------------------------------------------------------------------------


@workflow.defn
class Endless:
    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.sleep(0.0001)


@pytest.mark.own_store  # it counts on commits that are too quick for much to gather
@pytest.mark.parametrize(
    "limits",
    [
        {"history_events": 60, "history_events_warning": 30},
        {"history_size": 2000, "history_size_warning": 800},
    ],
)
async def test_a_history_that_grows_too_long_is_warned_of_and_then_terminated(
    limits: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tenuto.engine"):
        async with limited(Endless, **limits) as client:
            handle = await client.start_workflow(Endless.run, id=an_id())
            error = await failure_of(handle.result())
    assert isinstance(error, TerminatedError)
    assert "continue as new" in str(error)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert handle.id in warnings[0].getMessage()


# -- what is pending -------------------------------------------------------------------------------------------------


@workflow.defn
class Starts:
    """Starts a number of things of one kind at once."""

    @workflow.run
    async def run(self, kind: str, number: int) -> str:
        if kind == "activities":
            things = [workflow.start_activity(grow, 1, task_queue="nobody") for _ in range(number)]
        elif kind == "children":
            things = [
                asyncio.ensure_future(workflow.start_child_workflow(Flexible.run, "wait", task_queue="nobody"))
                for _ in range(number)
            ]
        else:
            other = workflow.get_external_workflow_handle("nobody")
            act = other.cancel if kind == "cancels" else lambda: other.signal("say", "x")
            things = [asyncio.ensure_future(act()) for _ in range(number)]
        await asyncio.sleep(0.001)
        for thing in things:
            thing.cancel()
        return "all started"


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("activities", "PENDING_ACTIVITIES_LIMIT_EXCEEDED"),
        ("children", "PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED"),
        ("signals", "PENDING_SIGNALS_LIMIT_EXCEEDED"),
        ("cancels", "PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED"),
    ],
)
async def test_a_run_may_have_so_much_pending_and_no_more(kind: str, cause: str) -> None:
    async with limited(Starts, **{f"pending_{kind}": 5}) as client:
        fits = await client.start_workflow(Starts.run, args=[kind, 5], id=an_id())
        assert await fits.result() == "all started"
        handle = await client.start_workflow(Starts.run, args=[kind, 6], id=an_id())
        problem = (await until(lambda: _stuck(handle))).problem
        assert cause in problem
        assert "6 pending" in problem
        assert "5" in problem
        assert await shape(handle) == ["Started", "TaskScheduled", "TaskStarted", "TaskFailed"]


# -- messages --------------------------------------------------------------------------------------------------------


async def test_a_run_takes_so_many_signals() -> None:
    async with limited(Flexible, signals_received=3) as client:
        handle = await client.start_workflow(Flexible.run, "wait", id=an_id())
        for _ in range(3):
            await handle.signal(Flexible.say, "x")
        with pytest.raises(RPCError, match="3 signals") as caught:
            await handle.signal(Flexible.say, "one too many")
        assert caught.value.status is RPCStatusCode.RESOURCE_EXHAUSTED


async def test_a_run_takes_so_many_updates_at_a_time_and_in_all() -> None:
    async with limited(Flexible, updates_in_flight=2, updates_received=3) as client:
        handle = await client.start_workflow(Flexible.run, "wait", id=an_id())
        first = [await handle.start_update(Flexible.put, str(number)) for number in range(2)]
        with pytest.raises(RPCError, match="2 updates in flight") as caught:
            await handle.start_update(Flexible.put, "x")
        assert caught.value.status is RPCStatusCode.RESOURCE_EXHAUSTED
        await handle.signal(Flexible.say, "go")
        assert [await update.result() for update in first] == ["0", "1"]
        assert await handle.execute_update(Flexible.put, "2") == "2"
        with pytest.raises(RPCError, match="3 updates") as caught:
            await handle.execute_update(Flexible.put, "3")
        assert caught.value.status is RPCStatusCode.RESOURCE_EXHAUSTED


async def test_an_engine_takes_so_many_requests_at_a_time() -> None:
    async with limited(Flexible, waiting_requests=5) as client:
        handle = await client.start_workflow(Flexible.run, "wait", id=an_id())
        answers = await asyncio.gather(
            *(handle.signal(Flexible.say, str(number)) for number in range(8)), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, RPCError)]
        assert len(refused) == 3
        assert {error.status for error in refused} == {RPCStatusCode.RESOURCE_EXHAUSTED}
        assert (await shape(handle)).count("Signaled") == 5
        await handle.signal(Flexible.say, "again")


# -- names -----------------------------------------------------------------------------------------------------------


@workflow.defn
class LongNames:
    @workflow.run
    async def run(self, what: str) -> None:
        name = "x" * 60
        if what == "activity":
            await workflow.execute_activity(name)
        if what == "activity id":
            await workflow.execute_activity(grow, 1, activity_id=name)
        if what == "queue":
            await workflow.execute_activity(grow, 1, task_queue=name)
        if what == "child":
            await workflow.execute_child_workflow(Flexible.run, "x", id=name)
        if what == "signal":
            await workflow.get_external_workflow_handle("x").signal(name)


@pytest.mark.parametrize("what", ["activity", "activity id", "queue", "child", "signal"])
async def test_names_have_a_length(what: str) -> None:
    async with limited(LongNames, name_length=50) as client:
        handle = await client.start_workflow(LongNames.run, what, id=an_id())
        problem = (await until(lambda: _stuck(handle))).problem
        assert "BAD_ATTRIBUTES" in problem
        assert "1 to 50 characters, not 60" in problem


async def test_an_update_beyond_a_limit_of_its_code_is_still_an_update_that_fails_for_its_caller() -> None:
    async with limited(Flexible, payload_size=2000) as client:
        handle = await client.start_workflow(Flexible.run, "wait", id=an_id())
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("missing")


# -- code that does not stop -----------------------------------------------------------------------------------------


@workflow.defn
class Spins:
    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: True)


async def test_code_that_waits_for_nothing_for_ever_is_a_problem() -> None:
    async with serving(Spins) as client:
        handle = await client.start_workflow(Spins.run, id=an_id(), task_timeout=0.3)
        problem = (await until(lambda: _stuck(handle))).problem
        assert "without waiting" in problem or "task_timeout" in problem or "control" in problem
        await handle.terminate()


async def test_code_that_is_stopped_while_its_loop_is_being_left_leaves_the_engine_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error strikes at any instruction, so also at the one that would have put the engine's loop back."""
    engines_loop = asyncio.get_running_loop()
    leave, stuck = Watchdog.leave, True

    def strike(loop: WorkflowLoop) -> None:
        _set_running_loop(loop)
        raise RunsTooLongError

    def fired(watchdog: Watchdog) -> bool:
        return leave(watchdog) or stuck

    async with serving(Flexible) as client:
        with monkeypatch.context() as patch:
            patch.setattr(WorkflowLoop, "drain", strike)
            patch.setattr(Watchdog, "leave", fired)
            handle = await client.start_workflow(Flexible.run, "done", id=an_id())
            assert asyncio.get_running_loop() is engines_loop
            assert "task timeout" in (await until(lambda: _stuck(handle))).problem
        assert await client.execute_workflow(Flexible.run, "fine", id=an_id()) == "fine"


async def test_an_error_that_strikes_just_after_the_code_has_ended_breaks_its_task_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave = Watchdog.leave
    struck: list[None] = []

    def late(watchdog: Watchdog) -> bool:
        if not struck:
            struck.append(None)
            raise RunsTooLongError
        return leave(watchdog)

    monkeypatch.setattr(Watchdog, "leave", late)
    async with serving(Flexible) as client:
        handle = await client.start_workflow(Flexible.run, "done", id=an_id())
        assert "task timeout" in (await until(lambda: _stuck(handle))).problem
        assert await client.execute_workflow(Flexible.run, "fine", id=an_id()) == "fine"
