"""How steps fail: attempts, delays, time-outs, and what comes out where they are awaited."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import Any

import pytest

from tenuto.activities import step_runner
from tenuto.exceptions import ApplicationError
from tenuto.model import events as ev
from tenuto.model.limits import Limits
from tenuto.steps import (
    NonRetryableError,
    WorkflowEntrypoint,
    WorkflowStep,
    WorkflowTimeoutError,
)
from tenuto.steps.options import StartOptions
from tests.support.durable import an_id, failure_of, history, of_type, serving
from tests.support.step_hooks import Hooks

FAST = {"retries": {"limit": 3, "delay": 0.001}}


class OneStep(WorkflowEntrypoint):
    """Does what its environment says, and returns what came out, with how often it was called."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        try:
            return await step.do("work", self.env.config, self.env.callback)
        except Exception as error:
            await step.do("note", lambda: None)  # so that the error is seen again by code that was brought back
            return [type(error).__name__, getattr(error, "name", None), str(error)]


async def outcome(callback: Any, config: Any = FAST, **options: Any) -> Any:
    env = {"callback": callback, "config": config}
    async with serving(OneStep, env=env, **options) as client:
        return await client.execute_workflow(OneStep, id=an_id())


def failing(error: Exception, calls: list[int]) -> Any:
    def callback() -> None:
        calls.append(1)
        raise error

    return callback


class PaymentError(Exception):
    pass


@pytest.mark.parametrize("cached", [1000, 0])
@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (ValueError("too small"), ["ValueError", None, "too small"]),
        (TypeError("no"), ["TypeError", None, "no"]),
        (KeyError("key"), ["KeyError", None, "'key'"]),
        (TimeoutError("mine"), ["TimeoutError", None, "mine"]),
        (PaymentError("declined"), ["StepError", "PaymentError", "declined"]),
        (ApplicationError("told", type="Told"), ["StepError", "Told", "told"]),
        (
            UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
            ["StepError", "UnicodeDecodeError", "'utf-8' codec can't decode byte 0x78 in position 0: bad"],
        ),
    ],
)
async def test_errors_come_out_alike_at_once_and_on_replay(error: Exception, seen: list[Any], cached: int) -> None:
    calls: list[int] = []
    assert await outcome(failing(error, calls), max_cached_workflows=cached) == seen
    assert len(calls) == 4, "limit counts the retries after the first attempt"


class MyNonRetryableError(NonRetryableError):
    pass


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (NonRetryableError("broke"), ["NonRetryableError", "NonRetryableError", "broke"]),
        (NonRetryableError("broke", name="Card"), ["NonRetryableError", "Card", "broke"]),
        (NonRetryableError(""), ["NonRetryableError", "NonRetryableError", ""]),
        (MyNonRetryableError("broke"), ["NonRetryableError", "MyNonRetryableError", "broke"]),
        (type("NonRetryableError", (Exception,), {})("foreign"), ["NonRetryableError", "NonRetryableError", "foreign"]),
        (ApplicationError("told", type="Told", non_retryable=True), ["StepError", "Told", "told"]),
    ],
)
async def test_an_error_may_forbid_further_attempts(error: Exception, seen: list[Any]) -> None:
    calls: list[int] = []
    assert await outcome(failing(error, calls), max_cached_workflows=0) == seen
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        ("constant", [10, 10, 10, 10]),
        ("linear", [10, 20, 30, 40]),
        ("exponential", [10, 20, 40, 80]),
        (None, [10, 20, 40, 80]),
    ],
)
async def test_delays_between_attempts(backoff: str | None, delays: list[int]) -> None:
    assert (
        await waits({"limit": 4} if backoff is None else {"limit": 4, "delay": "10 seconds", "backoff": backoff})
        == delays
    )


async def test_by_default_there_are_five_retries_from_ten_seconds_on() -> None:
    assert await waits(None) == [10, 20, 40, 80, 160]


async def test_a_function_may_say_the_delays() -> None:
    def delay(ctx: Any, error: Exception) -> str:
        return f"{ctx.attempt * 2 + len(str(error))} seconds"

    assert await waits({"limit": 3, "delay": delay}) == [7, 9, 11]

    async def later(ctx: Any, error: Exception) -> float:
        await asyncio.sleep(0)
        return 3 * ctx["attempt"]

    assert await waits({"limit": 2, "delay": later}) == [3, 6]


async def waits(retries: Any) -> list[float]:
    """The seconds between the attempts of a step that always fails."""
    hooks = Hooks()
    config = None if retries is None else {"retries": retries}
    env = {"callback": failing(ValueError("never"), []), "config": config}
    async with serving(OneStep, env=env) as client:
        client.step_hooks = hooks
        await client.execute_workflow(OneStep, id=an_id())
    assert [delay[0].attempt for delay in hooks.delays] == list(range(1, len(hooks.delays) + 1))
    return [seconds for _, seconds in hooks.delays]


@pytest.mark.parametrize("fault", ["raises", "says nonsense", "hangs"])
async def test_a_function_that_does_not_say_the_delay_ends_the_step(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def delay(ctx: Any, error: Exception) -> Any:
        if fault == "hangs":
            await asyncio.sleep(60)
        return 1 / 0 if fault == "raises" else "whenever"

    monkeypatch.setattr(step_runner, "DELAY_BUDGET", 0.05)
    calls: list[int] = []
    kind, _, message = await outcome(failing(ValueError("x"), calls), {"retries": {"delay": delay}})
    assert (kind, len(calls)) == ("WorkflowFatalError", 1)
    assert "step 'work': the function that says its delay" in message


async def test_attempts_may_be_without_limit() -> None:
    calls: list[int] = []

    def callback(ctx: Any) -> int:
        calls.append(1)
        if len(calls) < 30:
            raise ValueError("again")
        return int(ctx.attempt)

    config = {"retries": {"limit": math.inf, "delay": 0}}
    assert await outcome(callback, config) == 30


# -- time-outs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coroutine", "function", "function that returns a coroutine"])
async def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(kind: str) -> None:
    ended: list[str] = []
    attempts: list[int] = []

    async def slow(ctx: Any) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("stopped")
        return "done"

    def slow_function(ctx: Any) -> str:
        attempts.append(ctx.attempt)
        try:
            for _ in range(6000 * (ctx.attempt == 1)):
                time.sleep(0.01)
        except BaseException:
            ended.append("stopped")
            raise
        return "done"

    callback = {"coroutine": slow, "function": slow_function}.get(kind, lambda ctx: slow(ctx))
    assert await outcome(callback, {"retries": {"limit": 1, "delay": 0}, "timeout": "50 ms"}) == "done"
    assert (ended, attempts) == (["stopped"], [1, 2])


async def test_a_time_out_is_an_error_that_can_be_caught() -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    name = "WorkflowTimeoutError"
    config = {"retries": {"limit": 1, "delay": 0}, "timeout": "10 ms"}
    assert await outcome(slow, config) == [name, name, "step 'work' timed out after 0.01 s (attempt 2)"]
    assert issubclass(WorkflowTimeoutError, TimeoutError)


async def test_a_result_that_comes_too_late_is_not_recorded() -> None:
    async def stubborn(ctx: Any) -> str:
        if ctx.attempt == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "late"
        return "in time"

    assert await outcome(stubborn, {"retries": {"limit": 1, "delay": 0}, "timeout": "10 ms"}) == "in time"


# -- results and options ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", ["x" * (1024 * 1024), threading.Lock()], ids=["too large", "unserialisable"])
async def test_a_result_that_cannot_be_kept_fails_the_step_once_and_names_it(result: Any) -> None:
    calls: list[int] = []
    kind, name, message = await outcome(lambda: calls.append(1) or result)
    assert (kind, name, len(calls)) == ("WorkflowFatalError", "WorkflowFatalError", 1)
    assert "the result of step 'work'" in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"retry": {}}, "can't have 'retry'; known are retries, timeout, sensitive"),
        ({"sensitive": "input"}, "sensitive can only be 'output', not 'input'"),
        ({"retries": {"limit": -1}}, "retries.limit"),
        ({"retries": {"limit": "5"}}, "retries.limit"),
        ({"retries": {"delay": "soon"}}, "'soon' is not a duration"),
        ({"retries": {"backoff": "cubic"}}, "constant, linear, exponential"),
        ({"timeout": 0}, "timeout must be more than nothing"),
        ("fast", "its options must be a mapping"),
    ],
)
async def test_options_that_cannot_be_understood_end_the_step(config: Any, message: str) -> None:
    kind, _, said = await outcome(lambda: None, config)
    assert (kind, message in said) == ("WorkflowFatalError", True), said


async def test_options_come_before_the_callback() -> None:
    class Swapped(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            await step.do("work", lambda: None, {"timeout": 5})  # type: ignore[arg-type]

    async with serving(Swapped) as client:
        error = await failure_of(client.execute_workflow(Swapped, id=an_id()))
    assert "its options come before its callback" in str(error)


@pytest.mark.parametrize("name", ["x" * 257, "", "a\nb", 5])
async def test_names_have_limits(name: Any) -> None:
    class Named(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            await step.do(name, lambda: None)

    async with serving(Named) as client:
        error = await failure_of(client.execute_workflow(Named, id=an_id()))
    assert isinstance(error, ApplicationError)
    assert error.type == "WorkflowFatalError"


async def test_an_instance_may_do_so_many_steps_and_no_more() -> None:
    class Busy(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            for _ in range(4):
                await step.do("work", lambda: None)
                await step.sleep("not a step", 0)

    async with serving(Busy) as client:
        await client.execute_workflow(Busy, args=[None, StartOptions(step_limit=4)], id=an_id())
        error = await failure_of(client.execute_workflow(Busy, args=[None, StartOptions(step_limit=3)], id=an_id()))
    assert "one more than the 3" in str(error)


async def test_any_error_that_leaves_run_fails_the_instance_with_its_name_and_message() -> None:
    class Fails(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            if event.payload == "unserialisable":
                return threading.Lock()
            await step.do("work", {"retries": {"limit": 0}}, failing(PaymentError("declined"), []))

    async with serving(Fails) as client:
        for payload, kind, message in ((None, "PaymentError", "declined"), ("unserialisable", "PayloadError", "lock")):
            error = await failure_of(client.execute_workflow(Fails, payload, id=an_id()))
            assert isinstance(error, ApplicationError)
            assert (error.type, message in error.message) == (kind, True)


async def test_steps_cannot_be_done_by_the_callback_of_a_step() -> None:
    class Nests(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            await step.do("outer", lambda: step.do("inner", lambda: None))

    async with serving(Nests) as client:
        error = await failure_of(client.execute_workflow(Nests, id=an_id()))
    assert "steps belong to the run method" in str(error)


async def test_options_hold_for_a_step_from_its_beginning() -> None:
    async with serving(
        OneStep, env={"callback": lambda ctx: dict(ctx.config), "config": {"timeout": "1 minute"}}
    ) as client:
        run = await client.start_workflow(OneStep, id=an_id())
        assert await run.result() == {
            "retries": {"limit": 5, "delay": 10, "backoff": "exponential"},
            "timeout": 60,
        }
        scheduled = of_type(await history(run), ev.ActivityTaskScheduled)[0]
        assert (scheduled.activity_id, scheduled.activity_type) == ("work-1", "work")
        assert scheduled.retry.maximum_attempts == 6


async def test_steps_are_limited_by_their_number_and_not_by_the_length_of_the_history() -> None:
    class Long(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            for _ in range(60):
                await step.do("work", lambda: None)

    async with serving(Long, connect={"limits": Limits(history_events=100)}) as client:
        handle = await client.start_workflow(Long, id=an_id())
        await handle.result()
        assert len(await history(handle)) > 300
