"""Continue as new: the next run gets what the last one leaves it, and no message is lost between the two."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tenuto import workflow
from tenuto.client import WorkflowContinuedAsNewError
from tenuto.history import closing, deadlines, inbound
from tenuto.history.commands import complete_task
from tenuto.history.effects import NewRun
from tenuto.history.execution import Execution
from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.limits import Limits
from tenuto.worker import Worker
from tests.support.durable import TASK, an_id, at_most, history, serving, shape, short
from tests.support.history_checker import check_history


@workflow.defn
class Relay:
    @workflow.run
    async def run(self, left: int, seen: list[str]) -> list[str]:
        info = workflow.info()
        seen.append(info.run_id)
        if left:
            workflow.continue_as_new(args=[left - 1, seen])
        assert info.first_execution_run_id == seen[0]
        assert info.continued_run_id == (seen[-2] if len(seen) > 1 else None)
        return seen


@pytest.mark.parametrize("cached", [1000, 0])
async def test_the_result_is_that_of_the_last_run_of_the_chain(cached: int) -> None:
    async with serving(Relay, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Relay.run, args=[3, []], id=an_id())
        runs = await handle.result()
        assert len(set(runs)) == 4
        assert runs[0] == handle.result_run_id
        with pytest.raises(WorkflowContinuedAsNewError) as caught:
            await handle.result(follow_runs=False)
        assert caught.value.new_execution_run_id == runs[1]
        statuses = [
            (await client.get_workflow_handle(handle.id, run_id=run_id).describe()).status.name for run_id in runs
        ]
        assert statuses == ["CONTINUED_AS_NEW"] * 3 + ["COMPLETED"]
        assert (await client.get_workflow_handle(handle.id).describe()).run_id == runs[-1]
        last = await client.get_workflow_handle(handle.id, run_id=runs[-1]).describe()
        assert last.first_run_id == runs[0]


async def test_a_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Stepwise, url=url) as client:
        await client.start_workflow(Stepwise.run, 0, id="w", start_signal=Stepwise.step)
        handle = client.get_workflow_handle("w")
        assert await handle.query(Stepwise.number) == 1
    async with serving(Stepwise, url=url) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.query(Stepwise.number) == 1
        await handle.signal(Stepwise.step)
        assert await handle.query(Stepwise.number) == 2


@workflow.defn
class Stepwise:
    @workflow.init
    def __init__(self, number: int) -> None:
        self.at = number
        self.steps = 0

    @workflow.run
    async def run(self, number: int) -> None:
        await workflow.wait_condition(lambda: self.steps > 0)
        workflow.continue_as_new(number + self.steps)

    @workflow.signal
    def step(self) -> None:
        self.steps += 1

    @workflow.query
    def number(self) -> int:
        return self.at


@workflow.defn
class Heir:
    @workflow.run
    async def run(self, change: bool, first: bool) -> dict[str, Any]:
        if first:
            options: dict[str, Any] = {}
            if change:
                options = {
                    "memo": {"of": "the second"},
                    "run_timeout": 55,
                    "task_timeout": timedelta(seconds=6),
                    "retry_policy": at_most(9),
                    "task_queue": "other",
                }
            workflow.continue_as_new(args=[change, False], **options)
        info = workflow.info()
        assert info.run_timeout is not None
        assert info.retry_policy is not None
        return {
            "memo": dict(workflow.memo()),
            "run_timeout": info.run_timeout.total_seconds(),
            "task_timeout": info.task_timeout.total_seconds(),
            "attempts": info.retry_policy.maximum_attempts,
            "queue": info.task_queue,
        }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            False,
            {"memo": {"of": "both"}, "run_timeout": 44.0, "task_timeout": 10.0, "attempts": 2, "queue": "default"},
        ),
        (
            True,
            {"memo": {"of": "the second"}, "run_timeout": 55.0, "task_timeout": 6.0, "attempts": 9, "queue": "other"},
        ),
    ],
)
async def test_the_next_run_inherits_what_it_is_not_given(change: bool, expected: dict[str, Any]) -> None:
    async with serving(Heir) as client, Worker(client, task_queue="other", workflows=[Heir]):
        got = await client.execute_workflow(
            Heir.run, args=[change, True], id=an_id(), memo={"of": "both"}, run_timeout=44, retry_policy=at_most(2)
        )
        assert got == expected


@workflow.defn
class Caterpillar:
    @workflow.run
    async def run(self) -> str:
        workflow.continue_as_new("as a moth", workflow=Butterfly.run)


@workflow.defn
class Butterfly:
    @workflow.run
    async def run(self, manner: str) -> str:
        return f"flew {manner}"


async def test_the_next_run_may_be_of_another_type() -> None:
    async with serving(Caterpillar, Butterfly) as client:
        assert await client.execute_workflow(Caterpillar.run, id=an_id()) == "flew as a moth"


@workflow.defn
class FromHandler:
    @workflow.run
    async def run(self, generation: int) -> int:
        if generation:
            return generation
        await asyncio.Event().wait()
        return 0

    @workflow.signal
    async def renew(self) -> None:
        workflow.continue_as_new(1)


@workflow.defn
class Cautious:
    @workflow.run
    async def run(self, generation: int) -> int:
        if generation:
            return generation
        try:
            workflow.continue_as_new(1)
        except Exception:
            return -1
        return -2


@pytest.mark.parametrize("kind", [FromHandler, Cautious])
async def test_it_may_come_from_a_handler_and_passes_through_except_exception(kind: Any) -> None:
    async with serving(FromHandler, Cautious) as client:
        options = {"start_signal": "renew"} if kind is FromHandler else {}
        assert await client.execute_workflow(kind.run, 0, id=an_id(), **options) == 1


async def test_wrong_arguments_for_the_next_run_are_found_where_they_are_given() -> None:
    async with serving(Miscounts) as client:
        assert "too many" in await client.execute_workflow(Miscounts.run, id=an_id())


@workflow.defn
class Miscounts:
    @workflow.run
    async def run(self) -> str:
        try:
            workflow.continue_as_new("one too many")
        except TypeError as error:
            return f"too many: {error}"
        return "unexpected"


@pytest.mark.parametrize("cached", [1000, 0])
async def test_it_is_suggested_when_the_history_is_long(cached: int) -> None:
    limits = Limits(history_events_suggestion=20)
    async with serving(Long, connect={"limits": limits}, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Long.run, False, id=an_id())
        length = await handle.result()
        assert 20 <= length < 26


@workflow.defn
class Long:
    @workflow.run
    async def run(self, again: bool) -> int:
        while not workflow.info().is_continue_as_new_suggested():
            assert workflow.info().get_current_history_length() < 30
            await asyncio.sleep(0.0001)
        return workflow.info().get_current_history_length()


@workflow.defn
class Counter:
    """Counts its signals over many runs."""

    def __init__(self) -> None:
        self.new = 0
        self.stopped = False

    @workflow.run
    async def run(self, count: int) -> int:
        await workflow.wait_condition(lambda: self.new > 0 or self.stopped)
        if self.stopped:
            return count + self.new
        workflow.continue_as_new(count + self.new)

    @workflow.signal
    def add(self) -> None:
        self.new += 1

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("cached", [1000, 0])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_no_signal_is_lost_between_two_runs(store: str, cached: int, tmp_path: Path) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/a.db?synchronous=NORMAL"
    async with serving(Counter, url=url, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Counter.run, 0, id=an_id())
        latest = client.get_workflow_handle(handle.id)

        async def sender() -> None:
            for _ in range(5):
                await latest.signal(Counter.add)
                await asyncio.sleep(0)

        await asyncio.gather(*(sender() for _ in range(6)))
        await latest.signal(Counter.stop)
        assert await handle.result() == 30


# -- the rule itself, without engine: a closing command over unread messages is refused --------------------------------

SECOND = 1_000_000_000


def _begun() -> Execution:
    """A run whose first workflow task is out."""
    numbers = iter(range(100))
    execution = Execution(Limits(), lambda: f"run-{next(numbers)}")
    started = ev.WorkflowExecutionStarted(
        1, SECOND, "w", "run", "Type", "queue", [], first_execution_run_id="run", original_run_id="run"
    )
    inbound.begin(execution, started, None)
    execution.start_task(2 * SECOND)
    return execution


CLOSING = {
    "complete": cmd.CompleteWorkflow(),
    "continue as new": cmd.ContinueAsNew(None, None, []),
    "cancel": cmd.CancelWorkflow(),
}


def _arrive(execution: Execution, what: str) -> None:
    if what == "signal":
        assert inbound.signal(execution, msg.Signal("hello"), 3 * SECOND) is None
    else:
        inbound.request_cancel(execution, msg.Cancel("stop"), 3 * SECOND)


@pytest.mark.parametrize("what", ["signal", "cancel request"])
@pytest.mark.parametrize("how", list(CLOSING))
def test_a_task_that_would_close_the_run_over_an_unread_message_is_refused_and_redone(how: str, what: str) -> None:
    execution = _begun()
    _arrive(execution, what)
    assert len(execution.unwritten) == 2, "what arrives while a task is out waits behind it"

    refusal = complete_task(execution, [CLOSING[how]], 4 * SECOND, "worker")

    assert refusal is not None
    assert refusal.cause == "UNHANDLED_COMMAND"
    arrived = "Signaled" if what == "signal" else "CancelRequested"
    assert [short(event) for event in execution.unwritten] == [
        "Started",
        "TaskScheduled",
        "TaskStarted",
        "TaskFailed",
        arrived,
    ]
    assert not any(isinstance(effect, NewRun) for effect in execution.effects)
    assert execution.wants_task(4 * SECOND), "the code is asked again at once, not after a back-off"

    execution.start_task(5 * SECOND)
    assert complete_task(execution, [CLOSING[how]], 6 * SECOND, "worker") is None
    events = execution.take_unwritten()
    assert [short(event) for event in events][5:8] == TASK
    assert events[-1].event_id == 9
    assert execution.state.closed
    check_history(events)


def test_commands_that_do_not_close_go_ahead_and_the_message_follows_them() -> None:
    execution = _begun()
    _arrive(execution, "signal")
    assert complete_task(execution, [cmd.StartTimer("1", 10.0)], 4 * SECOND, "worker") is None
    assert [short(event) for event in execution.unwritten] == [
        "Started",
        *TASK,
        "TimerStarted",
        "Signaled",
        "TaskScheduled",
    ]
    check_history(execution.unwritten)


def test_a_timer_and_an_answer_that_arrive_while_a_task_is_out_wait_too() -> None:
    execution = _begun()
    complete_task(execution, [cmd.StartTimer("1", 1.0)], 2 * SECOND, "worker")
    inbound.signal(execution, msg.Signal("hello"), 3 * SECOND)
    execution.start_task(3 * SECOND)
    (deadline,) = [deadline for deadline in execution.deadlines() if deadline.key == "1"]
    deadlines.reach(execution, deadline, 4 * SECOND)
    refusal = complete_task(execution, [cmd.CompleteWorkflow()], 5 * SECOND, "worker")
    assert refusal is not None
    assert refusal.cause == "UNHANDLED_COMMAND"
    assert [short(event) for event in execution.unwritten][-2:] == ["TaskFailed", "TimerFired"]


def test_termination_needs_no_task_and_forgets_what_is_buffered() -> None:
    execution = _begun()
    _arrive(execution, "signal")
    closing.terminate(execution, "enough", [], "me", 4 * SECOND)
    assert [short(event) for event in execution.unwritten] == ["Started", "TaskScheduled", "Terminated"]
    assert not execution.buffered


async def test_the_history_of_a_chain_has_fresh_ids() -> None:
    async with serving(Relay) as client:
        handle = await client.start_workflow(Relay.run, args=[1, []], id=an_id())
        runs = await handle.result()
        assert await shape(handle) == ["Started", *TASK, "ContinuedAsNew"]
        second = client.get_workflow_handle(handle.id, run_id=runs[1])
        assert await shape(second) == ["Started", *TASK, "Completed"]
        assert (await history(second))[0].event_id == 1


# -- nothing follows the closing event ---------------------------------------------------------------------------------


@workflow.defn
class LastWords:
    """Sends a message in the same task in which it ends; the answer comes when it has ended."""

    @workflow.run
    async def run(self, what: str, target: str) -> str:
        other = workflow.get_external_workflow_handle(target or workflow.info().workflow_id)
        act = {
            "signal": lambda: other.signal("hear", "x"),
            "cancel": lambda: other.cancel(),
            "child": lambda: workflow.start_child_workflow(LastWords.run, args=["nothing", ""], id=other.id),
        }.get(what)
        if act is not None:
            task = asyncio.ensure_future(act())
            await asyncio.sleep(0)
            assert not task.done()
        return "ended"

    @workflow.signal
    def hear(self, what: str) -> None:
        pass


@pytest.mark.parametrize("target", ["itself", "another", "nobody"])
@pytest.mark.parametrize("what", ["signal", "cancel", "child"])
async def test_an_answer_that_comes_after_the_end_changes_nothing(what: str, target: str) -> None:
    async with serving(LastWords, Counter) as client:
        other = await client.start_workflow(Counter.run, 0, id=an_id())
        await asyncio.sleep(0.001)
        whom = {"itself": "", "another": other.id, "nobody": an_id()}[target]
        handle = await client.start_workflow(LastWords.run, args=[what, whom], id=an_id())
        assert await handle.result() == "ended"
        await asyncio.sleep(0.01)
        assert (await shape(handle))[-1] == "Completed"
