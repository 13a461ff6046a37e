"""Code that doesn't do what its history says, and code with bugs: visible at once, lost never, healed by right code."""

import asyncio
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowHandle
from tenuto.exceptions import ApplicationError
from tenuto.service import RPCError
from tenuto.testing.clock import ManualClock
from tests.support.durable import ONCE, TASK, an_id, failure_of, history, serving, shape, until


@activity.defn
async def charge(amount: int) -> str:
    return f"charged {amount}"


@activity.defn
async def ship(amount: int) -> str:
    return f"shipped {amount}"


ACTIVITIES = [charge, ship]


class Stops:
    """What all versions below share: a wait that lasts until a signal."""

    def __init__(self) -> None:
        self.go = False

    @workflow.signal
    def go_on(self) -> None:
        self.go = True

    @workflow.query
    def gone(self) -> bool:
        return self.go


@workflow.defn(name="Order")
class Recorded(Stops):
    """The version that began: an activity, then a wait."""

    @workflow.run
    async def run(self, amount: int) -> str:
        done = await charge(amount)
        await workflow.wait_condition(lambda: self.go)
        return done


@workflow.defn(name="Order")
class OtherActivity(Stops):
    @workflow.run
    async def run(self, amount: int) -> str:
        return await ship(amount)


@workflow.defn(name="Order")
class TimerInstead(Stops):
    @workflow.run
    async def run(self, amount: int) -> str:
        await asyncio.sleep(60)
        return await charge(amount)


@workflow.defn(name="Order")
class TimerBefore(Stops):
    @workflow.run
    async def run(self, amount: int) -> str:
        sleeping = asyncio.ensure_future(asyncio.sleep(60))
        done = await charge(amount)
        await sleeping
        return done


@workflow.defn(name="Order")
class NoActivity(Stops):
    @workflow.run
    async def run(self, amount: int) -> str:
        await workflow.wait_condition(lambda: self.go)
        return "nothing"


@workflow.defn(name="Order")
class EndsEarly(Stops):
    @workflow.run
    async def run(self, amount: int) -> str:
        return "early"


@workflow.defn(name="Order")
class ChildInstead(Stops):
    @workflow.run
    async def run(self, amount: int) -> str:
        return str(await workflow.execute_child_workflow("Other", amount, id="child"))


@workflow.defn(name="Order")
class ChangedWhatMayChange(Stops):
    """Arguments, limits and policies are not compared, and what comes after the recorded end is new work."""

    @workflow.run
    async def run(self, amount: int) -> str:
        done = await workflow.execute_activity(
            charge, amount + 1000, start_to_close_timeout=5, retry_policy=ONCE, task_queue="default"
        )
        await workflow.wait_condition(lambda: self.go)
        return f"{done}, {await ship(amount)}"


def _line_of(version: type[Any], text: str) -> str:
    """`file:line` of the line of the version's code that contains `text`."""
    lines, first = inspect.getsourcelines(version)
    (number,) = [first + index for index, line in enumerate(lines) if text in line]
    return f"{Path(__file__).name}:{number}"


@pytest.mark.parametrize(
    ("version", "recorded", "made", "line"),
    [
        (OtherActivity, "ActivityTaskScheduled(activity_type='charge'", "activity_type='ship'", "ship(amount)"),
        (TimerInstead, "ActivityTaskScheduled(activity_type='charge'", "StartTimer(", "asyncio.sleep(60)"),
        (
            TimerBefore,
            "event 6 is ActivityTaskStarted(scheduled_event_id=5) instead",
            "StartTimer(",
            "done = await charge(amount)",
        ),
        (NoActivity, "ActivityTaskScheduled(activity_type='charge'", "no such command", "await workflow.wait"),
        (EndsEarly, "ActivityTaskScheduled(activity_type='charge'", "CompleteWorkflow", None),
        (ChildInstead, "ActivityTaskScheduled(activity_type='charge'", "workflow_id='child'", "execute_child_workflow"),
    ],
)
async def test_code_that_does_something_else_is_stopped_with_a_readable_difference(
    version: type[Any], recorded: str, made: str, line: str | None, tmp_path: Path
) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    options: dict[str, Any] = {"activities": ACTIVITIES, "url": url, "connect": {"clock": clock}}
    async with serving(Recorded, **options) as client:
        handle = await client.start_workflow("Order", 5, id="w")
        await until(lambda: _has(handle, "ActivityCompleted"))
        await handle.query("gone")
        before = await shape(handle)

    async with serving(version, **options) as client:
        handle = client.get_workflow_handle("w")
        await handle.signal("go_on")
        description = await until(lambda: _stuck(handle))
        assert description.status.name == "RUNNING"
        assert description.problem.startswith("NON_DETERMINISTIC_ERROR")
        assert recorded in description.problem
        assert made in description.problem
        assert "site-packages" not in description.problem
        if line is not None:
            assert _line_of(version, line) in description.problem
        assert (await shape(handle))[: len(before)] == before

    clock.advance(5)
    async with serving(Recorded, **options) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.result() == "charged 5"
        assert (await handle.describe()).problem is None
        names = await shape(handle)
        assert names.count("ActivityScheduled") == 1
        assert names.count("TaskFailed") == 1
        await history(handle)


async def _has(handle: WorkflowHandle[Any], name: str) -> bool:
    return name in await shape(handle)


async def _stuck(handle: WorkflowHandle[Any]) -> Any:
    description = await handle.describe()
    return description if description.problem else None


async def test_what_may_be_changed_and_new_work_at_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Recorded, activities=ACTIVITIES, url=url) as client:
        handle = await client.start_workflow("Order", 5, id="w")
        await until(lambda: _has(handle, "ActivityCompleted"))
    async with serving(ChangedWhatMayChange, activities=ACTIVITIES, url=url) as client:
        handle = client.get_workflow_handle("w")
        await handle.signal("go_on")
        assert await handle.result() == "charged 5, shipped 5"


# -- bugs ------------------------------------------------------------------------------------------------------------


@workflow.defn(name="Sum")
class Buggy(Stops):
    @workflow.run
    async def run(self, numbers: dict[str, int]) -> int:
        await charge(1)
        return numbers["a"] + numbers["b"]


@workflow.defn(name="Sum")
class Fixed(Stops):
    @workflow.run
    async def run(self, numbers: dict[str, int]) -> int:
        await charge(1)
        return numbers["a"] + numbers.get("b", 0)


async def test_a_bug_is_visible_at_once_and_heals_with_right_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    options: dict[str, Any] = {"activities": ACTIVITIES, "url": url, "connect": {"clock": clock}}
    with caplog.at_level(logging.ERROR, "tenuto.engine"):
        async with serving(Buggy, **options) as client:
            handle = await client.start_workflow(Buggy.run, {"a": 1}, id="w")
            description = await until(lambda: _stuck(handle))
    assert description.status.name == "RUNNING"
    assert "KeyError" in description.problem
    assert "KeyError" in description.workflow_task_failure
    assert description.workflow_task_attempt == 2
    (record,) = caplog.records
    text = record.getMessage()
    assert "w (Sum" in text
    assert "KeyError: 'b'" in text
    assert 'numbers["a"] + numbers["b"]' in text
    assert Path(__file__).name in text

    clock.advance(2)
    async with serving(Fixed, **options) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.result() == 1
        assert (await handle.describe()).problem is None
        names = await shape(handle)
        assert names[-4:] == [*TASK, "Completed"]
        assert names.count("TaskFailed") == 1
        assert names.count("ActivityScheduled") == 1


async def test_only_the_first_failure_is_in_the_history_and_the_latest_and_their_count_are_shown() -> None:
    clock = ManualClock()
    async with serving(Counting, connect={"clock": clock}) as client:
        Counting.tries = 0
        handle = await client.start_workflow(Counting.run, id=an_id())
        await until(lambda: _attempt_is(handle, 2))
        wait = 1.0
        for attempt in range(3, 7):
            clock.advance(wait + 0.01)
            wait *= 2
            await until(lambda attempt=attempt: _attempt_is(handle, attempt))  # type: ignore[misc]
        description = await handle.describe()
        assert description.workflow_task_attempt == 6
        assert "try 5" in description.workflow_task_failure
        assert "try 5" in description.problem
        assert await shape(handle) == ["Started", "TaskScheduled", "TaskStarted", "TaskFailed"]
        failed = (await history(handle))[3]
        assert failed.cause == "WORKFLOW_WORKER_UNHANDLED_FAILURE"
        assert "try 1" in failed.failure.message
        assert "test_code_and_history.py" in failed.failure.stack_trace
        Counting.tries = 100
        clock.advance(wait + 0.01)
        assert await handle.result() == "fixed"
        names = await shape(handle)
        assert names == ["Started", "TaskScheduled", "TaskStarted", "TaskFailed", *TASK, "Completed"]
        assert (await history(handle))[4].attempt == 6


async def _attempt_is(handle: WorkflowHandle[Any], attempt: int) -> bool:
    return bool((await handle.describe()).workflow_task_attempt == attempt)


@workflow.defn
class Counting:
    tries = 0

    @workflow.run
    async def run(self) -> str:
        Counting.tries += 1
        if Counting.tries < 50:
            raise KeyError(f"try {Counting.tries}")
        return "fixed"


async def test_the_count_of_a_stuck_workflow_goes_on_after_a_restart(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    async with serving(Counting, url=url, connect={"clock": clock}) as client:
        Counting.tries = 0
        handle = await client.start_workflow(Counting.run, id="w")
        await until(lambda: _attempt_is(handle, 2))
    async with await Client.connect(url, clock=clock) as client:
        description = await client.get_workflow_handle("w").describe()
        assert description.workflow_task_attempt == 2
        assert "try 1" in (description.workflow_task_failure or "")
    clock.advance(2)
    async with serving(Counting, url=url, connect={"clock": clock}) as client:
        handle = client.get_workflow_handle("w")
        await until(lambda: _attempt_is(handle, 3))
        assert (await shape(handle)).count("TaskFailed") == 1


async def test_stuck_workflows_can_be_listed() -> None:
    async with serving(Buggy, Fine, activities=ACTIVITIES) as client:
        stuck = await client.start_workflow(Buggy.run, {}, id=an_id())
        await client.execute_workflow(Fine.run, id=an_id())
        await until(lambda: _stuck(stuck))
        problems = {execution.id: execution.problem async for execution in client.list_workflows()}
        assert "KeyError" in (problems.pop(stuck.id) or "")
        assert set(problems.values()) == {None}


@workflow.defn
class Fine:
    @workflow.run
    async def run(self) -> None:
        pass


async def test_a_stuck_workflow_can_be_terminated_and_says_why_it_does_not_answer() -> None:
    async with serving(Buggy, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Buggy.run, {}, id=an_id())
        await until(lambda: _stuck(handle))
        with pytest.raises(RPCError, match=r"stuck.*KeyError"):
            await handle.query("gone")
        await handle.signal("go_on")
        await handle.terminate(reason="hopeless")
        assert str(await failure_of(handle.result())) == "hopeless"
        assert (await handle.describe()).problem is None


async def test_a_type_that_no_worker_has_is_a_problem_that_names_those_it_has() -> None:
    async with serving(Fine) as client:
        handle = await client.start_workflow("Missing", id=an_id())
        description = await until(lambda: _stuck(handle))
        assert "'Missing' is not registered" in description.problem
        assert "it has: Fine" in description.problem


@workflow.defn
class TakesNumbers:
    @workflow.run
    async def run(self, number: int, name: str = "") -> int:
        return number


@pytest.mark.parametrize("args", [["not a number"], [], [1, "a", "too many"]])
async def test_arguments_that_the_code_cannot_take_are_a_problem_too(args: list[Any]) -> None:
    async with serving(TakesNumbers) as client:
        handle = await client.start_workflow("TakesNumbers", args=args, id=an_id())
        description = await until(lambda: _stuck(handle))
        assert "run" in description.problem or "int" in description.problem


@workflow.defn(failure_exception_types=[LookupError])
class Declared:
    @workflow.run
    async def run(self) -> None:
        raise KeyError("declared to fail")


@workflow.defn
class OnlyTheWorkerSays:
    @workflow.run
    async def run(self) -> None:
        raise ZeroDivisionError("by order of the worker")


async def test_exceptions_that_are_declared_as_failures_fail_the_workflow() -> None:
    async with serving(Declared, OnlyTheWorkerSays, workflow_failure_exception_types=[ArithmeticError]) as client:
        for kind, expected in ((Declared, "KeyError"), (OnlyTheWorkerSays, "ZeroDivisionError")):
            error = await failure_of(client.execute_workflow(kind.run, id=an_id()))
            assert isinstance(error, ApplicationError)
            assert error.type == expected


async def test_a_time_out_that_nobody_catches_fails_the_workflow() -> None:
    async with serving(RunsOut) as client:
        error = await failure_of(client.execute_workflow(RunsOut.run, id=an_id()))
        assert isinstance(error, ApplicationError)
        assert error.type == "TimeoutError"


@workflow.defn
class RunsOut:
    @workflow.run
    async def run(self) -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


async def test_a_result_that_cannot_be_stored_is_a_problem() -> None:
    async with serving(Nonsense) as client:
        handle = await client.start_workflow(Nonsense.run, id=an_id())
        description = await until(lambda: _stuck(handle))
        assert "object" in description.problem


@workflow.defn
class Nonsense:
    @workflow.run
    async def run(self) -> object:
        return object()


async def test_a_duplicate_activity_id_is_a_problem() -> None:
    async with serving(Duplicates, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Duplicates.run, id=an_id())
        description = await until(lambda: _stuck(handle))
        assert "DUPLICATE_ID" in description.problem


@workflow.defn
class Duplicates:
    @workflow.run
    async def run(self) -> None:
        handles = [workflow.start_activity(charge, 1, activity_id="same", task_queue="nobody") for _ in range(1)]
        await asyncio.sleep(0.001)
        handles.append(workflow.start_activity(charge, 1, activity_id="same"))
        await asyncio.gather(*handles)


# -- what code may rely on -------------------------------------------------------------------------------------------


@workflow.defn
class Deterministic(Stops):
    @workflow.run
    async def run(self) -> list[Any]:
        drawn: list[Any] = [workflow.now(), workflow.time(), workflow.time_ns()]
        drawn += [workflow.random().random(), str(workflow.uuid4())]
        self.drawn = drawn
        await workflow.wait_condition(lambda: self.go)
        drawn += [workflow.random().randint(0, 10**9), str(workflow.uuid4())]
        return drawn

    @workflow.query
    def so_far(self) -> list[Any]:
        return self.drawn


async def test_time_random_numbers_and_ids_are_the_same_on_every_replay(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Deterministic, url=url) as client:
        await client.start_workflow(Deterministic.run, id="w")
        before = await client.get_workflow_handle("w").query(Deterministic.so_far)
    async with serving(Deterministic, url=url) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.query(Deterministic.so_far) == before
        await handle.signal("go_on")
        result = await handle.result()
        assert result[:5] == before[:5]
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", result[6])
        assert await handle.query(Deterministic.so_far) == result
        other = await client.start_workflow(Deterministic.run, id="other", start_signal="go_on")
        assert (await other.result())[3] != before[3]


async def test_the_logger_is_silent_on_replay(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tenuto.workflow"):
        async with serving(Logs, activities=ACTIVITIES, max_cached_workflows=0) as client:
            handle = await client.start_workflow(Logs.run, id=an_id())
            await handle.result()
            await handle.query("number")
    assert [record.getMessage() for record in caplog.records] == ["began", "charged 1", "charged 2", "ended"]
    assert {record.workflow_id for record in caplog.records} == {handle.id}  # type: ignore[attr-defined]


@workflow.defn
class Logs:
    @workflow.run
    async def run(self) -> None:
        workflow.logger.info("began")
        for number in (1, 2):
            workflow.logger.info(await charge(number))
        workflow.logger.info("ended")

    @workflow.query
    def number(self) -> int:
        return 1


# -- declaring -------------------------------------------------------------------------------------------------------


def test_a_workflow_class_needs_one_async_run_method() -> None:
    with pytest.raises(ValueError, match=r"exactly one @workflow\.run"):

        @workflow.defn
        class NoRun:
            pass

    with pytest.raises(ValueError, match="async def"):

        @workflow.defn
        class SyncRun:
            @workflow.run
            def run(self) -> None: ...

    with pytest.raises(ValueError, match="async"):

        class AsyncQuery:
            @workflow.query
            async def ask(self) -> None: ...

    with pytest.raises(ValueError, match="two signal handlers named 'same'"):

        @workflow.defn
        class Twice:
            @workflow.run
            async def run(self) -> None: ...

            @workflow.signal(name="same")
            def one(self) -> None: ...

            @workflow.signal(name="same")
            def two(self) -> None: ...

    with pytest.raises(ValueError, match="same arguments"):

        @workflow.defn
        class OtherInit:
            @workflow.init
            def __init__(self) -> None: ...

            @workflow.run
            async def run(self, number: int) -> None: ...
