"""How executions begin and end: policies for ids, delays, time-outs, retries, memo, cancellation, termination."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from tenuto.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from tenuto.exceptions import (
    ApplicationError,
    CancelledError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from tenuto.service import RPCError, RPCStatusCode
from tenuto.store.protocol import Due
from tenuto.store.sqlite import SqliteStore
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.support.durable import TASK, an_id, at_most, ended, failure_of, history, serving, shape, until


@activity.defn
async def note(what: str) -> str:
    return what


@workflow.defn
class Ends:
    """Ends the way it is told to."""

    @workflow.run
    async def run(self, how: str) -> str:
        if how == "fail":
            raise ApplicationError("as told", type="Told")
        if how == "wait":
            await asyncio.Event().wait()
        return how

    @workflow.signal
    def nudge(self) -> None:
        pass


async def _status(handle: WorkflowHandle[Any]) -> str:
    return (await handle.describe()).status.name


# -- ids -------------------------------------------------------------------------------------------------------------


async def test_an_id_that_is_running_is_refused_with_its_run() -> None:
    async with serving(Ends) as client:
        first = await client.start_workflow(Ends.run, "wait", id=an_id())
        with pytest.raises(WorkflowAlreadyStartedError) as caught:
            await client.start_workflow(Ends.run, "wait", id=first.id)
        assert (caught.value.workflow_id, caught.value.run_id) == (first.id, first.result_run_id)
        assert caught.value.workflow_type == "Ends"


async def test_an_id_that_is_running_can_be_joined() -> None:
    async with serving(Ends) as client:
        first = await client.start_workflow(Ends.run, "wait", id=an_id())
        again = await client.start_workflow(
            Ends.run, "other", id=first.id, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
        )
        assert again.result_run_id == first.result_run_id


@pytest.mark.parametrize(
    "policies",
    [
        {"id_conflict_policy": WorkflowIDConflictPolicy.TERMINATE_EXISTING},
        {"id_reuse_policy": WorkflowIDReusePolicy.TERMINATE_IF_RUNNING},
    ],
)
async def test_an_id_that_is_running_can_be_taken_over(policies: dict[str, Any]) -> None:
    async with serving(Ends) as client:
        first = await client.start_workflow(Ends.run, "wait", id=an_id())
        second = await client.start_workflow(Ends.run, "second", id=first.id, **policies)
        assert second.result_run_id != first.result_run_id
        assert await second.result() == "second"
        error = await failure_of(first.result())
        assert isinstance(error, TerminatedError)


@pytest.mark.parametrize(
    ("policy", "before", "allowed"),
    [
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE, "done", True),
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE, "fail", True),
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, "done", False),
        (WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, "fail", True),
        (WorkflowIDReusePolicy.REJECT_DUPLICATE, "done", False),
        (WorkflowIDReusePolicy.REJECT_DUPLICATE, "fail", False),
        (WorkflowIDReusePolicy.TERMINATE_IF_RUNNING, "done", True),
    ],
)
async def test_the_reuse_policy_says_whether_a_closed_id_can_be_used_again(
    policy: WorkflowIDReusePolicy, before: str, allowed: bool, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Ends, url=url) as client:
        first = await ended(await client.start_workflow(Ends.run, before, id="w"))
    async with serving(Ends, url=url) as client:
        start = client.start_workflow(Ends.run, "again", id="w", id_reuse_policy=policy)
        if allowed:
            assert await (await start).result() == "again"
        else:
            with pytest.raises(WorkflowAlreadyStartedError) as caught:
                await start
            assert caught.value.run_id == first.result_run_id


async def test_a_start_repeated_with_its_request_id_is_the_same_start() -> None:
    async with serving(Ends) as client:
        first = await client.start_workflow(Ends.run, "done", id=an_id(), request_id="r")
        assert await first.result() == "done"
        for policy in (WorkflowIDReusePolicy.ALLOW_DUPLICATE, WorkflowIDReusePolicy.REJECT_DUPLICATE):
            again = await client.start_workflow(Ends.run, "done", id=first.id, request_id="r", id_reuse_policy=policy)
            assert again.result_run_id == first.result_run_id
        other = await client.start_workflow(Ends.run, "done", id=first.id, request_id="another")
        assert other.result_run_id != first.result_run_id


async def test_many_starts_of_one_id_at_once_begin_one_run() -> None:
    async with serving(Ends) as client:
        workflow_id = an_id()

        async def start() -> str | None:
            try:
                return (await client.start_workflow(Ends.run, "wait", id=workflow_id)).result_run_id
            except WorkflowAlreadyStartedError as error:
                return error.run_id

        assert len(set(await asyncio.gather(*(start() for _ in range(20))))) == 1
        assert (await client.count_workflows()).count == 1


@pytest.mark.parametrize("workflow_id", ["", "x" * 1001])
async def test_an_id_has_a_length(workflow_id: str) -> None:
    async with serving(Ends) as client:
        with pytest.raises(RPCError) as caught:
            await client.start_workflow(Ends.run, "done", id=workflow_id)
        assert caught.value.status is RPCStatusCode.INVALID_ARGUMENT
        assert "1 to 1000 characters" in str(caught.value)


@pytest.mark.parametrize("args", [[], ["a", "b"]])
async def test_a_wrong_number_of_arguments_is_refused_before_anything_is_recorded(args: list[str]) -> None:
    async with serving(Ends) as client:
        with pytest.raises(TypeError, match="run"):
            await client.start_workflow(Ends.run, args=args, id=an_id())
        with pytest.raises(ValueError, match="not both"):
            await client.start_workflow(Ends.run, "a", args=["b"], id=an_id())
        assert (await client.count_workflows()).count == 0


# -- memo ------------------------------------------------------------------------------------------------------------


@workflow.defn
class Remembers:
    @workflow.run
    async def run(self) -> list[Any]:
        with pytest.raises(KeyError):
            workflow.memo_value("missing")
        return [
            dict(workflow.memo()),
            workflow.memo_value("when", type_hint=timedelta) == timedelta(hours=1),
            workflow.memo_value("missing", "default"),
        ]


async def test_the_memo_is_seen_by_the_code_by_clients_and_in_listings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Remembers, url=url) as client:
        handle = await client.start_workflow(
            Remembers.run, id="w", memo={"who": {"name": "Ada"}, "when": timedelta(hours=1)}
        )
        seen, same, default = await handle.result()
        assert seen["who"] == {"name": "Ada"}
        assert (same, default) == (True, "default")
    async with await Client.connect(url) as client:
        description = await client.get_workflow_handle("w").describe()
        assert (await description.memo())["who"] == {"name": "Ada"}
        assert await description.memo_value("when", type_hint=timedelta) == timedelta(hours=1)
        assert await description.memo_value("missing", None) is None
        with pytest.raises(KeyError):
            await description.memo_value("missing")
        async for listed in client.list_workflows():
            assert await listed.memo_value("who") == {"name": "Ada"}


# -- delays, time-outs, retries --------------------------------------------------------------------------------------


async def test_a_start_delay_holds_the_code_back_and_survives_a_restart(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    async with serving(Ends, url=url, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Ends.run, "done", id="w", start_delay=timedelta(days=1))
        clock.advance(23 * 3600)
        await asyncio.sleep(0.005)
        assert await shape(handle) == ["Started"]
        assert (await history(handle))[0].first_workflow_task_backoff == 86400
    async with serving(Ends, url=url, connect={"clock": clock}) as client:
        handle = client.get_workflow_handle("w")
        clock.advance(3601)
        assert await handle.result() == "done"


async def test_a_start_delay_with_a_signal_holds_both_back(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    async with serving(Ends, url=url, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Ends.run, "done", id="w", start_delay=10, start_signal=Ends.nudge)
        assert await shape(handle) == ["Started", "Signaled"]
    async with serving(Ends, url=url, connect={"clock": clock}) as client:
        handle = client.get_workflow_handle("w")
        await asyncio.sleep(0.005)
        assert await shape(handle) == ["Started", "Signaled"]
        clock.advance(11)
        assert await handle.result() == "done"


async def test_a_signal_ends_the_start_delay() -> None:
    async with serving(Ends) as client:
        handle = await client.start_workflow(Ends.run, "done", id=an_id(), start_delay=timedelta(days=1))
        await handle.signal(Ends.nudge)
        assert await handle.result() == "done"


@pytest.mark.parametrize("limit", ["run_timeout", "execution_timeout"])
async def test_a_run_that_takes_too_long_times_out(limit: str) -> None:
    clock = ManualClock()
    async with serving(Ends, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Ends.run, "wait", id=an_id(), **{limit: 5})
        await until(lambda: _has(handle, "TaskCompleted"))
        clock.advance(4.9)
        await asyncio.sleep(0.002)
        assert await _status(handle) == "RUNNING"
        clock.advance(0.2)
        error = await failure_of(handle.result())
        assert isinstance(error, TimeoutError)
        assert error.type is TimeoutType.START_TO_CLOSE
        assert await shape(handle) == ["Started", *TASK, "TimedOut"]
        assert await _status(handle) == "TIMED_OUT"


async def _has(handle: WorkflowHandle[Any], name: str) -> bool:
    return name in await shape(handle)


async def test_a_run_times_out_even_if_nobody_serves_it_and_after_a_restart(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    async with await Client.connect(url, clock=clock) as client:
        await client.start_workflow(Ends.run, "wait", id="w", run_timeout=5, task_queue="nobody")
    clock.advance(6)
    async with serving(Ends, url=url, connect={"clock": clock}) as client:
        error = await failure_of(client.get_workflow_handle("w").result())
        assert isinstance(error, TimeoutError)


async def test_the_execution_timeout_spans_retries_where_the_run_timeout_begins_anew() -> None:
    clock = ManualClock()
    policy = RetryPolicy(initial_interval=timedelta(seconds=1))
    async with serving(Ends, connect={"clock": clock}) as client:
        handle = await client.start_workflow(
            Ends.run, "wait", id=an_id(), run_timeout=10, execution_timeout=25, retry_policy=policy
        )
        runs = [handle.result_run_id]
        for _ in range(2):
            latest = client.get_workflow_handle(handle.id)
            await until(lambda: _has(latest, "TaskCompleted"))  # noqa: B023
            clock.advance(10.1)
            await until(lambda: _is_other_run(client, handle.id, runs[-1]))
            runs.append((await latest.describe()).run_id)
            clock.advance(2.1)
        latest = client.get_workflow_handle(handle.id)
        await until(lambda: _has(latest, "TaskCompleted"))
        clock.advance(3)
        assert isinstance(await failure_of(handle.result()), TimeoutError)
        assert len(set(runs)) == 3


async def _is_other_run(client: Client, workflow_id: str, run_id: str | None) -> bool:
    return (await client.get_workflow_handle(workflow_id).describe()).run_id != run_id


async def test_a_workflow_has_no_retry_policy_unless_it_is_given_one() -> None:
    async with serving(Ends) as client:
        handle = await client.start_workflow(Ends.run, "fail", id=an_id())
        error = await failure_of(handle.result())
        assert isinstance(error, ApplicationError)
        assert (error.type, error.message) == ("Told", "as told")
        assert (await client.count_workflows()).count == 1


@workflow.defn
class Persistent:
    @workflow.run
    async def run(self, wanted: int) -> list[Any]:
        info = workflow.info()
        if info.attempt < wanted:
            raise ApplicationError(f"attempt {info.attempt}")
        return [info.attempt, info.first_execution_run_id, info.run_id]


async def test_a_retried_workflow_is_a_new_run_and_its_result_is_the_chains() -> None:
    async with serving(Persistent) as client:
        handle = await client.start_workflow(Persistent.run, 3, id=an_id(), retry_policy=at_most(5))
        attempt, first, last = await handle.result()
        assert attempt == 3
        assert first == handle.result_run_id
        assert last != first
        assert (await client.count_workflows()).count == 3
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result(follow_runs=False)
        assert str(caught.value.cause) == "attempt 1"


async def test_a_workflow_failure_that_is_not_to_be_retried_is_not() -> None:
    async with serving(NotAgain) as client:
        policy = at_most(5)
        await failure_of(client.execute_workflow(NotAgain.run, "never", id=an_id(), retry_policy=policy))
        policy = RetryPolicy(initial_interval=timedelta(milliseconds=1), non_retryable_error_types=["Told"])
        await failure_of(client.execute_workflow(NotAgain.run, "Told", id=an_id(), retry_policy=policy))
        assert (await client.count_workflows()).count == 2


@workflow.defn
class NotAgain:
    @workflow.run
    async def run(self, kind: str) -> None:
        raise ApplicationError("once", type=kind, non_retryable=kind == "never")


async def test_the_back_off_of_a_workflow_retry_survives_a_restart(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    policy = RetryPolicy(initial_interval=timedelta(hours=1))
    async with serving(Persistent, url=url, connect={"clock": clock}) as client:
        first = await client.start_workflow(Persistent.run, 2, id="w", retry_policy=policy)
        await until(lambda: _is_other_run(client, "w", first.result_run_id))
    async with serving(Persistent, url=url, connect={"clock": clock}) as client:
        handle = client.get_workflow_handle("w")
        await asyncio.sleep(0.005)
        assert await shape(handle) == ["Started"]
        clock.advance(3601)
        assert (await handle.result())[0] == 2


@pytest.mark.own_store
async def test_time_that_leaps_while_the_store_is_read_makes_nobody_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    policy = RetryPolicy(initial_interval=timedelta(hours=1))
    async with serving(Persistent, url=url, connect={"clock": clock}) as client:
        first = await client.start_workflow(Persistent.run, 2, id="w", retry_policy=policy)
        await until(lambda: _is_other_run(client, "w", first.result_run_id))
    read, leaps = SqliteStore.due, iter([3601])

    async def read_for_an_hour(*arguments: Any) -> list[Due]:
        found = await read(*arguments)
        clock.advance(next(leaps, 0))
        return found

    monkeypatch.setattr(SqliteStore, "due", read_for_an_hour)
    async with serving(Persistent, url=url, connect={"clock": clock}) as client:
        assert (await client.get_workflow_handle("w").result())[0] == 2


# -- cancellation ----------------------------------------------------------------------------------------------------


@workflow.defn
class Cancellable:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.finished = False

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.run
    async def run(self, how: str) -> list[str]:
        try:
            await workflow.sleep(timedelta(days=1))
        except asyncio.CancelledError:
            self.log.append(f"told: {workflow.cancellation_reason()}")
            if how == "wait":
                await workflow.wait_condition(lambda: self.finished)
            if how in ("swallow", "wait"):
                await workflow.sleep(0.001)
                self.log.append("went on")
                return self.log
            if how == "clean up":
                self.log.append(await note("cleaned up"))
            if how == "fail":
                raise ApplicationError("could not stop") from None
            raise
        return self.log

    @workflow.query
    def logged(self) -> list[str]:
        return self.log


async def _cancelled(client: Client, how: str) -> WorkflowHandle[Any]:
    handle = await client.start_workflow(Cancellable.run, how, id=an_id())
    await until(lambda: _has(handle, "TimerStarted"))
    await handle.cancel(reason="enough")
    return handle


@pytest.mark.parametrize("cached", [1000, 0])
@pytest.mark.parametrize("how", ["raise", "clean up"])
async def test_a_cancelled_workflow_may_clean_up_and_is_then_cancelled(how: str, cached: int) -> None:
    async with serving(Cancellable, activities=[note], max_cached_workflows=cached) as client:
        handle = await _cancelled(client, how)
        assert isinstance(await failure_of(handle.result()), CancelledError)
        assert await _status(handle) == "CANCELED"
        assert (await handle.query(Cancellable.logged))[0] == "told: enough"
        assert (await handle.query(Cancellable.logged))[1:] == (["cleaned up"] if how == "clean up" else [])


async def test_a_cancelled_workflow_may_go_on_and_complete() -> None:
    async with serving(Cancellable) as client:
        handle = await _cancelled(client, "swallow")
        assert await handle.result() == ["told: enough", "went on"]


async def test_a_cancelled_workflow_may_fail() -> None:
    async with serving(Cancellable) as client:
        handle = await _cancelled(client, "fail")
        assert str(await failure_of(handle.result())) == "could not stop"
        assert await _status(handle) == "FAILED"


async def test_cancelling_twice_is_cancelling_once() -> None:
    async with serving(Cancellable) as client:
        handle = await _cancelled(client, "wait")
        await handle.cancel(reason="again")
        await handle.signal(Cancellable.finish)
        assert await handle.result() == ["told: enough", "went on"]
        assert (await shape(handle)).count("CancelRequested") == 1


async def test_a_cancel_before_the_first_task_reaches_the_first_wait() -> None:
    async with await Client.connect("memory://") as client:
        handle = await client.start_workflow(Cancellable.run, "raise", id=an_id())
        await handle.cancel(reason="early")
        async with Worker(client, workflows=[Cancellable]):
            assert isinstance(await failure_of(handle.result()), CancelledError)
            assert await handle.query(Cancellable.logged) == ["told: early"]
            assert await shape(handle) == ["Started", "TaskScheduled", "CancelRequested", *TASK[1:], "Canceled"]


@workflow.defn
class CancelledActivity:
    @workflow.run
    async def run(self) -> None:
        await hang()


@activity.defn(heartbeat_timeout=30)
async def hang() -> None:
    await asyncio.Event().wait()


async def test_cancelling_a_workflow_that_waits_for_an_activity_cancels_both() -> None:
    async with serving(CancelledActivity, activities=[hang]) as client:
        handle = await client.start_workflow(CancelledActivity.run, id=an_id())
        await until(lambda: _has(handle, "ActivityScheduled"))
        await handle.cancel()
        assert isinstance(await failure_of(handle.result()), CancelledError)
        assert (await shape(handle))[-2:] == ["ActivityCancelRequested", "Canceled"]


async def test_the_reason_is_none_until_there_is_a_request() -> None:
    async with serving(Unbothered) as client:
        assert await client.execute_workflow(Unbothered.run, id=an_id()) is None


@workflow.defn
class Unbothered:
    @workflow.run
    async def run(self) -> str | None:
        return workflow.cancellation_reason()


# -- termination and the end -----------------------------------------------------------------------------------------


async def test_a_terminated_workflow_gets_no_say() -> None:
    async with serving(Cancellable) as client:
        handle = await client.start_workflow(Cancellable.run, "clean up", id=an_id())
        await until(lambda: _has(handle, "TimerStarted"))
        await handle.terminate({"detail": 1}, reason="no more")
        error = await failure_of(handle.result())
        assert isinstance(error, TerminatedError)
        assert (str(error), list(error.details)) == ("no more", [{"detail": 1}])
        assert await handle.query(Cancellable.logged) == []
        assert await _status(handle) == "TERMINATED"


async def test_what_has_ended_cannot_be_ended_again() -> None:
    async with serving(Ends) as client:
        handle = await client.start_workflow(Ends.run, "done", id=an_id())
        await handle.result()
        for late in (handle.cancel, handle.terminate):
            with pytest.raises(RPCError) as caught:
                await late()
            assert caught.value.status is RPCStatusCode.NOT_FOUND
            assert "COMPLETED" in str(caught.value)


@pytest.mark.parametrize("cached", [1000, 0])
async def test_results_are_there_after_the_close_and_after_a_restart(cached: int, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Ends, url=url, max_cached_workflows=cached) as client:
        await ended(await client.start_workflow(Ends.run, "done", id="good"))
        await ended(await client.start_workflow(Ends.run, "fail", id="bad"))
    async with await Client.connect(url) as client:
        assert await client.get_workflow_handle_for(Ends.run, "good").result() == "done"
        assert str(await failure_of(client.get_workflow_handle("bad").result())) == "Told: as told"


async def test_a_result_that_does_not_come_in_time_and_one_of_nobody() -> None:
    async with serving(Ends) as client:
        handle = await client.start_workflow(Ends.run, "wait", id=an_id())
        with pytest.raises(RPCError) as caught:
            await handle.result(rpc_timeout=timedelta(milliseconds=10))
        assert caught.value.status is RPCStatusCode.DEADLINE_EXCEEDED
        for missing in (client.get_workflow_handle("nobody"), client.get_workflow_handle(handle.id, run_id="no-run")):
            for asking in (missing.result(), missing.describe(), missing.fetch_history()):
                with pytest.raises(RPCError) as caught:
                    await asking
                assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_listing_and_counting_by_status() -> None:
    async with serving(Ends) as client:
        for how in ("done", "done", "fail", "wait"):
            handle = await client.start_workflow(Ends.run, how, id=an_id())
            if how != "wait":
                await ended(handle)
        listed = [execution async for execution in client.list_workflows()]
        assert [execution.status.name for execution in listed] == ["RUNNING", "FAILED", "COMPLETED", "COMPLETED"]
        assert listed[0].id == handle.id
        assert all(execution.workflow_type == "Ends" for execution in listed)
        assert all((execution.close_time is None) == (execution.status.name == "RUNNING") for execution in listed)
        assert [execution.id async for execution in client.list_workflows(limit=2)] == [e.id for e in listed[:2]]
        assert [execution.id async for execution in client.list_workflows(page_size=1)] == [e.id for e in listed]
        failed = [e.id async for e in client.list_workflows("ExecutionStatus = 'Failed'")]
        assert failed == [listed[1].id]
        count = await client.count_workflows()
        assert count.count == 4
        assert count.by_status[WorkflowExecutionStatus.COMPLETED] == 2
        assert (await client.count_workflows(f"WorkflowId = '{handle.id}'")).count == 1


# -- what a run knows of itself --------------------------------------------------------------------------------------


@workflow.defn
class Introspective:
    @workflow.run
    async def run(self) -> dict[str, Any]:
        info = workflow.info()
        assert workflow.in_workflow()
        assert workflow.instance() is self
        assert info.parent is None
        assert info.root is None
        assert info.continued_run_id is None
        assert info.get_current_history_length() == 3
        assert info.get_current_history_size() >= 0  # of what is on record; a run may begin before it is
        assert not info.is_continue_as_new_suggested()
        assert info.start_time <= workflow.now()
        return {
            "ids": [info.workflow_id, info.run_id, info.first_execution_run_id],
            "type": info.workflow_type,
            "queue": info.task_queue,
            "attempt": info.attempt,
            "times": [
                limit.total_seconds() if limit else None
                for limit in (info.execution_timeout, info.run_timeout, info.task_timeout)
            ],
            "attempts": info.retry_policy.maximum_attempts if info.retry_policy else None,
        }


@pytest.mark.parametrize("cached", [1000, 0])
async def test_info(cached: int) -> None:
    async with serving(Introspective, task_queue="mine", max_cached_workflows=cached) as client:
        handle = await client.start_workflow(
            Introspective.run,
            id=an_id(),
            task_queue="mine",
            execution_timeout=30,
            run_timeout=timedelta(seconds=20),
            task_timeout=5,
            retry_policy=at_most(3),
        )
        assert await handle.result() == {
            "ids": [handle.id, handle.result_run_id, handle.result_run_id],
            "type": "Introspective",
            "queue": "mine",
            "attempt": 1,
            "times": [30.0, 20.0, 5.0],
            "attempts": 3,
        }


async def test_outside_a_workflow_there_is_none() -> None:
    assert not workflow.in_workflow()
    with pytest.raises(workflow.NotInWorkflowError):
        workflow.info()
