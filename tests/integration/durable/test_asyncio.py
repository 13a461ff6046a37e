"""asyncio in workflow code works as its users know it, and is durable where it waits.

Every script runs twice: suspended in memory while it waits, and (`cached` 0) brought back by replay for each step. Both
must give the same result and the same history.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowHandle
from tenuto.exceptions import ActivityError, ApplicationError, CancelledError
from tenuto.model import events as ev
from tests.support.durable import TASK, an_id, failure_of, history, of_type, serving, shape, until

Script = Callable[["Scripted"], Awaitable[Any]]
SCRIPTS: dict[str, Script] = {}


def script(function: Script) -> Script:
    SCRIPTS[function.__name__] = function  # type: ignore[attr-defined]
    return function


@workflow.defn
class Scripted:
    """Runs one of the scripts below."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.log: list[str] = []

    @workflow.run
    async def run(self, name: str) -> Any:
        return await SCRIPTS[name](self)

    @workflow.signal
    def say(self, what: str) -> None:
        self.heard.append(what)

    @workflow.query
    def logged(self) -> list[str]:
        return self.log


@activity.defn
async def echo(what: str) -> str:
    return what


@activity.defn
async def slow_echo(what: str) -> str:
    await asyncio.sleep(0.02)
    return what


@activity.defn
async def hang() -> str:
    await asyncio.Event().wait()
    return "unexpected"


@activity.defn
async def fail(what: str) -> None:
    raise ApplicationError(what, non_retryable=True)


ACTIVITIES = [echo, slow_echo, hang, fail]


@pytest.fixture(params=[1000, 0], ids=["suspended", "replayed"])
def cached(request: pytest.FixtureRequest) -> int:
    return int(request.param)


async def play(function: Script, cached: int) -> tuple[Any, list[str]]:
    """The script's result, and what it left in the history."""
    async with serving(Scripted, activities=ACTIVITIES, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Scripted.run, function.__name__, id=an_id())  # type: ignore[attr-defined]
        return await handle.result(), await shape(handle)


async def result_of(function: Script, cached: int) -> Any:
    return (await play(function, cached))[0]


# -- sleeping and time limits ----------------------------------------------------------------------------------------


@script
async def sleeps(this: Scripted) -> list[float]:
    began = workflow.time()
    loop_time = asyncio.get_running_loop().time()
    await asyncio.sleep(0.01, result="ignored")
    middle = workflow.time()
    await workflow.sleep(0.01)
    same = workflow.time()
    return [middle - began, same - middle, asyncio.get_running_loop().time() - loop_time, workflow.time() - same]


async def test_sleeping_is_a_durable_timer_and_time_stands_still_while_code_runs(cached: int) -> None:
    (first, second, on_the_loop, none), got = await play(sleeps, cached)
    assert first >= 0.01
    assert second >= 0.01
    assert on_the_loop == pytest.approx(first + second, abs=1e-6)
    assert none == 0
    assert got == ["Started", *TASK, *["TimerStarted", "TimerFired", *TASK] * 2, "Completed"]


@script
async def sleeps_for_nothing(this: Scripted) -> str:
    await asyncio.sleep(0)
    await workflow.sleep(0)
    return await asyncio.sleep(0, result="at once")


async def test_sleeping_for_nothing_only_lets_others_run(cached: int) -> None:
    assert await play(sleeps_for_nothing, cached) == ("at once", ["Started", *TASK, "Completed"])


@script
async def waits_too_long(this: Scripted) -> str:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), timeout=0.01)
    except TimeoutError:
        return "timed out"
    return "unexpected"


@script
async def waits_too_long_in_a_block(this: Scripted) -> str:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timed out"
    return "unexpected"


@script
async def waits_too_long_for_a_condition(this: Scripted) -> str:
    try:
        await workflow.wait_condition(lambda: bool(this.heard), timeout=0.01)
    except TimeoutError:
        return "timed out"
    return "unexpected"


@pytest.mark.parametrize("waiting", [waits_too_long, waits_too_long_in_a_block, waits_too_long_for_a_condition])
async def test_a_time_limit_is_a_timer_that_fires(waiting: Script, cached: int) -> None:
    assert await play(waiting, cached) == (
        "timed out",
        ["Started", *TASK, "TimerStarted", "TimerFired", *TASK, "Completed"],
    )


@script
async def is_in_time(this: Scripted) -> str:
    return await asyncio.wait_for(echo("in time"), timeout=1000)


@script
async def is_in_time_in_a_block(this: Scripted) -> str:
    async with asyncio.timeout(1000):
        return await echo("in time")


@pytest.mark.parametrize("waiting", [is_in_time, is_in_time_in_a_block])
async def test_a_time_limit_that_is_not_needed_is_a_timer_that_is_cancelled(waiting: Script, cached: int) -> None:
    result, got = await play(waiting, cached)
    assert result == "in time"
    assert sorted(got[4:6]) == ["ActivityScheduled", "TimerStarted"]
    assert got[6:] == ["ActivityStarted", "ActivityCompleted", *TASK, "TimerCanceled", "Completed"]


@script
async def needs_no_timer(this: Scripted) -> str:
    async with asyncio.timeout(1000):
        await asyncio.sleep(0)
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    done.set_result("done")
    await asyncio.wait_for(done, timeout=1000)
    await workflow.wait_condition(lambda: True, timeout=1000)
    await workflow.wait_condition(lambda: True)
    handle = asyncio.get_running_loop().call_later(1000, this.log.append, "never")
    handle.cancel()
    return "no timer"


async def test_a_timer_that_is_cancelled_in_the_task_that_started_it_leaves_nothing(cached: int) -> None:
    assert await play(needs_no_timer, cached) == ("no timer", ["Started", *TASK, "Completed"])


@script
async def reschedules(this: Scripted) -> str:
    try:
        async with asyncio.timeout(1000) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 0.01)
            await asyncio.Event().wait()
    except TimeoutError:
        return f"expired: {limit.expired()}"
    return "unexpected"


async def test_a_time_limit_can_be_moved(cached: int) -> None:
    assert await play(reschedules, cached) == (
        "expired: True",
        ["Started", *TASK, "TimerStarted", "TimerFired", *TASK, "Completed"],
    )


@script
async def limits_an_activity(this: Scripted) -> str:
    try:
        await asyncio.wait_for(hang(), timeout=0.001)
    except TimeoutError:
        return "timed out"
    return "unexpected"


async def test_a_time_limit_on_an_activity_cancels_it(cached: int) -> None:
    result, got = await play(limits_an_activity, cached)
    assert result == "timed out"
    assert "ActivityCancelRequested" in got


# -- many at a time --------------------------------------------------------------------------------------------------


@script
async def gathers(this: Scripted) -> list[str]:
    return list(await asyncio.gather(slow_echo("a"), echo("b"), asyncio.sleep(0.001, "c")))


async def test_gather_waits_for_all_and_keeps_their_order(cached: int) -> None:
    result, got = await play(gathers, cached)
    assert result == ["a", "b", "c"]
    assert sorted(got[4:7]) == ["ActivityScheduled", "ActivityScheduled", "TimerStarted"]


@script
async def gathers_a_failure(this: Scripted) -> list[str]:
    outcomes = await asyncio.gather(echo("a"), fail("b"), return_exceptions=True)
    try:
        await asyncio.gather(asyncio.sleep(1000), fail("c"))
    except ActivityError as error:
        return [str(outcomes[0]), str(outcomes[1].__cause__), str(error.cause)]  # type: ignore[union-attr]
    return []


async def test_gather_raises_the_first_failure_or_returns_it(cached: int) -> None:
    assert await result_of(gathers_a_failure, cached) == ["a", "b", "c"]


@script
async def groups(this: Scripted) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(echo(name)) for name in "abc"]
    return [task.result() for task in tasks]


async def test_a_task_group_waits_for_all(cached: int) -> None:
    assert await result_of(groups, cached) == ["a", "b", "c"]


@script
async def group_breaks(this: Scripted) -> list[str]:
    async def loser() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            this.log.append("cancelled")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(loser())
            group.create_task(fail("one fails"))
    except* ActivityError as errors:
        this.log.extend(str(error.cause) for error in errors.exceptions if isinstance(error, ActivityError))
    return this.log


async def test_a_task_group_whose_task_fails_cancels_the_others(cached: int) -> None:
    result, got = await play(group_breaks, cached)
    assert result == ["cancelled", "one fails"]
    assert got[-2:] == ["TimerCanceled", "Completed"]


@script
async def races(this: Scripted) -> str:
    tasks = [asyncio.create_task(hang()), asyncio.create_task(asyncio.sleep(0.001, "quick"))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return done.pop().result()


async def test_a_race_has_one_winner(cached: int) -> None:
    assert await result_of(races, cached) == "quick"


@script
async def takes_turns(this: Scripted) -> str:
    async def worker(name: str) -> None:
        for _ in range(3):
            this.log.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(worker("a"), worker("b"), worker("c"))
    return "".join(this.log)


async def test_coroutines_take_turns_in_the_order_in_which_they_were_started(cached: int) -> None:
    assert await result_of(takes_turns, cached) == "abcabcabc"


# -- locks, events, queues -------------------------------------------------------------------------------------------


@script
async def locks(this: Scripted) -> list[str]:
    lock = asyncio.Lock()

    async def worker(name: str) -> None:
        async with lock:
            this.log.append(f"{name} in")
            await echo(name)
            this.log.append(f"{name} out")

    await asyncio.gather(worker("a"), worker("b"))
    return this.log


async def test_a_lock_is_held_over_durable_waits(cached: int) -> None:
    assert await result_of(locks, cached) == ["a in", "a out", "b in", "b out"]


@script
async def waits_for_an_event(this: Scripted) -> list[str]:
    event = asyncio.Event()

    async def waiter(name: str) -> None:
        await event.wait()
        this.log.append(name)

    waiters = [asyncio.create_task(waiter(name)) for name in "abc"]
    await asyncio.sleep(0.001)
    assert this.log == []
    event.set()
    await asyncio.gather(*waiters)
    return this.log


async def test_an_event_wakes_all_in_order(cached: int) -> None:
    assert await result_of(waits_for_an_event, cached) == ["a", "b", "c"]


@script
async def queues(this: Scripted) -> list[str]:
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)

    async def producer() -> None:
        for item in "abc":
            await queue.put(await echo(item))

    async def consumer() -> None:
        while True:
            this.log.append(await queue.get())
            await asyncio.sleep(0.001)
            queue.task_done()

    consuming = asyncio.create_task(consumer())
    await producer()
    await queue.join()
    consuming.cancel()
    return this.log


async def test_a_queue_holds_back_its_producer(cached: int) -> None:
    assert await result_of(queues, cached) == ["a", "b", "c"]


@script
async def counts_with_a_semaphore(this: Scripted) -> int:
    semaphore, inside, most = asyncio.Semaphore(2), 0, 0

    async def worker(name: str) -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await echo(name)
            inside -= 1

    await asyncio.gather(*(worker(name) for name in "abcdef"))
    return most


async def test_a_semaphore_bounds_what_goes_on_at_a_time(cached: int) -> None:
    assert await result_of(counts_with_a_semaphore, cached) == 2


@script
async def uses_a_condition_and_a_barrier(this: Scripted) -> list[str]:
    condition, barrier = asyncio.Condition(), asyncio.Barrier(2)

    async def waiter() -> None:
        async with condition:
            await condition.wait_for(lambda: bool(this.heard))
            this.log.append("notified")
        await barrier.wait()

    waiting = asyncio.create_task(waiter())
    await asyncio.sleep(0.001)
    async with condition:
        this.heard.append("now")
        condition.notify_all()
    await barrier.wait()
    await waiting
    return this.log


async def test_conditions_and_barriers(cached: int) -> None:
    assert await result_of(uses_a_condition_and_a_barrier, cached) == ["notified"]


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@script
async def carries_context(this: Scripted) -> list[str]:
    async def inner() -> str:
        before = variable.get()
        variable.set("inner")
        await asyncio.sleep(0.001)
        return f"{before} {variable.get()}"

    variable.set("outer")
    return [await asyncio.create_task(inner()), variable.get()]


async def test_context_variables_belong_to_their_task(cached: int) -> None:
    assert await result_of(carries_context, cached) == ["outer inner", "outer"]


# -- cancellation inside ---------------------------------------------------------------------------------------------


@script
async def cancels_a_task(this: Scripted) -> list[str]:
    async def sleeper() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            this.log.append("told")
            await echo("cleaning")
            this.log.append("cleaned")
            raise

    task = asyncio.create_task(sleeper())
    await asyncio.sleep(0.001)
    task.cancel("a message")
    try:
        await task
    except asyncio.CancelledError:
        this.log.append("gone")
    return [*this.log, str(task.cancelled())]


async def test_a_cancelled_task_may_clean_up_durably(cached: int) -> None:
    result, got = await play(cancels_a_task, cached)
    assert result == ["told", "cleaned", "gone", "True"]
    assert "TimerCanceled" in got


@script
async def swallows_nothing(this: Scripted) -> str:
    async def careless() -> str:
        while True:
            try:
                await asyncio.sleep(1000)
            except Exception:
                this.log.append("swallowed")

    task = asyncio.create_task(careless())
    await asyncio.sleep(0.001)
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    return f"{type(outcome).__name__} {this.log}"


async def test_except_exception_does_not_swallow_a_cancellation(cached: int) -> None:
    assert await result_of(swallows_nothing, cached) == "CancelledError []"


@script
async def shields(this: Scripted) -> list[str]:
    task = asyncio.create_task(slow_echo("shielded"))
    waiting = asyncio.ensure_future(asyncio.shield(task))
    await asyncio.sleep(0)
    waiting.cancel()
    try:
        await waiting
    except asyncio.CancelledError:
        this.log.append("the wait is cancelled")
    return [*this.log, await task]


async def test_shield_keeps_what_is_inside_going(cached: int) -> None:
    result, got = await play(shields, cached)
    assert result == ["the wait is cancelled", "shielded"]
    assert "ActivityCancelRequested" not in got


@script
async def shielded_cleanup(this: Scripted) -> str:
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        return str(await asyncio.shield(asyncio.create_task(echo("compensated"))))
    return "unexpected"


async def test_a_cancel_request_is_delivered_once_so_that_cleaning_up_is_not_cut_off(cached: int) -> None:
    async with serving(Scripted, activities=ACTIVITIES, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Scripted.run, "shielded_cleanup", id=an_id())
        await until(lambda: _has(handle, "TimerStarted"))
        await handle.cancel()
        assert await handle.result() == "compensated"


async def _has(handle: WorkflowHandle[Any], name: str) -> bool:
    return name in await shape(handle)


@script
async def cancels_itself(this: Scripted) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def test_a_cancellation_that_nobody_requested_fails_the_workflow(cached: int) -> None:
    async with serving(Scripted, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Scripted.run, "cancels_itself", id=an_id())
        assert isinstance(await failure_of(handle.result()), CancelledError)
        assert (await shape(handle))[-1] == "Failed"


@script
async def is_hard_to_evict(this: Scripted) -> str:
    swallowed = 0
    while not this.heard:
        try:
            await workflow.wait_condition(lambda: bool(this.heard), timeout=1000)
        except Exception:
            swallowed += 1
        except BaseException:
            this.log.append("went on in memory")
            raise
        finally:
            # What is done while the suspended code is thrown away comes to nothing.
            this.log.append("finally")
    return f"{this.heard[0]} {swallowed}"


async def test_except_exception_and_finally_do_not_hold_up_eviction(cached: int) -> None:
    async with serving(Scripted, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Scripted.run, "is_hard_to_evict", id=an_id())
        others = [await client.start_workflow(Scripted.run, "sleeps", id=an_id()) for _ in range(3)]
        for other in others:
            await other.result()
        await handle.signal(Scripted.say, "hello")
        assert await handle.result() == "hello 0"
        assert await shape(handle) == [
            "Started",
            *TASK,
            "TimerStarted",
            "Signaled",
            *TASK,
            "TimerCanceled",
            "Completed",
        ]


@script
async def cleans_up_with_commands(this: Scripted) -> str:
    try:
        await workflow.wait_condition(lambda: bool(this.heard))
    finally:
        await echo("cleanup")
    return "done"


async def test_a_finally_block_that_starts_work_does_so_only_when_it_is_really_reached(cached: int) -> None:
    async with serving(Scripted, activities=ACTIVITIES, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Scripted.run, "cleans_up_with_commands", id=an_id())
        assert await handle.query(Scripted.logged) == []
        await handle.signal(Scripted.say, "go on")
        assert await handle.result() == "done"
        assert len(of_type(await history(handle), ev.ActivityTaskScheduled)) == 1


# -- what Python 3.11 does -------------------------------------------------------------------------------------------


@script
async def wait_for_with_a_result_that_comes_with_the_cancellation(this: Scripted) -> str:
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(asyncio.wait_for(done, timeout=1000))
    await asyncio.sleep(0)
    done.set_result("result")
    waiting.cancel()
    outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
    return f"{outcome!r}"


async def test_wait_for_behaves_as_that_of_this_python(cached: int) -> None:
    """3.11 prefers the result that is there to the cancellation, 3.12 the cancellation; here as there."""

    async def plain() -> str:
        return str(await wait_for_with_a_result_that_comes_with_the_cancellation(None))  # type: ignore[arg-type]

    assert await result_of(wait_for_with_a_result_that_comes_with_the_cancellation, cached) == await plain()


@script
async def uncancels(this: Scripted) -> list[int]:
    async def stubborn() -> list[int]:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            counts = [task.cancelling(), task.uncancel()]
        await asyncio.sleep(0.001)
        return counts

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0.001)
    task.cancel()
    return await task


async def test_a_task_that_swallows_its_cancellation_goes_on(cached: int) -> None:
    assert await result_of(uncancels, cached) == [1, 0]


@script
async def nested_timeouts(this: Scripted) -> str:
    try:
        async with asyncio.timeout(0.005):
            try:
                async with asyncio.timeout(1000):
                    await asyncio.Event().wait()
            except TimeoutError:
                return "the inner limit took the outer one's expiry for its own"
    except TimeoutError:
        return "outer"
    return "unexpected"


async def test_nested_time_limits_know_whose_turn_it_is(cached: int) -> None:
    assert await result_of(nested_timeouts, cached) == "outer"


# -- what would reach out of the workflow ----------------------------------------------------------------------------


@script
async def reaches_out(this: Scripted) -> list[str]:
    loop = asyncio.get_running_loop()

    async def attempt(reach: Callable[[], Any]) -> str:
        try:
            reached = reach()
            if asyncio.iscoroutine(reached):
                await reached
        except RuntimeError as error:
            return str(error)
        return "reached"

    return [
        await attempt(lambda: loop.run_in_executor(None, print)),
        await attempt(lambda: asyncio.to_thread(print)),
        await attempt(lambda: loop.call_soon_threadsafe(print)),
        await attempt(lambda: loop.stop()),
        await attempt(lambda: loop.create_connection(lambda: asyncio.Protocol(), "localhost", 1)),
        await attempt(lambda: asyncio.create_subprocess_exec("true")),
    ]


async def test_threads_sockets_and_processes_are_refused(cached: int) -> None:
    said = await result_of(reaches_out, cached)
    assert len(said) == 6
    for text in said:
        assert "not possible in a workflow" in text
        assert "do it in an activity" in text
