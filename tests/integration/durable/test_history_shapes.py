"""What each thing that workflow code does leaves in the history: which events, in which order, referring to which."""

import asyncio
import json
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowHistory
from tenuto.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
from tenuto.model import events as ev
from tenuto.model.policies import RetryState
from tests.support.durable import AT_ONCE, ONCE, TASK, an_id, at_most, ended, history, of_type, serving, shape, until


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn(retry_policy=ONCE)
async def break_down() -> None:
    raise ValueError("no good")


@activity.defn(retry_policy=AT_ONCE)
async def third_time_lucky() -> int:
    if activity.info().attempt < 3:
        raise ValueError(f"attempt {activity.info().attempt}")
    return activity.info().attempt


@activity.defn
async def wait_for_ever() -> None:
    await asyncio.Event().wait()


ACTIVITIES = [greet, break_down, third_time_lucky, wait_for_ever]


@workflow.defn
class Trivial:
    @workflow.run
    async def run(self) -> int:
        return 42


async def test_a_workflow_that_waits_for_nothing_takes_one_task() -> None:
    async with serving(Trivial) as client:
        handle = await client.start_workflow(Trivial.run, id=an_id())
        await handle.result()
        events = await history(handle)
        assert await shape(handle) == ["Started", *TASK, "Completed"]
        assert [event.event_id for event in events] == [1, 2, 3, 4, 5]
        assert events[2].scheduled_event_id == 2
        assert (events[3].scheduled_event_id, events[3].started_event_id) == (2, 3)
        assert events[4].workflow_task_completed_event_id == 4
        assert events[0].first_execution_run_id == events[0].original_run_id == handle.result_run_id


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name)


async def test_an_activity_is_scheduled_by_a_task_and_its_start_stands_with_its_end() -> None:
    async with serving(Greeting, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Greeting.run, "Ada", id=an_id())
        assert await handle.result() == "Hello, Ada!"
        events = await history(handle)
        assert await shape(handle) == [
            "Started",
            *TASK,
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityCompleted",
            *TASK,
            "Completed",
        ]
        scheduled, started, completed = events[4:7]
        assert scheduled.activity_type == "greet"
        assert scheduled.workflow_task_completed_event_id == 4
        assert (started.scheduled_event_id, started.attempt, started.last_failure) == (5, 1, None)
        assert (completed.scheduled_event_id, completed.started_event_id) == (5, 6)


@workflow.defn
class Retrying:
    @workflow.run
    async def run(self) -> int:
        return await third_time_lucky()


async def test_retries_leave_one_start_that_carries_the_last_attempt_and_its_predecessors_failure() -> None:
    async with serving(Retrying, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Retrying.run, id=an_id())
        assert await handle.result() == 3
        events = await history(handle)
        assert await shape(handle) == [
            "Started",
            *TASK,
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityCompleted",
            *TASK,
            "Completed",
        ]
        started = events[5]
        assert started.attempt == 3
        assert started.last_failure.message == "attempt 2"


@workflow.defn
class Unlucky:
    @workflow.run
    async def run(self) -> str:
        try:
            await break_down()
        except ActivityError as error:
            return f"{error.scheduled_event_id} {error.started_event_id} {error.retry_state.name}"
        return "unexpected"


async def test_a_failed_activity_says_why_no_attempt_follows_and_the_error_names_its_events() -> None:
    async with serving(Unlucky, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Unlucky.run, id=an_id())
        assert await handle.result() == "5 6 MAXIMUM_ATTEMPTS_REACHED"
        assert await shape(handle) == [
            "Started",
            *TASK,
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityFailed",
            *TASK,
            "Completed",
        ]
        failed = (await history(handle))[6]
        assert failed.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
        assert (failed.failure.type_name, failed.failure.message) == ("ValueError", "no good")


@workflow.defn
class TimedOut:
    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.execute_activity(wait_for_ever, start_to_close_timeout=0.02, retry_policy=ONCE)
        except ActivityError as error:
            return str(error.cause)
        return "unexpected"


async def test_an_attempt_that_times_out_is_recorded_as_started_and_timed_out() -> None:
    async with serving(TimedOut, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(TimedOut.run, id=an_id())
        assert "start_to_close_timeout" in await handle.result()
        assert (await shape(handle))[4:7] == ["ActivityScheduled", "ActivityStarted", "ActivityTimedOut"]


@workflow.defn
class CancelsActivity:
    @workflow.run
    async def run(self, how: int) -> str:
        kind = workflow.ActivityCancellationType(how)
        handle = workflow.start_activity(wait_for_ever, cancellation_type=kind)
        await asyncio.sleep(0.2)  # it begins once its being scheduled is on record
        handle.cancel()
        try:
            await handle
        except asyncio.CancelledError:
            return "cancelled"
        return "unexpected"


async def test_cancelling_and_waiting_for_it_writes_the_request_and_then_the_end() -> None:
    how = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    async with serving(CancelsActivity, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(CancelsActivity.run, int(how), id=an_id())
        assert await handle.result() == "cancelled"
        events = await history(handle)
        assert await shape(handle) == [
            "Started",
            *TASK,
            "ActivityScheduled",
            "TimerStarted",
            "TimerFired",
            *TASK,
            "ActivityCancelRequested",
            "ActivityStarted",
            "ActivityCanceled",
            *TASK,
            "Completed",
        ]
        requested, started, canceled = events[10:13]
        assert requested.scheduled_event_id == canceled.scheduled_event_id == 5
        assert canceled.started_event_id == started.event_id
        assert canceled.latest_cancel_requested_event_id == requested.event_id


async def test_trying_to_cancel_ends_the_workflow_at_once_with_the_request_on_record() -> None:
    how = workflow.ActivityCancellationType.TRY_CANCEL
    async with serving(CancelsActivity, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(CancelsActivity.run, int(how), id=an_id())
        assert await handle.result() == "cancelled"
        assert (await shape(handle))[7:] == [*TASK, "ActivityCancelRequested", "Completed"]


async def test_abandoning_an_activity_leaves_nothing() -> None:
    how = workflow.ActivityCancellationType.ABANDON
    async with serving(CancelsActivity, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(CancelsActivity.run, int(how), id=an_id())
        assert await handle.result() == "cancelled"
        assert (await shape(handle))[7:] == [*TASK, "Completed"]


@workflow.defn
class Fickle:
    @workflow.run
    async def run(self) -> str:
        handle = workflow.start_activity(greet, "nobody")
        await asyncio.sleep(0)
        handle.cancel()
        for kind in workflow.ActivityCancellationType:
            workflow.start_activity(greet, "nobody either", cancellation_type=kind).cancel()
        timer = asyncio.ensure_future(asyncio.sleep(1000))
        await asyncio.sleep(0)
        timer.cancel()
        await asyncio.gather(handle, timer, return_exceptions=True)
        return "nothing happened"


async def test_what_is_started_and_cancelled_in_one_task_leaves_nothing() -> None:
    async with serving(Fickle, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Fickle.run, id=an_id())
        assert await handle.result() == "nothing happened"
        assert await shape(handle) == ["Started", *TASK, "Completed"]


@workflow.defn
class Timers:
    @workflow.run
    async def run(self) -> None:
        long = asyncio.ensure_future(asyncio.sleep(1000))
        await workflow.sleep(0.01, summary="a moment")
        long.cancel()


async def test_a_timer_fires_or_is_cancelled_and_both_name_its_start() -> None:
    async with serving(Timers) as client:
        handle = await client.start_workflow(Timers.run, id=an_id())
        await handle.result()
        events = await history(handle)
        assert await shape(handle) == [
            "Started",
            *TASK,
            "TimerStarted",
            "TimerStarted",
            "TimerFired",
            *TASK,
            "TimerCanceled",
            "Completed",
        ]
        starts = {event.timer_id: event for event in of_type(events, ev.TimerStarted)}
        (fired,), (canceled,) = of_type(events, ev.TimerFired), of_type(events, ev.TimerCanceled)
        assert starts[fired.timer_id].start_to_fire_timeout == 0.01
        assert starts[fired.timer_id].summary == "a moment"
        assert fired.started_event_id == starts[fired.timer_id].event_id
        assert starts[canceled.timer_id].start_to_fire_timeout == 1000
        assert canceled.started_event_id == starts[canceled.timer_id].event_id


@workflow.defn
class Child:
    @workflow.run
    async def run(self, what: str) -> str:
        if what == "fail":
            raise ApplicationError("the child fails", type="Sad")
        if what == "wait":
            await asyncio.Event().wait()
        return f"child: {what}"


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, what: str, child_id: str) -> str:
        try:
            return str(await workflow.execute_child_workflow(Child.run, what, id=child_id))
        except ChildWorkflowError as error:
            return f"{error.initiated_event_id} {error.started_event_id} {error.cause}"


CHILD_BEGINS = ["Started", *TASK, "StartChildInitiated", "ChildStarted"]


async def test_a_child_is_initiated_started_and_completed() -> None:
    async with serving(Parent, Child) as client:
        handle = await client.start_workflow(Parent.run, args=["well", an_id()], id=an_id())
        assert await handle.result() == "child: well"
        events = await history(handle)
        got = await shape(handle)
        assert got[:6] == CHILD_BEGINS
        # How far the child gets before its parent looks at it again is a matter of timing.
        assert [name for name in got[6:] if not name.startswith("Task")] == ["ChildCompleted", "Completed"]
        completed = of_type(events, ev.ChildWorkflowExecutionCompleted)[0]
        assert (completed.initiated_event_id, completed.started_event_id) == (5, 6)
        assert events[5].run_id == completed.run_id
        child = await history(client.get_workflow_handle(events[4].workflow_id))
        assert child[0].parent == ev.ParentRef(handle.id, events[0].run_id, 5)
        assert child[0].root == ev.ExecutionRef(handle.id, events[0].run_id)


async def test_a_child_that_fails() -> None:
    async with serving(Parent, Child) as client:
        handle = await client.start_workflow(Parent.run, args=["fail", an_id()], id=an_id())
        assert await handle.result() == "5 6 Sad: the child fails"
        (failed,) = of_type(await history(handle), ev.ChildWorkflowExecutionFailed)
        assert (failed.initiated_event_id, failed.started_event_id) == (5, 6)
        assert failed.retry_state is RetryState.RETRY_POLICY_NOT_SET


async def test_a_child_that_is_terminated_or_times_out() -> None:
    async with serving(Parent, Child) as client:
        child_id = an_id()
        handle = await client.start_workflow(Parent.run, args=["wait", child_id], id=an_id())
        await until(lambda: _exists(client, child_id))
        await client.get_workflow_handle(child_id).terminate(reason="enough")
        assert await handle.result() == "5 6 Workflow terminated"
        (terminated,) = of_type(await history(handle), ev.ChildWorkflowExecutionTerminated)
        assert (terminated.initiated_event_id, terminated.started_event_id) == (5, 6)


async def _exists(client: Any, workflow_id: str) -> bool:
    return any([execution.id == workflow_id async for execution in client.list_workflows()])


@workflow.defn
class Twin:
    @workflow.run
    async def run(self, child_id: str) -> str:
        try:
            await workflow.start_child_workflow(Child.run, "well", id=child_id)
        except WorkflowAlreadyStartedError as error:
            return f"{error.workflow_id} {error.run_id}"
        return "unexpected"


async def test_a_child_whose_id_is_taken_is_not_started() -> None:
    async with serving(Twin, Child) as client:
        first = await client.start_workflow(Child.run, "wait", id=an_id())
        handle = await client.start_workflow(Twin.run, first.id, id=an_id())
        assert await handle.result() == f"{first.id} {first.result_run_id}"
        assert await shape(handle) == [
            "Started",
            *TASK,
            "StartChildInitiated",
            "StartChildFailed",
            *TASK,
            "Completed",
        ]
        failed = (await history(handle))[5]
        assert (failed.initiated_event_id, failed.cause) == (5, "WORKFLOW_ALREADY_EXISTS")


@workflow.defn
class Signalled:
    def __init__(self) -> None:
        self.names: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: "stop" in self.names)
        return self.names

    @workflow.signal
    def add(self, name: str) -> None:
        self.names.append(name)

    @workflow.update
    async def add_later(self, name: str) -> int:
        await asyncio.sleep(0.005)
        self.names.append(name)
        return len(self.names)

    @workflow.update
    def add_now(self, name: str) -> int:
        self.names.append(name)
        return len(self.names)

    @add_now.validator
    def check(self, name: str) -> None:
        if not name:
            raise ValueError("a name is needed")

    @workflow.query
    def all_names(self) -> list[str]:
        return self.names


async def test_signals_are_outside_events_that_schedule_a_task() -> None:
    async with serving(Signalled) as client:
        handle = await client.start_workflow(Signalled.run, id=an_id())
        await handle.query(Signalled.all_names)
        await handle.signal(Signalled.add, "a", request_id="r-1")
        await handle.query(Signalled.all_names)
        await handle.signal(Signalled.add, "stop")
        assert await handle.result() == ["a", "stop"]
        assert await shape(handle) == ["Started", *TASK, "Signaled", *TASK, "Signaled", *TASK, "Completed"]
        signaled = (await history(handle))[4]
        assert (signaled.signal_name, signaled.request_id) == ("add", "r-1")


async def test_a_signal_with_the_start_stands_right_behind_it() -> None:
    async with serving(Signalled) as client:
        handle = await client.start_workflow(
            Signalled.run, id=an_id(), start_signal=Signalled.add, start_signal_args=["stop"]
        )
        assert await handle.result() == ["stop"]
        assert await shape(handle) == ["Started", "Signaled", *TASK, "Completed"]


async def test_an_update_is_accepted_with_its_request_and_completed_with_its_outcome() -> None:
    async with serving(Signalled) as client:
        handle = await client.start_workflow(Signalled.run, id=an_id())
        await handle.query(Signalled.all_names)
        assert await handle.execute_update(Signalled.add_now, "stop", id="u-1") == 1
        await handle.result()
        events = await history(handle)
        assert await shape(handle) == ["Started", *TASK, *TASK, "UpdateAccepted", "UpdateCompleted", "Completed"]
        accepted, completed = events[7:9]
        assert (accepted.update_id, accepted.update_name) == ("u-1", "add_now")
        assert accepted.input
        assert (completed.update_id, completed.accepted_event_id) == ("u-1", accepted.event_id)
        assert completed.result


async def test_an_update_that_waits_is_completed_by_a_later_task() -> None:
    async with serving(Signalled) as client:
        handle = await client.start_workflow(Signalled.run, id=an_id())
        await handle.query(Signalled.all_names)
        assert await handle.execute_update(Signalled.add_later, "stop", id="u-2") == 1
        await handle.result()
        assert (await shape(handle))[4:] == [
            *TASK,
            "UpdateAccepted",
            "TimerStarted",
            "TimerFired",
            *TASK,
            "UpdateCompleted",
            "Completed",
        ]


@workflow.defn
class Cleaner:
    @workflow.run
    async def run(self) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await greet("cleaner")


async def test_a_cancel_request_and_the_cancelled_end_after_cleaning_up() -> None:
    async with serving(Cleaner, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Cleaner.run, id=an_id())
        await until(lambda: _has(handle, "TimerStarted"))
        await handle.cancel(reason="changed my mind")
        await ended(handle)
        events = await history(handle)
        assert await shape(handle) == [
            "Started",
            *TASK,
            "TimerStarted",
            "CancelRequested",
            *TASK,
            "TimerCanceled",
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityCompleted",
            *TASK,
            "Canceled",
        ]
        assert events[5].cause == "changed my mind"


async def _has(handle: Any, name: str) -> bool:
    return name in await shape(handle)


async def test_termination_is_one_event_and_nothing_follows() -> None:
    async with serving(Cleaner, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Cleaner.run, id=an_id())
        await until(lambda: _has(handle, "TimerStarted"))
        await handle.terminate("a detail", reason="out")
        await ended(handle)
        events = await history(handle)
        assert (await shape(handle))[-2:] == ["TimerStarted", "Terminated"]
        assert (events[-1].reason, len(events[-1].details)) == ("out", 1)


@workflow.defn
class Talker:
    @workflow.run
    async def run(self, target: str) -> str:
        other = workflow.get_external_workflow_handle(target)
        said = []
        try:
            await other.signal("add", "hello")
            said.append("signalled")
        except ApplicationError as error:
            said.append(str(error.type))
        try:
            await other.cancel(reason="from afar")
            said.append("cancelled")
        except ApplicationError as error:
            said.append(str(error.type))
        return " ".join(said)


async def test_signals_and_cancels_to_other_executions_are_initiated_and_answered() -> None:
    async with serving(Talker, Signalled) as client:
        target = await client.start_workflow(Signalled.run, id=an_id())
        handle = await client.start_workflow(Talker.run, target.id, id=an_id())
        assert await handle.result() == "signalled cancelled"
        assert await shape(handle) == [
            "Started",
            *TASK,
            "SignalExternalInitiated",
            "ExternalSignaled",
            *TASK,
            "RequestCancelExternalInitiated",
            "ExternalCancelRequested",
            *TASK,
            "Completed",
        ]
        events = await history(handle)
        assert events[5].initiated_event_id == 5
        await ended(target)
        there = await history(target)
        (signaled,) = of_type(there, ev.WorkflowExecutionSignaled)
        (cancelled,) = of_type(there, ev.WorkflowExecutionCancelRequested)
        assert signaled.external == ev.ParentRef(handle.id, events[0].run_id, 5)
        assert (
            cancelled.external.initiated_event_id
            == of_type(events, ev.RequestCancelExternalWorkflowExecutionInitiated)[0].event_id
        )
        assert cancelled.cause == "from afar"


async def test_signals_and_cancels_to_nobody_fail() -> None:
    async with serving(Talker) as client:
        handle = await client.start_workflow(Talker.run, "nobody", id=an_id())
        assert await handle.result() == "ExternalWorkflowExecutionNotFound ExternalWorkflowExecutionNotFound"
        assert await shape(handle) == [
            "Started",
            *TASK,
            "SignalExternalInitiated",
            "SignalExternalFailed",
            *TASK,
            "RequestCancelExternalInitiated",
            "RequestCancelExternalFailed",
            *TASK,
            "Completed",
        ]


@workflow.defn
class Countdown:
    @workflow.run
    async def run(self, left: int) -> str:
        if left:
            workflow.continue_as_new(left - 1)
        return "done"


async def test_continue_as_new_closes_one_run_and_begins_the_next() -> None:
    async with serving(Countdown) as client:
        handle = await client.start_workflow(Countdown.run, 1, id=an_id())
        assert await handle.result() == "done"
        first = await history(handle)
        assert await shape(handle) == ["Started", *TASK, "ContinuedAsNew"]
        new_run_id = first[-1].new_execution_run_id
        second = await history(client.get_workflow_handle(handle.id, run_id=new_run_id))
        assert second[0].run_id == new_run_id
        assert second[0].continued_run_id == first[0].run_id
        assert second[0].first_execution_run_id == first[0].run_id
        assert [event.event_id for event in second] == [1, 2, 3, 4, 5]


@workflow.defn
class Several:
    @workflow.run
    async def run(self) -> list[str]:
        first = workflow.start_activity(greet, "a")
        nap = asyncio.ensure_future(asyncio.sleep(0.01))
        second = workflow.start_activity(greet, "b")
        await nap
        return [await first, await second]


async def test_command_events_stand_in_the_order_in_which_code_gave_the_commands() -> None:
    async with serving(Several, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Several.run, id=an_id())
        await handle.result()
        assert (await shape(handle))[4:7] == ["ActivityScheduled", "ActivityScheduled", "TimerStarted"]


@workflow.defn
class LastWord:
    @workflow.run
    async def run(self) -> str:
        workflow.start_activity(greet, "late")
        await asyncio.sleep(0)
        return "closed"


async def test_a_closing_command_comes_last_and_takes_nothing_with_it() -> None:
    async with serving(LastWord, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(LastWord.run, id=an_id())
        await handle.result()
        assert await shape(handle) == ["Started", *TASK, "ActivityScheduled", "Completed"]


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_workflow_that_fails_and_is_retried_by_its_policy(attempts: int) -> None:
    async with serving(Child) as client:
        handle = await client.start_workflow(Child.run, "fail", id=an_id(), retry_policy=at_most(attempts))
        await ended(handle)
        events = await history(handle)
        assert await shape(handle) == ["Started", *TASK, "Failed"]
        runs = [events]
        while runs[-1][-1].new_execution_run_id:
            run_id = runs[-1][-1].new_execution_run_id
            assert runs[-1][-1].retry_state is RetryState.IN_PROGRESS
            runs.append(await history(client.get_workflow_handle(handle.id, run_id=run_id)))
        assert [run[0].attempt for run in runs] == list(range(1, attempts + 1))
        assert runs[-1][-1].retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
        for run in runs[1:]:
            assert run[0].continued_failure.message == "the child fails"
            assert run[0].first_execution_run_id == events[0].run_id


async def test_a_history_is_exported_as_json_in_temporals_form_and_read_back() -> None:
    async with serving(Greeting, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Greeting.run, "Ada", id=an_id())
        await handle.result()
        exported = (await handle.fetch_history()).to_json()
        document = json.loads(exported)
        assert [event["eventType"] for event in document["events"]] == [
            "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
            "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED",
            "EVENT_TYPE_WORKFLOW_TASK_STARTED",
            "EVENT_TYPE_WORKFLOW_TASK_COMPLETED",
            "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
            "EVENT_TYPE_ACTIVITY_TASK_STARTED",
            "EVENT_TYPE_ACTIVITY_TASK_COMPLETED",
            "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED",
            "EVENT_TYPE_WORKFLOW_TASK_STARTED",
            "EVENT_TYPE_WORKFLOW_TASK_COMPLETED",
            "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
        ]
        assert [event["eventId"] for event in document["events"]] == [str(number) for number in range(1, 12)]
        assert document["events"][4]["activityTaskScheduledEventAttributes"]["activityType"] == {"name": "greet"}
        again = WorkflowHistory.from_json(handle.id, exported)
        assert again.workflow_id == handle.id
        assert again.events == (await handle.fetch_history()).events
