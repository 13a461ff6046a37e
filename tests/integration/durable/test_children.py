"""Children and other executions: started, awaited, cancelled, signalled, left behind."""

import asyncio
from typing import Any

import pytest

from tenuto import workflow
from tenuto.client import Client, WorkflowHandle
from tenuto.common import RetryPolicy, WorkflowIDReusePolicy
from tenuto.converter import DataConverter
from tenuto.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)
from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model.tasks import WorkflowTask, WorkflowTaskDone
from tenuto.replay.host import WorkflowCode
from tenuto.service import RPCError
from tenuto.worker import Worker
from tenuto.workflow import ChildWorkflowCancellationType, ParentClosePolicy
from tests.support.durable import an_id, at_most, ended, failure_of, serving, shape, until


@workflow.defn
class Child:
    """Ends the way it is told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.released = False

    @workflow.run
    async def run(self, how: str) -> Any:
        info = workflow.info()
        if how == "fail":
            raise ApplicationError("as told", type="Told")
        if how == "count down":
            workflow.continue_as_new("once more")
        if how == "persist" and info.attempt < 3:
            raise ApplicationError("again")
        if how == "who":
            assert info.parent is not None
            assert info.root is not None
            return [info.parent.workflow_id, info.parent.run_id, info.root.workflow_id]
        if how == "wait":
            await workflow.wait_condition(lambda: "stop" in self.heard)
            return self.heard
        if how == "linger":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await workflow.wait_condition(lambda: "stop" in self.heard)
                raise
        if how == "refuse":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "refused to stop"
        return how

    @workflow.signal
    def hear(self, what: str) -> None:
        self.heard.append(what)


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, how: str, child_id: str) -> list[Any]:
        handle = await workflow.start_child_workflow(Child.run, how, id=child_id, retry_policy=at_most(3))
        assert handle.id == child_id
        return [handle.first_execution_run_id, await handle]


def _child(client: Client, child_id: str) -> WorkflowHandle[Any]:
    return client.get_workflow_handle(child_id)


async def _runs(client: Client, workflow_id: str) -> bool:
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return False
    return description.status.name == "RUNNING" and description.history_length >= 4


async def _status(client: Client, workflow_id: str) -> str:
    return (await client.get_workflow_handle(workflow_id).describe()).status.name


async def _has_status(client: Client, workflow_id: str, status: str) -> bool:
    return await _status(client, workflow_id) == status


@pytest.fixture(params=[1000, 0], ids=["suspended", "replayed"])
def cached(request: pytest.FixtureRequest) -> int:
    return int(request.param)


async def test_a_child_knows_its_parent_and_its_root(cached: int) -> None:
    async with serving(Parent, Child, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Parent.run, args=["who", an_id()], id=an_id())
        _, seen = await handle.result()
        assert seen == [handle.id, handle.result_run_id, handle.id]


@pytest.mark.parametrize(("how", "result"), [("count down", "once more"), ("persist", "persist")])
async def test_a_parent_follows_its_child_through_new_runs(how: str, result: str, cached: int) -> None:
    async with serving(Parent, Child, max_cached_workflows=cached) as client:
        child_id = an_id()
        first, got = await client.execute_workflow(Parent.run, args=[how, child_id], id=an_id())
        assert got == result
        assert (await _child(client, child_id).describe()).run_id != first


@workflow.defn
class FailingParent:
    """Says what the error of its child tells."""

    @workflow.run
    async def run(self, how: str, child_id: str, timeout: float | None) -> list[Any]:
        try:
            await workflow.execute_child_workflow(Child.run, how, id=child_id, run_timeout=timeout)
        except ChildWorkflowError as error:
            return [error.workflow_id, error.workflow_type, type(error.cause).__name__, str(error.cause)]
        return []


async def test_a_childs_failure_is_the_cause_of_a_child_workflow_error(cached: int) -> None:
    async with serving(FailingParent, Child, max_cached_workflows=cached) as client:
        child_id = an_id()
        said = await client.execute_workflow(FailingParent.run, args=["fail", child_id, None], id=an_id())
        assert said == [child_id, "Child", ApplicationError.__name__, "Told: as told"]


async def test_a_child_that_times_out() -> None:
    async with serving(FailingParent, Child) as client:
        said = await client.execute_workflow(FailingParent.run, args=["wait", an_id(), 0.02], id=an_id())
        assert said[2] == TimeoutError.__name__


async def test_a_child_that_is_terminated_or_cancelled_from_outside() -> None:
    async with serving(FailingParent, Child) as client:
        for end, expected in (("terminate", TerminatedError), ("cancel", CancelledError)):
            child_id = an_id()
            handle = await client.start_workflow(FailingParent.run, args=["wait", child_id, None], id=an_id())
            await until(lambda: _runs(client, child_id))  # noqa: B023
            await getattr(_child(client, child_id), end)()
            assert (await handle.result())[2] == expected.__name__


async def test_an_uncaught_child_failure_fails_the_parent_with_the_whole_chain_of_causes() -> None:
    async with serving(Parent, Child) as client:
        error = await failure_of(client.execute_workflow(Parent.run, args=["fail", an_id()], id=an_id()))
        assert isinstance(error, ChildWorkflowError)
        assert isinstance(error.cause, ApplicationError)
        assert error.cause.type == "Told"


@workflow.defn
class Careless:
    @workflow.run
    async def run(self, child_id: str) -> str:
        await workflow.start_child_workflow(Child.run, "fail", id=child_id)
        await asyncio.sleep(0.01)
        return "did not ask"


async def test_a_failed_child_that_nobody_asks_for_is_no_fault_of_its_parent(cached: int) -> None:
    async with serving(Careless, Child, max_cached_workflows=cached) as client:
        assert await client.execute_workflow(Careless.run, an_id(), id=an_id()) == "did not ask"


# -- ids -------------------------------------------------------------------------------------------------------------


@workflow.defn
class Twins:
    @workflow.run
    async def run(self, child_id: str | None, policy: int) -> list[str]:
        ids = []
        for _ in range(2):
            try:
                handle = await workflow.start_child_workflow(
                    Child.run, "done", id=child_id, id_reuse_policy=WorkflowIDReusePolicy(policy)
                )
            except WorkflowAlreadyStartedError as error:
                return [*ids, f"refused {error.workflow_id}"]
            await handle
            ids.append(handle.id)
        return ids


async def test_a_child_without_an_id_gets_its_own(cached: int) -> None:
    async with serving(Twins, Child, max_cached_workflows=cached) as client:
        first, second = await client.execute_workflow(Twins.run, args=[None, 1], id=an_id())
        assert len(first) == len(second) == 36
        assert first != second


async def test_the_reuse_policy_of_a_child() -> None:
    async with serving(Twins, Child) as client:
        same = an_id()
        assert await client.execute_workflow(Twins.run, args=[same, 1], id=an_id()) == [same, same]
        same = an_id()
        reject = int(WorkflowIDReusePolicy.REJECT_DUPLICATE)
        assert await client.execute_workflow(Twins.run, args=[same, reject], id=an_id()) == [same, f"refused {same}"]


# -- signals ---------------------------------------------------------------------------------------------------------


@workflow.defn
class Talkative:
    @workflow.run
    async def run(self) -> list[str]:
        handle = await workflow.start_child_workflow(Child.run, "wait")
        for word in ("hello", "child", "stop"):
            await handle.signal(Child.hear, word)
        heard: list[str] = await handle
        try:
            await handle.signal(Child.hear, "too late")
        except ApplicationError as error:
            heard.append(str(error.type))
        return heard


async def test_a_parent_signals_its_child_in_order_and_is_told_when_it_is_too_late(cached: int) -> None:
    async with serving(Talkative, Child, max_cached_workflows=cached) as client:
        assert await client.execute_workflow(Talkative.run, id=an_id()) == [
            "hello",
            "child",
            "stop",
            "ExternalWorkflowExecutionNotFound",
        ]


@workflow.defn
class Neighbour:
    @workflow.run
    async def run(self, other: str, run_id: str | None) -> str:
        handle = workflow.get_external_workflow_handle(other, run_id=run_id)
        try:
            await handle.signal(Child.hear, "stop")
        except ApplicationError as error:
            return str(error.type)
        return f"{handle.id} {handle.run_id}"


async def test_an_external_handle_reaches_the_latest_run_or_the_one_that_it_names(cached: int) -> None:
    async with serving(Neighbour, Child, max_cached_workflows=cached) as client:
        for name_the_run in (False, True):
            other = await client.start_workflow(Child.run, "wait", id=an_id())
            run_id = other.result_run_id if name_the_run else None
            said = await client.execute_workflow(Neighbour.run, args=[other.id, run_id], id=an_id())
            assert said == f"{other.id} {run_id}"
            assert await other.result() == ["stop"]
        other = await client.start_workflow(Child.run, "wait", id=other.id)
        said = await client.execute_workflow(Neighbour.run, args=[other.id, run_id], id=an_id())
        assert said == "ExternalWorkflowExecutionNotFound"


@workflow.defn
class SignalsItself:
    def __init__(self) -> None:
        self.heard = ""

    @workflow.run
    async def run(self) -> str:
        await workflow.get_external_workflow_handle(workflow.info().workflow_id).signal("hear", "myself")
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard

    @workflow.signal
    def hear(self, what: str) -> None:
        self.heard = what


async def test_a_workflow_can_signal_itself(cached: int) -> None:
    async with serving(SignalsItself, max_cached_workflows=cached) as client:
        assert await client.execute_workflow(SignalsItself.run, id=an_id()) == "myself"


# -- cancellation ----------------------------------------------------------------------------------------------------


@workflow.defn
class Canceller:
    @workflow.run
    async def run(self, how: str, child_id: str, kind: int) -> str:
        handle = await workflow.start_child_workflow(
            Child.run,
            how,
            id=child_id,
            cancellation_type=ChildWorkflowCancellationType(kind),
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
        await asyncio.sleep(0.005)
        handle.cancel()
        try:
            return f"result {await handle}"
        except asyncio.CancelledError:
            return "cancelled"
        except ChildWorkflowError as error:
            return f"child error: {error.cause}"


async def _cancel_child(client: Client, how: str, kind: ChildWorkflowCancellationType) -> tuple[Any, str]:
    child_id = an_id()
    handle = await client.start_workflow(Canceller.run, args=[how, child_id, int(kind)], id=an_id())
    return handle, child_id


async def test_waiting_for_the_cancellation_of_a_child_waits_for_its_end(cached: int) -> None:
    async with serving(Canceller, Child, max_cached_workflows=cached) as client:
        handle, child_id = await _cancel_child(
            client, "linger", ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
        )
        await until(lambda: _cancel_requested(client, child_id))
        await asyncio.sleep(0.01)
        assert await _status(client, handle.id) == "RUNNING"
        await _child(client, child_id).signal(Child.hear, "stop")
        assert await handle.result() == "cancelled"
        assert await _status(client, child_id) == "CANCELED"


async def _cancel_requested(client: Client, workflow_id: str) -> bool:
    return await _runs(client, workflow_id) and "CancelRequested" in await shape(_child(client, workflow_id))


async def test_a_child_may_refuse_its_cancellation() -> None:
    async with serving(Canceller, Child) as client:
        handle, _ = await _cancel_child(client, "refuse", ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED)
        assert await handle.result() == "result refused to stop"


@pytest.mark.parametrize(
    "kind", [ChildWorkflowCancellationType.TRY_CANCEL, ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED]
)
async def test_a_child_is_asked_to_stop_without_waiting_for_its_end(
    kind: ChildWorkflowCancellationType, cached: int
) -> None:
    async with serving(Canceller, Child, max_cached_workflows=cached) as client:
        handle, child_id = await _cancel_child(client, "linger", kind)
        assert await handle.result() == "cancelled"
        got = await shape(handle)
        assert "RequestCancelExternalInitiated" in got
        if kind is ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED:
            assert "ExternalCancelRequested" in got
        await until(lambda: _cancel_requested(client, child_id))


async def test_an_abandoned_child_is_left_alone() -> None:
    async with serving(Canceller, Child) as client:
        handle, child_id = await _cancel_child(client, "wait", ChildWorkflowCancellationType.ABANDON)
        assert await handle.result() == "cancelled"
        assert "RequestCancelExternalInitiated" not in await shape(handle)
        await _child(client, child_id).signal(Child.hear, "stop")
        assert await _child(client, child_id).result() == ["stop"]


async def test_cancelling_a_parent_cancels_the_child_that_it_waits_for(cached: int) -> None:
    async with serving(Parent, Child, max_cached_workflows=cached) as client:
        child_id = an_id()
        handle = await client.start_workflow(Parent.run, args=["wait", child_id], id=an_id())
        await until(lambda: _runs(client, child_id))
        await handle.cancel()
        assert isinstance(await failure_of(handle.result()), CancelledError)
        assert await _status(client, child_id) == "CANCELED"


@workflow.defn
class ChangesItsMind:
    @workflow.run
    async def run(self, child_id: str) -> str:
        starting = asyncio.ensure_future(workflow.start_child_workflow(Child.run, "wait", id=child_id))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return "never started"


async def test_a_child_cancelled_before_it_was_sent_is_never_started() -> None:
    async with serving(ChangesItsMind, Child) as client:
        child_id = an_id()
        handle = await client.start_workflow(ChangesItsMind.run, child_id, id=an_id())
        assert await handle.result() == "never started"
        with pytest.raises(RPCError):
            await _child(client, child_id).describe()


# -- when the parent ends --------------------------------------------------------------------------------------------


@workflow.defn
class Leaves:
    @workflow.run
    async def run(self, child_id: str, policy: int, how: str) -> str:
        if how == "again":
            return "the next run"
        await workflow.start_child_workflow(
            Child.run, "wait", id=child_id, parent_close_policy=ParentClosePolicy(policy)
        )
        if how == "fail":
            raise ApplicationError("as told")
        if how == "continue as new":
            workflow.continue_as_new(args=[child_id, policy, "again"])
        if how == "wait":
            await asyncio.Event().wait()
        return "left"


@pytest.mark.parametrize("how", ["complete", "fail", "continue as new", "terminate", "time out"])
@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (ParentClosePolicy.TERMINATE, "TERMINATED"),
        (ParentClosePolicy.REQUEST_CANCEL, "CANCELED"),
        (ParentClosePolicy.ABANDON, "RUNNING"),
    ],
)
async def test_what_becomes_of_a_child_when_its_parents_run_closes(
    policy: ParentClosePolicy, status: str, how: str
) -> None:
    async with serving(Leaves, Child) as client:
        child_id = an_id()
        limit = 0.5 if how == "time out" else None
        manner = "wait" if how in ("terminate", "time out") else how
        handle = await client.start_workflow(
            Leaves.run, args=[child_id, int(policy), manner], id=an_id(), run_timeout=limit
        )
        if how == "terminate":
            await until(lambda: _runs(client, child_id))
            await handle.terminate()
        await ended(handle)
        await until(lambda: _has_status(client, child_id, status))
        if status == "RUNNING":
            await asyncio.sleep(0.01)
            assert await _status(client, child_id) == "RUNNING"


async def test_a_parent_close_policy_does_not_hit_somebody_who_took_over_the_id() -> None:
    async with serving(LongParent, Child) as client:
        child_id = an_id()
        handle = await client.start_workflow(LongParent.run, child_id, id=an_id())
        await until(lambda: _runs(client, child_id))
        await _child(client, child_id).signal(Child.hear, "stop")
        await _child(client, child_id).result()
        await client.start_workflow(Child.run, "wait", id=child_id)
        await handle.terminate()
        await asyncio.sleep(0.01)
        assert await _status(client, child_id) == "RUNNING"


@workflow.defn
class LongParent:
    @workflow.run
    async def run(self, child_id: str) -> None:
        await workflow.start_child_workflow(Child.run, "wait", id=child_id)
        await asyncio.Event().wait()


# -- many ------------------------------------------------------------------------------------------------------------


@workflow.defn
class FanOut:
    @workflow.run
    async def run(self, number: int) -> int:
        results = await asyncio.gather(
            *(workflow.execute_child_workflow(Child.run, str(index)) for index in range(number))
        )
        return sum(int(result) for result in results)


async def test_many_children_at_once(cached: int) -> None:
    async with serving(FanOut, Child, max_cached_workflows=cached) as client:
        assert await client.execute_workflow(FanOut.run, 30, id=an_id()) == sum(range(30))


async def test_a_child_on_another_queue_is_served_there() -> None:
    async with serving(OtherQueue) as client, Worker(client, task_queue="children", workflows=[Child]):
        assert await client.execute_workflow(OtherQueue.run, id=an_id()) == "elsewhere"


@workflow.defn
class OtherQueue:
    @workflow.run
    async def run(self) -> str:
        policy = RetryPolicy(maximum_attempts=1)
        return str(
            await workflow.execute_child_workflow("Child", "elsewhere", task_queue="children", retry_policy=policy)
        )


@workflow.defn
class Away:
    @workflow.run
    async def run(self, cancellation: int) -> Any:
        kind = ChildWorkflowCancellationType(cancellation)
        return await workflow.execute_child_workflow(Child.run, "wait", id="child", cancellation_type=kind)


@pytest.mark.parametrize(
    ("kind", "commands"),
    [
        (ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED, [cmd.RequestCancelExternal]),
        (ChildWorkflowCancellationType.TRY_CANCEL, [cmd.RequestCancelExternal, cmd.CancelWorkflow]),
        (ChildWorkflowCancellationType.ABANDON, [cmd.CancelWorkflow]),
    ],
)
def test_a_child_whose_start_comes_together_with_the_cancellation(
    kind: ChildWorkflowCancellationType, commands: list[type]
) -> None:
    """Both reach the code in one task; only the code is asked here, there is no engine."""
    code = WorkflowCode([Away], DataConverter(), "me")
    number = DataConverter().encode(int(kind))
    started = ev.WorkflowExecutionStarted(1, 1, "w", "run", "Away", "queue", [number], original_run_id="run")
    begun = [ev.WorkflowTaskScheduled(2, 1, "queue", 10.0), ev.WorkflowTaskStarted(3, 1, 2)]
    instance = code.create(started)
    assert instance.feed([started, *begun[:1]]) is None
    first = instance.activate(WorkflowTask([], 1, 3, 0, False))
    assert isinstance(first, WorkflowTaskDone)
    (start,) = first.commands
    assert isinstance(start, cmd.StartChildWorkflow)
    events: list[Any] = [
        begun[1],
        ev.WorkflowTaskCompleted(4, 1, 2, 3),
        ev.StartChildWorkflowExecutionInitiated(
            5, 1, "child", "Child", "queue", start.input, ParentClosePolicy.TERMINATE, 4, 1
        ),
        ev.ChildWorkflowExecutionStarted(6, 2, 5, "child", "child-run", "Child"),
        ev.WorkflowExecutionCancelRequested(7, 2, "enough"),
    ]
    assert instance.feed(events) is None
    second = instance.activate(WorkflowTask([], 2, 9, 0, False))
    assert isinstance(second, WorkflowTaskDone)
    assert [type(command) for command in second.commands] == commands
    instance.discard()
