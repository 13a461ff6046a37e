"""What `run` gets as `step`: the calls that are recorded."""

from __future__ import annotations

import asyncio
import typing
from asyncio.events import _get_running_loop
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tenuto.activities.records import Record
from tenuto.activities.step_code import StepCode
from tenuto.activities.step_config import parse
from tenuto.activities.step_errors import raised_from
from tenuto.activities.step_hooks import StepAt
from tenuto.durations import Duration, seconds_in
from tenuto.model.events import WorkflowExecutionSignaled
from tenuto.model.payloads import Payload
from tenuto.replay.calls import TimerCall
from tenuto.replay.keyed import KeyedInstance
from tenuto.replay.steps import run_step
from tenuto.steps.control import Asked
from tenuto.steps.decorated import DecoratedStep
from tenuto.steps.errors import WorkflowFatalError, WorkflowTimeoutError
from tenuto.steps.events import Inbox, plain, shown
from tenuto.steps.keys import Kind, Occurrences, activity_id, check_name, event_id, key_of, sleep_id
from tenuto.steps.options import Outcome, StartOptions
from tenuto.steps.rollbacks import Handler, Rollback, Rollbacks

#: Seconds that a sleep or a wait lasts at most.
LONGEST_WAIT = 365 * 86_400.0

Callback = Callable[..., Any]


class WorkflowStep:
    """The steps of one instance. Every call must be awaited, by the code of `run` and not by a step's callback."""

    def __init__(self, instance: KeyedInstance, options: StartOptions, inbox: Inbox) -> None:
        self._instance = instance
        self._options = options
        self._inbox = inbox
        self._occurrences = Occurrences()
        self._places = {key: place - len(options.kept) for place, key in enumerate(options.kept)}
        self._steps = 0
        self._rollbacks = Rollbacks(instance, options.result_limit)
        self._asked: list[Asked] = []

    # -- steps ---------------------------------------------------------------------------------------------------------

    def do(
        self,
        name: str,
        config: Mapping[str, Any] | Callback | None = None,
        callback: Callback | None = None,
        *,
        depends: Sequence[DecoratedStep] = (),
        concurrent: bool = False,
        rollback: Handler | None = None,
        rollback_config: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `callback` once it is due, and record its result: `await step.do("fetch", {...}, fetch)`.

        The callback is a coroutine function or a plain one, which runs in a thread; it may take the attempt's context
        (`step.name`, `step.count`, `attempt`, `config`). `config` may have `retries` (`limit`, which counts the retries
        after the first attempt, `delay`, `backoff`) and `timeout`; see the reference for the defaults. The result comes
        back as plain data, or as what the callback's return annotation says. If the instance fails later, `rollback` is
        called with one argument that has `error`, `output` and `step`.

        Raises what the last attempt failed with: builtin exceptions as themselves, others as `StepError` with their
        name and message; `WorkflowFatalError` for what can't be done as it is written.

        Without a callback it is a decorator for a function, which is run by awaiting a call of it. The results of those
        in `depends`, each of which runs once, are its first arguments; with `concurrent` they run at the same time."""
        if callable(config):
            if callback is not None:
                raise WorkflowFatalError(f"step {name!r}: its options come before its callback")
            config, callback = None, config
        if callback is not None:
            return self._do(name, config, callback, (), rollback, rollback_config)
        return lambda function: DecoratedStep(
            self._do, name, config, function, depends, concurrent, rollback, rollback_config
        )

    def with_rollback(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        depends: Sequence[DecoratedStep] = (),
        concurrent: bool = False,
    ) -> Callable[[Callback], DecoratedStep]:
        """As the decorator `do`, for a step whose rollback is declared below it, with `@function.undo` or
        `@function.undo(config)`."""
        return lambda function: DecoratedStep(self._do, name, config, function, depends, concurrent)

    async def rollback_all(self, error: BaseException, continue_on_error: bool = False) -> None:
        """Roll back now what has begun so far, newest first; it won't be rolled back again.

        Raises what the first handler that fails raises, and leaves the rest; with `continue_on_error`, all failures
        together at the end, as an ExceptionGroup."""
        self._check_place()
        await self._rollbacks.run_all(error, continue_on_error=continue_on_error)

    async def _do(
        self,
        name: str,
        given: Mapping[str, Any] | None,
        callback: Callback,
        arguments: Sequence[Any],
        handler: Handler | None,
        handler_config: Mapping[str, Any] | None,
    ) -> Any:
        self._check_place()
        config, delay = parse(check_name(name), given)
        if not callable(callback):
            raise WorkflowFatalError(f"step {name!r} needs a function to call, not {callback!r}")
        self._count(name)
        count = self._ask("do", name).count
        rollback = None if handler is None else self._rollbacks.add(name, count, handler, handler_config)
        kept = await self._kept("do", name, count)
        if kept is not None:
            payload = self._result_of(name, kept)
        else:
            code = StepCode(name, count, callback, self._options.result_limit, arguments, delay)
            payload = await run_step(self._instance, activity_id(name, count), config, code)
        if isinstance(rollback, Rollback):
            rollback.output = payload
        return self._instance.converter.decode(payload, _result_hint(callback))

    def _count(self, name: str) -> None:
        if self._rollbacks.final:
            raise WorkflowFatalError(f"step {name!r} can't begin, because the instance has failed and is rolled back")
        if self._steps >= self._options.step_limit:
            raise WorkflowFatalError(
                f"step {name!r} is one more than the {self._options.step_limit:,} that this instance may do; do more "
                "in one step, start further instances, or give the binding a higher step_limit"
            )
        self._steps += 1

    # -- sleeps --------------------------------------------------------------------------------------------------------

    async def sleep(self, name: str, duration: Duration | str) -> None:
        """Wait for a duration: seconds, a timedelta, or words such as "7 days"; at most 365 days.

        A sleep is found again by its name alone: one that is under way keeps the end that it began with, even if its
        duration is computed anew. Raises WorkflowFatalError for a duration that can't be."""
        self._check_place()
        await self._sleep(name, lambda: _wait_seconds(f"sleep {name!r}", duration))

    async def sleep_until(self, name: str, when: datetime | float) -> None:
        """Wait until `when`: a datetime, or seconds since the epoch; at most 365 days from now.

        Raises WorkflowFatalError if that is past."""
        self._check_place()

        def seconds() -> float:
            moment = when.timestamp() if isinstance(when, datetime) else float(when)
            left = moment - self._instance.now / 1e9
            if left < 0:
                raise WorkflowFatalError(f"sleep {name!r} can't end at {when}, because that is past")
            return _wait_seconds(f"sleep {name!r}", left)

        await self._sleep(name, seconds)

    async def _sleep(self, name: str, duration: Callable[[], float]) -> None:
        count = self._ask("sleep", check_name(name)).count
        if await self._kept("sleep", name, count) is not None:
            return
        # What is on record holds, whatever the code says now.
        seconds = self._instance.recorded_seconds(sleep_id(name, count))
        if seconds is None:
            hooks = self._instance.code.step_hooks()
            skipped = hooks is not None and hooks.skips_sleep(self._at(name, count))
            seconds = 0.0 if skipped else duration()
        fired = self._instance.loop.create_future()
        timer = TimerCall(self._instance, sleep_id(name, count), seconds, lambda: _set(fired), name)
        try:
            await fired
        finally:
            timer.cancel()

    # -- events --------------------------------------------------------------------------------------------------------

    async def wait_for_event(
        self,
        name: str,
        type: str | Mapping[str, Any] | None = None,
        timeout: Duration | str = "24h",
        *,
        event_type: str | None = None,
    ) -> Record:
        """Wait for an event of `type` (also called `event_type`), and return it: `payload`, `timestamp`, `type`.

        Events are kept until somebody waits for them, and are handed out in the order in which they came, each to one
        who waits. Raises WorkflowTimeoutError after `timeout` (24 hours unless given, at most 365 days)."""
        self._check_place()
        if isinstance(type, Mapping):
            timeout, type = type.get("timeout", timeout), type.get("type")
        wanted = type if event_type is None else event_type
        if not isinstance(wanted, str) or not wanted:
            raise WorkflowFatalError(f"wait_for_event {check_name(name)!r} needs the type of the event, not {wanted!r}")
        asked = self._ask("event", check_name(name))
        kept = await self._kept("event", name, asked.count)
        if kept is not None:
            return shown(self._instance.converter.decode(self._result_of(name, kept)))
        seconds = self._instance.recorded_seconds(event_id(name, asked.count))
        if seconds is None:
            seconds = _wait_seconds(f"wait_for_event {name!r}", timeout)
        return await self._next_event(asked, wanted, seconds)

    async def _next_event(self, asked: Asked, type: str, seconds: float) -> Record:
        timer_id = event_id(asked.name, asked.count)
        hooks = self._instance.code.step_hooks()
        forced = hooks is not None and hooks.event_times_out(self._at(asked.name, asked.count))
        if not forced and not self._instance.has_fired(timer_id):
            found = self._inbox.take(type)
            if found is not None:
                asked.event_id = found.event_id
                return shown(plain(found, self._instance.converter))
        waiter = self._inbox.wait(type)
        if forced:
            self._inbox.forget(type, waiter)
            seconds = 0.0
        timer = TimerCall(self._instance, timer_id, seconds, lambda: _set(waiter), asked.name)
        event: WorkflowExecutionSignaled | None
        try:
            event = await waiter
        except asyncio.CancelledError:
            got = waiter.result() if waiter.done() and not waiter.cancelled() else None
            if got is not None:
                self._inbox.put_back(got)
            raise
        finally:
            self._inbox.forget(type, waiter)
            timer.cancel()
        asked.event_id = 0 if event is None else event.event_id
        if event is None:
            raise WorkflowTimeoutError(f"no event of type {type!r} came within {seconds:g} s (wait {asked.name!r})")
        return shown(plain(event, self._instance.converter))

    # -- for all -------------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> list[Asked]:
        """What the code has asked for, in that order."""
        return self._asked

    @property
    def rollbacks(self) -> Rollbacks:
        return self._rollbacks

    def _ask(self, kind: Kind, name: str) -> Asked:
        asked = Asked(kind, name, self._occurrences.next(kind, name))
        self._asked.append(asked)
        return asked

    async def _kept(self, kind: Kind, name: str, count: int) -> Outcome | None:
        """What an earlier run has on record, if that holds for this one too. Waits for its turn: whatever won a race
        then wins it again."""
        key = key_of(kind, name, count)
        place = self._places.get(key)
        if place is None:
            return None
        await self._instance.turn(place)
        return self._options.kept[key]

    def _result_of(self, name: str, outcome: Outcome) -> Payload:
        if outcome.failure is not None:
            raise raised_from(self._instance.error(outcome.failure), name)
        return outcome.result or self._instance.converter.encode(None)

    def _at(self, name: str, count: int) -> StepAt:
        return StepAt(self._instance.definition.name, self._instance.started.workflow_id, name, count)

    def _check_place(self) -> None:
        if _get_running_loop() is not self._instance.loop:
            raise WorkflowFatalError(
                "steps belong to the run method; the callback of a step can't do, sleep or wait for others. Return its "
                "result and do the next step after it"
            )


def _set(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)


def _wait_seconds(what: str, duration: Any) -> float:
    try:
        seconds = seconds_in(duration)
    except (TypeError, ValueError) as error:
        raise WorkflowFatalError(f"{what}: {error}") from None
    if seconds > LONGEST_WAIT:
        raise WorkflowFatalError(f"{what} can last 365 days at most, not {duration!r}")
    return seconds


def _result_hint(callback: Callback) -> Any:
    """What the callback's return annotation says, if it has one that can be resolved."""
    if "return" not in getattr(callback, "__annotations__", ()):
        return None
    try:
        return typing.get_type_hints(callback, include_extras=True).get("return")
    except (NameError, TypeError, AttributeError):
        return None
