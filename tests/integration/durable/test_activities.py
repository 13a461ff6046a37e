"""Activities: where they run, their time limits, retries, heartbeats and cancellation."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError, CancelledError, RetryState, TimeoutError, TimeoutType
from tenuto.model import events as ev
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.support.durable import AT_ONCE, ONCE, an_id, at_most, failure_of, history, of_type, serving, until


class Ledger:
    """What activities of the running test have seen; they can't be given anything that isn't recorded."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.seen: list[Any] = []
        self.go_on = asyncio.Event()
        self.stop = threading.Event()


ledger = Ledger()


@pytest.fixture(autouse=True)
def _fresh_ledger() -> None:
    ledger.clear()


@workflow.defn
class Calls:
    """Runs one activity by name, with the options given; says what came of it."""

    @workflow.run
    async def run(self, name: str, options: dict[str, Any]) -> Any:
        retry = options.pop("attempts", None)
        if retry is not None:
            options["retry_policy"] = at_most(retry)
        return await workflow.execute_activity(name, **options)


async def call(client: Client, name: str, **options: Any) -> Any:
    return await client.execute_workflow(Calls.run, args=[name, options], id=an_id())


async def failure(client: Client, name: str, **options: Any) -> ActivityError:
    error = await failure_of(call(client, name, **options))
    assert isinstance(error, ActivityError)
    return error


# -- where they run --------------------------------------------------------------------------------------------------


@activity.defn
async def on_the_loop() -> str:
    return threading.current_thread().name


@activity.defn
def in_a_thread() -> list[str]:
    return [threading.current_thread().name, activity.info().workflow_type]


@activity.defn
def in_a_process(a: int, b: int) -> list[int]:
    return [a + b, os.getpid(), activity.info().attempt]


class Bank:
    def __init__(self, name: str) -> None:
        self.name = name

    @activity.defn
    async def open_account(self, owner: str) -> str:
        return f"{owner} at {self.name}"


async def test_async_activities_run_on_the_event_loop_and_plain_ones_in_threads() -> None:
    async with serving(Calls, activities=[on_the_loop, in_a_thread]) as client:
        assert await call(client, "on_the_loop") == "MainThread"
        thread, workflow_type = await call(client, "in_a_thread")
        assert thread.startswith("tenuto default")
        assert workflow_type == "Calls"


async def test_plain_activities_run_in_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        async with serving(Calls, activities=[in_a_process], activity_executor=pool) as client:
            total, pid, attempt = await call(client, "in_a_process", args=[1, 2])
            assert (total, attempt) == (3, 1)
            assert pid != os.getpid()


async def test_methods_are_activities_of_their_object() -> None:
    async with serving(Calls, activities=[Bank("Ours").open_account]) as client:
        assert await call(client, "open_account", args=["Ada"]) == "Ada at Ours"


async def test_a_declared_activity_called_outside_a_workflow_is_the_plain_function() -> None:
    assert await Bank("Ours").open_account("Ada") == "Ada at Ours"


@activity.defn(start_to_close_timeout=33, retry_policy=at_most(7), heartbeat_timeout=timedelta(seconds=11))
async def with_options() -> list[float]:
    info = activity.info()
    assert info.start_to_close_timeout is not None
    assert info.heartbeat_timeout is not None
    return [info.start_to_close_timeout.total_seconds(), info.heartbeat_timeout.total_seconds()]


async def test_options_declared_on_the_activity_hold_unless_the_call_says_otherwise() -> None:
    async with serving(Declared, activities=[with_options]) as client:
        handle = await client.start_workflow(Declared.run, id=an_id())
        assert await handle.result() == [[33.0, 11.0], [22.0, 11.0]]
        declared, called = of_type(await history(handle), ev.ActivityTaskScheduled)
        assert declared.retry.maximum_attempts == 7
        assert called.retry.maximum_attempts == 1


@workflow.defn
class Declared:
    @workflow.run
    async def run(self) -> list[list[float]]:
        return [
            await with_options(),
            await workflow.execute_activity(
                with_options, start_to_close_timeout=timedelta(seconds=22), retry_policy=ONCE
            ),
        ]


# -- failures and retries --------------------------------------------------------------------------------------------


@activity.defn
async def fails_with(kind: str) -> str:
    info = activity.info()
    ledger.seen.append((info.attempt, info.idempotency_key, info.last_failure))
    if kind == "value":
        raise ValueError("a bad value")
    if kind == "own":
        raise ApplicationError("its own type", {"more": 1}, type="Special")
    if kind == "never":
        raise ApplicationError("never again", non_retryable=True)
    if kind == "soon":
        raise ApplicationError("soon", next_retry_delay=timedelta(milliseconds=1))
    if kind.startswith("until"):
        if info.attempt < int(kind.removeprefix("until ")):
            raise ValueError(f"attempt {info.attempt}")
        return "at last"
    raise AssertionError(kind)


async def test_the_error_says_what_failed_how_often_and_with_what() -> None:
    async with serving(Calls, activities=[fails_with]) as client:
        error = await failure(client, "fails_with", args=["own"], attempts=2)
        assert (error.activity_type, error.activity_id, error.retry_state) == (
            "fails_with",
            "1",
            RetryState.MAXIMUM_ATTEMPTS_REACHED,
        )
        cause = error.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.message, cause.type, cause.details) == ("its own type", "Special", ({"more": 1},))
        assert [attempt for attempt, _, _ in ledger.seen] == [1, 2]


async def test_any_exception_is_an_application_error_with_the_name_of_its_class() -> None:
    async with serving(Calls, activities=[fails_with]) as client:
        cause = (await failure(client, "fails_with", args=["value"], attempts=1)).cause
        assert isinstance(cause, ApplicationError)
        assert (cause.type, cause.message) == ("ValueError", "a bad value")
        assert cause.failure is not None
        assert "fails_with" in cause.failure.stack_trace


async def test_a_failure_may_forbid_further_attempts() -> None:
    async with serving(Calls, activities=[fails_with]) as client:
        error = await failure(client, "fails_with", args=["never"])
        assert error.retry_state is RetryState.NON_RETRYABLE_FAILURE
        assert len(ledger.seen) == 1


@workflow.defn
class Picky:
    @workflow.run
    async def run(self, kind: str) -> str:
        policy = RetryPolicy(
            initial_interval=timedelta(milliseconds=1), non_retryable_error_types=["ValueError", "Special"]
        )
        return await workflow.execute_activity(fails_with, kind, retry_policy=policy)


@pytest.mark.parametrize("kind", ["value", "own"])
async def test_the_policy_names_types_that_are_not_retried(kind: str) -> None:
    async with serving(Picky, activities=[fails_with]) as client:
        error = await failure_of(client.execute_workflow(Picky.run, kind, id=an_id()))
        assert isinstance(error, ActivityError)
        assert error.retry_state is RetryState.NON_RETRYABLE_FAILURE
        assert len(ledger.seen) == 1


@workflow.defn
class Patient:
    @workflow.run
    async def run(self, kind: str) -> str:
        hour = timedelta(hours=1)
        return await workflow.execute_activity(
            fails_with, kind, retry_policy=RetryPolicy(initial_interval=hour, maximum_attempts=3)
        )


async def test_a_failure_may_say_when_to_try_again() -> None:
    async with serving(Patient, activities=[fails_with]) as client:
        await failure_of(client.execute_workflow(Patient.run, "soon", id=an_id()))
        assert len(ledger.seen) == 3


async def test_back_offs_grow_by_the_coefficient_up_to_the_longest() -> None:
    clock = ManualClock()
    async with serving(BacksOff, activities=[fails_with], connect={"clock": clock}) as client:
        handle = await client.start_workflow(BacksOff.run, id=an_id())
        waits = []
        for attempt in range(1, 6):
            await until(lambda attempt=attempt: len(ledger.seen) == attempt)  # type: ignore[misc]
            pending = await until(lambda attempt=attempt: _next_attempt(handle, attempt + 1))  # type: ignore[misc]
            wait = pending.next_attempt_time.timestamp() - clock.now() / 1e9
            waits.append(round(wait, 3))
            clock.advance(wait + 0.001)
        assert await handle.result() == "at last"
        assert waits == [1.0, 3.0, 9.0, 10.0, 10.0]


async def _next_attempt(handle: Any, number: int) -> Any:
    """The activity, once it waits for this attempt."""
    (pending,) = (await handle.describe()).pending_activities or (None,)
    return pending if pending and (pending.attempt, pending.state) == (number, "backing_off") else None


async def _backs_off(handle: Any) -> bool:
    return [pending.state for pending in (await handle.describe()).pending_activities] == ["backing_off"]


@workflow.defn
class BacksOff:
    @workflow.run
    async def run(self) -> str:
        policy = RetryPolicy(
            initial_interval=timedelta(seconds=1), backoff_coefficient=3.0, maximum_interval=timedelta(seconds=10)
        )
        return await workflow.execute_activity(fails_with, "until 6", retry_policy=policy)


async def test_the_idempotency_key_is_the_same_for_all_attempts_and_differs_between_activities() -> None:
    async with serving(TwoCalls, activities=[fails_with]) as client:
        handle = await client.start_workflow(TwoCalls.run, id=an_id())
        await handle.result()
        keys = [key for _, key, _ in ledger.seen]
        assert len(keys) == 5
        assert len(set(keys[:3])) == 1
        assert len(set(keys)) == 2
        assert all(handle.result_run_id in key for key in keys)  # type: ignore[operator]
        assert [failed for _, _, failed in ledger.seen[:3]] == [None, "ValueError: attempt 1", "ValueError: attempt 2"]


@workflow.defn
class TwoCalls:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(fails_with, "until 3", retry_policy=AT_ONCE)
        await workflow.execute_activity(fails_with, "until 2", retry_policy=AT_ONCE)


async def test_attempts_are_visible_while_they_go_on() -> None:
    async with serving(Patient, activities=[fails_with]) as client:
        handle = await client.start_workflow(Patient.run, "value", id=an_id())
        await until(lambda: ledger.seen)
        await until(lambda: _backs_off(handle))
        (pending,) = (await handle.describe()).pending_activities
        assert (pending.activity_type, pending.activity_id) == ("fails_with", "1")
        assert (pending.attempt, pending.last_failure) == (2, "ValueError: a bad value")
        assert pending.next_attempt_time is not None
        assert (pending.next_attempt_time - pending.scheduled_time).total_seconds() > 3599


async def test_back_off_and_count_of_attempts_survive_a_restart(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    options: dict[str, Any] = {"activities": [fails_with], "url": url, "connect": {"clock": clock}}
    async with serving(Patient, **options) as client:
        handle = await client.start_workflow(Patient.run, "until 2", id="w")
        await until(lambda: _backs_off(handle))
    clock.advance(3500)
    async with serving(Patient, **options) as client:
        handle = client.get_workflow_handle("w")
        assert await _backs_off(handle)
        clock.advance(101)
        assert await handle.result() == "at last"
    assert [attempt for attempt, _, _ in ledger.seen] == [1, 2]


async def test_an_activity_that_nobody_has_is_tried_again_because_another_worker_may_have_it() -> None:
    async with serving(Calls, activities=[on_the_loop]) as client:
        error = await failure(client, "on_teh_loop", attempts=2)
        assert isinstance(error.cause, ApplicationError)
        assert error.cause.type == "NotFoundError"
        assert "on_teh_loop" in error.cause.message
        assert "on_the_loop" in error.cause.message
        assert error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED


async def test_arguments_that_do_not_fit_are_not_tried_again() -> None:
    async with serving(Calls, activities=[in_a_process]) as client:
        error = await failure(client, "in_a_process", args=[1])
        assert error.retry_state is RetryState.NON_RETRYABLE_FAILURE
        assert "in_a_process" in str(error.cause)
        error = await failure(client, "in_a_process", args=[1, "two"])
        assert error.retry_state is RetryState.NON_RETRYABLE_FAILURE


@activity.defn
async def returns_nonsense() -> object:
    return object()


async def test_a_result_that_cannot_be_stored_fails_the_activity_for_good() -> None:
    async with serving(Calls, activities=[returns_nonsense]) as client:
        error = await failure(client, "returns_nonsense")
        assert error.retry_state is RetryState.NON_RETRYABLE_FAILURE
        assert "object" in str(error.cause)


# -- the four time limits --------------------------------------------------------------------------------------------


@activity.defn
async def lets_itself_be_asked_twice() -> int:
    ledger.seen.append(activity.info().attempt)
    if activity.info().attempt == 1:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            raise
    return activity.info().attempt


async def test_the_next_attempt_begins_even_if_the_last_one_was_slow_to_end() -> None:
    async with serving(Calls, activities=[lets_itself_be_asked_twice]) as client:
        assert await call(client, "lets_itself_be_asked_twice", start_to_close_timeout=0.02, attempts=2) == 2
        assert ledger.seen == [1, 2]


@activity.defn
async def hangs() -> None:
    ledger.seen.append(activity.info().attempt)
    await asyncio.Event().wait()


def _advance_until(clock: ManualClock, condition: Callable[[], bool]) -> bool:
    """Let back-offs pass, a moment at a time."""
    clock.advance(0.001)
    return condition()


def _timed_out(error: ActivityError) -> TimeoutError:
    assert isinstance(error.cause, TimeoutError)
    return error.cause


async def test_start_to_close_limits_one_attempt_and_is_retried() -> None:
    clock = ManualClock()
    async with serving(Calls, activities=[hangs], connect={"clock": clock}) as client:
        failing = asyncio.create_task(failure(client, "hangs", start_to_close_timeout=10, attempts=2))
        await until(lambda: ledger.seen == [1])
        clock.advance(10.1)
        await until(lambda: _advance_until(clock, lambda: ledger.seen == [1, 2]))
        clock.advance(10.1)
        error = await failing
        assert _timed_out(error).type is TimeoutType.START_TO_CLOSE
        assert error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
        assert ledger.seen == [1, 2]


async def test_schedule_to_close_limits_all_attempts_together_and_says_what_the_last_one_died_of() -> None:
    clock = ManualClock()
    async with serving(Calls, activities=[hangs], connect={"clock": clock}) as client:
        failing = asyncio.create_task(failure(client, "hangs", schedule_to_close_timeout=10))
        await until(lambda: ledger.seen == [1])
        clock.advance(10.1)
        error = await failing
        assert _timed_out(error).type is TimeoutType.SCHEDULE_TO_CLOSE
        assert error.retry_state is RetryState.TIMEOUT
        assert ledger.seen == [1]


async def test_no_attempt_begins_that_schedule_to_close_would_not_let_begin() -> None:
    async with serving(Calls, activities=[fails_with]) as client:
        error = await failure(client, "fails_with", args=["value"], schedule_to_close_timeout=0.5)
        assert error.retry_state is RetryState.TIMEOUT
        assert str(error.cause) == "ValueError: a bad value"
        assert len(ledger.seen) == 1


async def test_schedule_to_start_limits_the_wait_for_a_worker_and_is_not_retried() -> None:
    async with serving(Calls, activities=[hangs]) as client:
        error = await failure(client, "hangs", task_queue="nobody", schedule_to_start_timeout=0.02)
        assert _timed_out(error).type is TimeoutType.SCHEDULE_TO_START
        assert error.retry_state is RetryState.TIMEOUT
        assert error.started_event_id == 0
        assert ledger.seen == []


@activity.defn
async def beats(times: int) -> None:
    ledger.seen.append(activity.info().heartbeat_details)
    for number in range(times):
        activity.heartbeat(activity.info().attempt, {"done": number})
        await asyncio.sleep(0.01)
    await asyncio.Event().wait()


async def test_heartbeat_limits_the_gap_and_the_error_has_the_last_details() -> None:
    clock = ManualClock()
    async with serving(Calls, activities=[beats], connect={"clock": clock}) as client:
        failing = asyncio.create_task(failure(client, "beats", args=[3], heartbeat_timeout=10, attempts=1))
        await until(lambda: _has_beaten_with(client, [1, {"done": 2}]))
        clock.advance(10.1)
        error = await failing
        timeout = _timed_out(error)
        assert timeout.type is TimeoutType.HEARTBEAT
        assert timeout.last_heartbeat_details == [1, {"done": 2}]


async def _has_beaten_with(client: Client, details: list[Any]) -> bool:
    """Are these the recorded heartbeat details of the only activity?"""
    async for execution in client.list_workflows():
        pending = (await client.get_workflow_handle(execution.id).describe()).pending_activities
        return bool(pending) and list(pending[0].heartbeat_details) == details
    return False


async def test_the_next_attempt_gets_the_details_of_the_last_heartbeat() -> None:
    clock = ManualClock()
    async with serving(Calls, activities=[beats], connect={"clock": clock}) as client:
        failing = asyncio.create_task(failure(client, "beats", args=[2], heartbeat_timeout=10, attempts=2))
        await until(lambda: _has_beaten_with(client, [1, {"done": 1}]))
        clock.advance(10.1)
        await until(lambda: _advance_until(clock, lambda: len(ledger.seen) == 2))
        await until(lambda: _has_beaten_with(client, [2, {"done": 1}]))
        clock.advance(10.1)
        await failing
        assert ledger.seen == [[], [1, {"done": 1}]]


@activity.defn
async def beats_and_fails() -> list[Any]:
    details = activity.info().heartbeat_details
    if not details:
        for number in range(100):
            activity.heartbeat(number)
        raise ValueError("after the last heartbeat")
    return details


@activity.defn
def beats_and_fails_in_a_thread() -> list[Any]:
    details = activity.info().heartbeat_details
    if not details:
        for number in range(100):
            activity.heartbeat(number)
        raise ValueError("after the last heartbeat")
    return details


@pytest.mark.parametrize("name", ["beats_and_fails", "beats_and_fails_in_a_thread"])
async def test_the_last_heartbeat_before_a_failure_is_never_lost(name: str) -> None:
    async with serving(Calls, activities=[beats_and_fails, beats_and_fails_in_a_thread]) as client:
        assert await call(client, name, attempts=2) == [99]


async def test_heartbeat_details_reach_the_next_attempt_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Calls, activities=[resumes], url=url) as client:
        handle = await client.start_workflow(Calls.run, args=["resumes", {"attempts": 5}], id="w")
        await until(lambda: _has_beaten(handle))
    async with serving(Calls, activities=[resumes], url=url) as client:
        attempt, details, failed = await client.get_workflow_handle("w").result()
        assert (attempt, details) == (2, ["half way"])
        assert failed


async def _has_beaten(handle: Any) -> bool:
    pending = (await handle.describe()).pending_activities
    return bool(pending and pending[0].heartbeat_details)


@activity.defn
async def resumes() -> list[Any]:
    info = activity.info()
    if info.heartbeat_details:
        return [info.attempt, info.heartbeat_details, info.last_failure]
    activity.heartbeat("half way")
    await asyncio.Event().wait()
    raise AssertionError


async def test_heartbeat_details_that_cannot_be_stored_fail_the_attempt() -> None:
    async with serving(Calls, activities=[beats_nonsense]) as client:
        error = await failure(client, "beats_nonsense", attempts=1)
        assert "object" in str(error.cause)


@activity.defn
async def beats_nonsense() -> None:
    activity.heartbeat(object())


# -- cancellation ----------------------------------------------------------------------------------------------------


@workflow.defn
class Cancels:
    """Starts an activity, cancels it once told to, and says when the wait was over."""

    def __init__(self) -> None:
        self.told = False

    @workflow.signal
    def now(self) -> None:
        self.told = True

    @workflow.run
    async def run(self, name: str, how: int) -> str:
        handle = workflow.start_activity(
            name, cancellation_type=workflow.ActivityCancellationType(how), heartbeat_timeout=30
        )
        await workflow.wait_condition(lambda: self.told)
        handle.cancel()
        try:
            return f"result {await handle}"
        except asyncio.CancelledError:
            return "CancelledError"
        except ActivityError as error:
            return f"ActivityError {error.cause}"


@activity.defn
async def cleans_up() -> None:
    ledger.seen.append("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ledger.seen.append(f"told: {activity.cancellation_reason()}")
        await ledger.go_on.wait()
        ledger.seen.append("cleaned up")
        raise


@activity.defn
async def refuses() -> str:
    ledger.seen.append("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "finished all the same"
    return ""


@activity.defn
async def breaks_when_cancelled() -> str:
    ledger.seen.append("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ApplicationError("broke while stopping") from None
    return ""


@activity.defn
def works_in_a_thread() -> None:
    ledger.seen.append("began")
    try:
        while not ledger.stop.is_set():
            time.sleep(0.001)
    except CancelledError:
        ledger.seen.append(f"told: {activity.is_cancelled()} {activity.cancellation_reason()}")
        raise


@activity.defn
def waits_in_a_thread() -> str:
    ledger.seen.append("began")
    try:
        activity.wait_for_cancelled_sync(5)
    except CancelledError:
        ledger.seen.append("told")
        raise
    return ""


CANCELLED_ONES = [cleans_up, refuses, breaks_when_cancelled, works_in_a_thread, waits_in_a_thread]
TRY, WAIT, ABANDON = (
    workflow.ActivityCancellationType.TRY_CANCEL,
    workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    workflow.ActivityCancellationType.ABANDON,
)


async def _start_and_cancel(client: Client, name: str, how: workflow.ActivityCancellationType) -> Any:
    handle = await client.start_workflow(Cancels.run, args=[name, int(how)], id=an_id())
    await until(lambda: "began" in ledger.seen)
    await handle.signal(Cancels.now)
    return handle


async def test_try_cancel_tells_the_activity_and_goes_on_at_once() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "cleans_up", TRY)
        assert await handle.result() == "CancelledError"
        assert "cleaned up" not in ledger.seen
        ledger.go_on.set()
        await until(lambda: "cleaned up" in ledger.seen)


async def test_waiting_for_the_cancellation_waits_for_the_activitys_end() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "cleans_up", WAIT)
        await until(lambda: "told: cancel_requested" in ledger.seen)
        assert (await handle.describe()).pending_activities[0].cancel_requested
        ledger.go_on.set()
        assert await handle.result() == "CancelledError"
        assert ledger.seen == ["began", "told: cancel_requested", "cleaned up"]


async def test_an_activity_may_finish_although_it_was_cancelled() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "refuses", WAIT)
        assert await handle.result() == "result finished all the same"


async def test_an_activity_may_fail_while_it_is_cancelled_and_is_not_tried_again() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "breaks_when_cancelled", WAIT)
        assert await handle.result() == "ActivityError broke while stopping"
        assert ledger.seen == ["began"]


async def test_an_abandoned_activity_is_left_alone() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "works_in_a_thread", ABANDON)
        assert await handle.result() == "CancelledError"
        assert len(of_type(await history(handle), ev.ActivityTaskCancelRequested)) == 0
        ledger.stop.set()


async def test_a_thread_gets_the_cancellation_thrown_in() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "works_in_a_thread", WAIT)
        assert await handle.result() == "CancelledError"
        assert ledger.seen == ["began", "told: True cancel_requested"]


async def test_a_thread_may_wait_for_the_cancellation() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await _start_and_cancel(client, "waits_in_a_thread", WAIT)
        assert await handle.result() == "CancelledError"
        assert ledger.seen == ["began", "told"]


async def test_an_activity_that_has_not_begun_is_cancelled_without_beginning() -> None:
    async with serving(CancelsQueued, activities=[hangs]) as client:
        handle = await client.start_workflow(CancelsQueued.run, id=an_id())
        assert await handle.result() == "CancelledError"
        (canceled,) = of_type(await history(handle), ev.ActivityTaskCanceled)
        assert canceled.started_event_id == 0
        assert ledger.seen == []


@workflow.defn
class CancelsQueued:
    @workflow.run
    async def run(self) -> str:
        handle = workflow.start_activity(hangs, task_queue="nobody", cancellation_type=WAIT)
        await asyncio.sleep(0.001)
        handle.cancel()
        try:
            await handle
        except asyncio.CancelledError:
            return "CancelledError"
        return "unexpected"


async def test_an_activity_in_back_off_is_cancelled_at_once() -> None:
    async with serving(Cancels, activities=[fails_slowly]) as client:
        handle = await client.start_workflow(Cancels.run, args=["fails_slowly", int(WAIT)], id=an_id())
        await until(lambda: _backs_off(handle))
        await handle.signal(Cancels.now)
        assert await handle.result() == "CancelledError"
        assert ledger.seen == ["began"]


@activity.defn
async def fails_slowly() -> None:
    ledger.seen.append("began")
    raise ApplicationError("later", next_retry_delay=timedelta(hours=1))


async def test_an_activity_that_cancels_itself_has_failed() -> None:
    async with serving(Calls, activities=[cancels_itself]) as client:
        error = await failure(client, "cancels_itself", attempts=1)
        assert isinstance(error.cause, CancelledError)
        assert error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED


@activity.defn
async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def test_an_activity_is_told_that_its_run_has_been_terminated() -> None:
    async with serving(Cancels, activities=CANCELLED_ONES) as client:
        handle = await client.start_workflow(Cancels.run, args=["cleans_up", int(WAIT)], id=an_id())
        await until(lambda: "began" in ledger.seen)
        await handle.terminate()
        await until(lambda: "told: not_found" in ledger.seen)
        ledger.go_on.set()


async def test_an_attempt_is_told_that_its_time_is_over() -> None:
    async with serving(Calls, activities=CANCELLED_ONES) as client:
        ledger.go_on.set()
        await failure(client, "cleans_up", start_to_close_timeout=0.02, attempts=1)
        await until(lambda: "told: timed_out" in ledger.seen)


# -- slots, queues and workers ---------------------------------------------------------------------------------------


@activity.defn
async def counts_neighbours() -> int:
    ledger.seen.append(None)
    here = len(ledger.seen)
    await asyncio.sleep(0.003)
    ledger.seen.pop()
    return here


@workflow.defn
class Many:
    @workflow.run
    async def run(self, number: int) -> list[int]:
        return list(await asyncio.gather(*(counts_neighbours() for _ in range(number))))


@pytest.mark.parametrize("cached", [1000, 0])
async def test_no_more_attempts_run_at_a_time_than_there_are_slots(cached: int) -> None:
    async with serving(
        Many, activities=[counts_neighbours], max_concurrent_activities=3, max_cached_workflows=cached
    ) as client:
        counts = await client.execute_workflow(Many.run, 10, id=an_id())
        assert len(counts) == 10
        assert max(counts) == 3


@workflow.defn
class Elsewhere:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(on_the_loop, task_queue="elsewhere")


async def test_an_activity_waits_for_the_worker_of_its_queue() -> None:
    async with serving(Elsewhere) as client:
        handle = await client.start_workflow(Elsewhere.run, id=an_id())
        await until(lambda: _pending(handle))
        async with Worker(client, task_queue="elsewhere", activities=[on_the_loop]):
            assert await handle.result() == "MainThread"


async def _pending(handle: Any) -> bool:
    return bool((await handle.describe()).pending_activities)


async def test_an_activity_waits_for_the_worker_of_its_queue_over_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Elsewhere, url=url) as client:
        handle = await client.start_workflow(Elsewhere.run, id="w")
        await until(lambda: _pending(handle))
    async with serving(url=url, activities=[on_the_loop], task_queue="elsewhere") as client:
        await until(lambda: _completed_activity(client))
    async with serving(Elsewhere, url=url) as client:
        assert await client.get_workflow_handle("w").result() == "MainThread"


async def _completed_activity(client: Client) -> bool:
    return bool(of_type(await history(client.get_workflow_handle("w")), ev.ActivityTaskCompleted))


async def test_outside_an_activity_there_is_no_info() -> None:
    assert not activity.in_activity()
    with pytest.raises(activity.NotInActivityError):
        activity.info()


@workflow.defn
class Twins:
    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(*(workflow.execute_activity("twin", activity_id="the same") for _ in range(2)))


async def test_two_activities_of_one_id_are_refused_even_when_started_together() -> None:
    async with serving(Twins) as client:
        handle = await client.start_workflow(Twins.run, id=an_id())

        async def problem() -> str | None:
            return (await handle.describe()).problem

        assert "SCHEDULE_ACTIVITY_DUPLICATE_ID" in await until(problem)
