"""A workflow instance: one run's code, brought forward by its history.

`feed` walks recorded events. What came from outside is kept as jobs for the next round; each WorkflowTaskCompleted ends
a round, which is replayed, and whose commands must then be found in the events that follow. `activate` is the same for
the round that is decided now. Within a round all jobs are applied before any code runs, signals and updates first, so
that code sees the same order whether it runs for the first time or again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from tenuto.durations import seconds_of
from tenuto.exceptions import ApplicationError, FailureError, is_cancelled_exception
from tenuto.failures import from_failure, to_failure
from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.errors import PayloadError
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.payloads import Payload
from tenuto.model.tasks import TASK_TIMED_OUT, WorkflowTask, WorkflowTaskBroken, WorkflowTaskDone
from tenuto.replay import matching, resolutions
from tenuto.replay.calls import ActivityCall, Answerable, ChildCall, TimerCall
from tenuto.replay.errors import (
    ContinueAsNewError,
    InstanceEvictedError,
    ReadOnlyContextError,
    RunEndedError,
    describe_names,
)
from tenuto.replay.loop import WorkflowLoop
from tenuto.replay.matching import NondeterminismError, Pending
from tenuto.replay.watchdog import RunsTooLongError

if TYPE_CHECKING:
    from tenuto.replay.definition import Handler, WorkflowDefinition
    from tenuto.replay.host import WorkflowCode

T = TypeVar("T")
logger = logging.getLogger("tenuto.workflow")

#: Turns of the ready queue in one round. Code that needs more spins without waiting for anything.
SPIN_LIMIT = 100_000


class Instance:
    """Implements `tenuto.engine.hosts.WorkflowInstance`; `tenuto.workflow` calls the second half of its methods."""

    #: Is each command matched with the next recorded one? See `replay/keyed.py` for the other way.
    ordered = True

    # Thousands of these wait in memory at a time.
    __slots__ = (
        "_closing",
        "_commands",
        "_counter",
        "_evicted",
        "_fault",
        "_jobs",
        "_main",
        "_outbox",
        "_random",
        "_round_started",
        "_was_live",
        "activities",
        "awaiting",
        "cancel_reason",
        "children",
        "code",
        "conditions",
        "continue_as_new_suggested",
        "converter",
        "definition",
        "history_length",
        "history_size",
        "loop",
        "now",
        "object",
        "read_only",
        "replaying",
        "started",
        "timers",
        "unfinished_handlers",
    )

    def __init__(self, code: WorkflowCode, definition: WorkflowDefinition, started: ev.WorkflowExecutionStarted):
        self.code = code
        self.definition = definition
        self.started = started
        self.converter = code.converter
        self.loop = WorkflowLoop(self)  # type: ignore[abstract]  # the rest of the methods is set below the class
        self.object: Any = None
        self.now = started.time
        self.replaying = True
        self.read_only = False
        self.cancel_reason: str | None = None
        self.history_length = 0
        self.history_size = 0
        self.continue_as_new_suggested = False
        self._random: random.Random | None = None
        self.activities: dict[int, ActivityCall] = {}
        self.timers: dict[str, TimerCall] = {}
        self.children: dict[int, ChildCall] = {}
        self.awaiting: dict[int, Answerable | ChildCall] = {}
        self.conditions: list[tuple[Callable[[], Any], asyncio.Future[None]]] = []
        self.unfinished_handlers = 0
        self._main: asyncio.Task[Any] | None = None
        self._round_started: ev.WorkflowTaskStarted | None = None
        self._jobs: list[ev.AnyEvent] = []
        self._commands: list[Pending] = []
        self._outbox: list[Pending] = []
        self._was_live = False
        self._closing: cmd.Command | None = None
        self._fault: BaseException | None = None
        self._counter = 0
        self._evicted = False

    # -- for the engine ----------------------------------------------------------------------------------------------

    def feed(self, events: list[ev.AnyEvent]) -> WorkflowTaskBroken | None:
        """Show it further history; replays the rounds in it."""
        try:
            return self._walk(events)
        except NondeterminismError as error:
            return self._broken(error)

    def activate(self, task: WorkflowTask) -> WorkflowTaskDone | WorkflowTaskBroken:
        """Decide about all that it was shown."""
        self.replaying = False
        self.now = task.now
        self.history_length = task.history_length
        self.history_size = task.history_size
        self.continue_as_new_suggested = task.continue_as_new_suggested
        self._was_live = True
        commands = self._guarded(lambda: self._round(task.updates))
        self.replaying = True
        return commands if isinstance(commands, WorkflowTaskBroken) else WorkflowTaskDone(commands)

    def _guarded(self, step: Callable[[], T]) -> T | WorkflowTaskBroken:
        """Run code of the user's: what goes wrong in it, or takes too long, breaks this task and nothing else."""
        watchdog = self.code.watchdog
        outer = _get_running_loop()
        watchdog.enter(self.started.task_timeout)
        error: BaseException | None = None
        try:
            try:
                result = step()
            except (Exception, RunsTooLongError) as caught:  # noqa: BLE001 - whatever the user's code raises
                error = caught
            stopped = watchdog.leave()
        except RunsTooLongError as late:
            # It struck between the end of the code and that of the watch.
            error, stopped = late, True
            watchdog.leave()
        if stopped:
            # It strikes anywhere, also where the workflow's loop was just about to hand over to this one.
            _set_running_loop(outer)
            error = RunsTooLongError(
                f"the code ran for more than {self.started.task_timeout:g} s (the task timeout) without waiting for "
                "anything; what takes long belongs in an activity"
            ).with_traceback(None if error is None else error.__traceback__)
        return result if error is None else self._broken(error)

    def answer(self, query: msg.Query) -> msg.Outcome:
        """Run a query handler; it can't change anything."""
        self.read_only = True
        answer = self._guarded(lambda: self.converter.encode(self.loop.enter(self._query, query)))
        self.read_only = False
        # What goes wrong makes the query fail, not the workflow.
        return msg.Outcome(failure=answer.failure) if isinstance(answer, WorkflowTaskBroken) else msg.Outcome([answer])

    def discard(self) -> None:
        """End all coroutines; what they still try to do in `finally` blocks comes to nothing."""
        self._evicted = True
        for task in list(self.loop.tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            if coroutine is not None:
                with suppress(RuntimeError, InstanceEvictedError, Exception):
                    self.loop.enter(coroutine.close)
        self.loop.tasks.clear()
        self.loop.release()
        self.object = self._main = None  # what refers back to this instance would leave it to the garbage collector
        self.conditions.clear()
        self.activities.clear()
        self.children.clear()
        self.timers.clear()

    # -- walking through history -------------------------------------------------------------------------------------

    def _walk(self, events: list[ev.AnyEvent]) -> WorkflowTaskBroken | None:
        for index, event in enumerate(events):
            kind = type(event)
            if kind in ev.COMMAND_EVENTS:
                self._recorded(event)
                continue
            if self._outbox and not self._was_live and self.ordered:
                raise matching.unrecorded(self._outbox[0], event)
            if kind is ev.WorkflowTaskCompleted:
                if self._was_live:
                    self._was_live = False
                    continue
                broken = self._replay_round(events, index)
                if broken is not None:
                    return broken
            elif kind is ev.WorkflowTaskStarted:
                self._round_started = event  # type: ignore[assignment]
            elif kind not in _SILENT:
                self._jobs.append(event)
        return None

    def _recorded(self, event: ev.AnyEvent) -> None:
        pending = self._outbox.pop(0) if self._outbox else None
        matching.match(event, pending, self._waits_at)
        if pending is not None and pending.recorded is not None:
            recorded, pending.recorded = pending.recorded, None
            recorded(event)

    def _waits_at(self) -> str | None:
        return None if self._main is None else matching.waiting_line(self._main.get_coro())

    def _replay_round(self, events: list[ev.AnyEvent], index: int) -> WorkflowTaskBroken | None:
        """Run again the round that `events[index]` ended."""
        began = self._round_started
        assert began is not None
        self.now = began.time
        self.history_length = began.event_id
        self.history_size = began.history_size
        self.continue_as_new_suggested = began.suggest_continue_as_new
        updates: list[msg.Update] = []
        for position in range(index + 1, len(events)):
            event = events[position]
            if type(event) not in ev.COMMAND_EVENTS:
                break
            if isinstance(event, ev.WorkflowExecutionUpdateAccepted):
                updates.append(msg.Update(event.update_id, event.update_name, event.input, event.identity))
        commands = self._guarded(lambda: self._round(updates))
        return commands if isinstance(commands, WorkflowTaskBroken) else None

    # -- one round -----------------------------------------------------------------------------------------------------

    def _round(self, updates: list[msg.Update]) -> list[cmd.Command]:
        """Apply the jobs, run code until nothing is ready, and return the commands it gave."""
        jobs, self._jobs = self._jobs, []
        first = self.object is None
        if first:
            self._construct()
        for job in jobs:
            if type(job) is ev.WorkflowExecutionSignaled:
                self._take_signal(job)
        for update in updates:
            self._take_update(update)
        if first:
            self._main = self.loop.create_task(self._run_main())
        for job in jobs:
            self._apply(job)
        self._run_until_blocked()
        if self._fault is not None:
            raise self._fault
        return self._take_commands()

    def _apply(self, event: ev.AnyEvent) -> None:
        """Let the code see `event`, if it is one that code waits for."""
        step = resolutions.STEPS.get(type(event))
        if step is not None:
            step(self, event)

    def _construct(self) -> None:
        """Make the workflow object; with `@workflow.init` it gets the arguments."""
        cls = self.definition.cls
        if self.definition.init_takes_arguments:
            self.object = self.loop.enter(cls, *self._arguments())
        else:
            self.object = self.loop.enter(cls)

    def _arguments(self) -> list[Any]:
        signature = self.definition.signature
        signature.check(self.started.input)
        return self.converter.decode_all(self.started.input, signature.hints)

    def _run_until_blocked(self) -> None:
        for _ in range(SPIN_LIMIT):
            self.loop.drain()
            if self._fault is not None or self._closing is not None:
                return
            if not self._check_conditions():
                return
        raise RuntimeError(
            f"the workflow went through {SPIN_LIMIT} turns without waiting for anything that lasts; does it wait in a "
            "loop for a condition that is always true?"
        )

    def _check_conditions(self) -> bool:
        """Wake those whose condition holds now, in the order in which they began to wait. False if there were none."""
        if not self.conditions:
            return False
        woken = False
        waiting = []
        for condition, future in self.conditions:
            if future.done():
                continue
            try:
                holds = self.loop.enter(condition)
            except Exception as error:  # noqa: BLE001 - it belongs to the code that waits
                future.set_exception(error)
                woken = True
                continue
            if holds:
                future.set_result(None)
                woken = True
            else:
                waiting.append((condition, future))
        self.conditions[:] = waiting
        return woken

    def _take_commands(self) -> list[cmd.Command]:
        """The commands of this round, a closing one last."""
        given, self._commands = self._commands, []
        sent = [pending for pending in given if not pending.withdrawn]
        if self._closing is not None:
            sent.append(Pending(self._closing))
        self._outbox.extend(pending for pending in sent if type(pending.command) is not cmd.RejectUpdate)
        return [pending.command for pending in sent]

    # -- the code's own coroutines -------------------------------------------------------------------------------------

    async def _run_main(self) -> None:
        try:
            arguments = self._arguments()
            result = await self.definition.run(self.object, *arguments)
            self._closing = cmd.CompleteWorkflow([self.converter.encode(result)])
        except BaseException as error:  # noqa: BLE001 - sorted by what it means for the run
            self._ended_with(error)

    def _ended_with(self, error: BaseException) -> None:
        """An exception left the run method or a handler: it fails the run, ends it otherwise, or is a bug."""
        if isinstance(error, GeneratorExit | InstanceEvictedError | KeyboardInterrupt | SystemExit):
            raise error
        if self._closing is not None:
            return
        if isinstance(error, RunEndedError):
            self._closing = error.command
        elif self.cancel_reason is not None and is_cancelled_exception(error):
            self._closing = cmd.CancelWorkflow()
        elif self._is_failure(error):
            try:
                self._closing = cmd.FailWorkflow(to_failure(error, self.converter))
            except Exception as fault:  # noqa: BLE001 - an error that can't even be described must not get lost
                self._fault = fault
        else:
            self._fault = error

    def _is_failure(self, error: BaseException) -> bool:
        """Does this fail the workflow? Anything else is a bug that stops it until the code is put right."""
        if isinstance(error, PayloadError):
            return False
        if isinstance(error, BaseExceptionGroup):
            # What a TaskGroup raises: it is no worse than what it holds.
            return all(self._is_failure(inner) for inner in error.exceptions)
        kinds = (*self.definition.failure_exception_types, *self.code.failure_exception_types)
        return isinstance(error, (FailureError, TimeoutError, asyncio.CancelledError, *kinds))

    def cancel(self, reason: str) -> None:
        """A cancel request arrived."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            if self._main is not None and not self._main.done():
                self.loop.call_soon(self._cancel_main)

    def _cancel_main(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _take_signal(self, event: ev.WorkflowExecutionSignaled) -> None:
        handler = self.definition.signals.get(event.signal_name)
        if handler is None:
            self.warn(
                f"signal {event.signal_name!r} has no handler and is ignored; "
                + describe_names("signals", self.definition.signals)
            )
            return
        try:
            handler.signature.check(event.input)
            arguments = self.converter.decode_all(event.input, handler.signature.hints)
        except (TypeError, PayloadError) as error:
            self.warn(f"signal {event.signal_name!r} can't be delivered and is ignored: {error}")
            return
        self._start_handler(self._run_handler(handler, arguments, self._ended_with))

    def _take_update(self, update: msg.Update) -> None:
        handler = self.definition.updates.get(update.update_name)
        try:
            if handler is None:
                known = describe_names("updates", self.definition.updates)
                raise _unknown(f"update {update.update_name!r} has no handler; {known}")
            handler.signature.check(update.input)
            arguments = self.converter.decode_all(update.input, handler.signature.hints)
            if not self.replaying and handler.validator is not None:
                self._validate(handler.validator, update, handler)
        except Exception as error:  # noqa: BLE001 - whatever it is, the update is rejected
            self.command(cmd.RejectUpdate(update.update_id, to_failure(error, self.converter)))
            return
        self.command(cmd.AcceptUpdate(update.update_id, update.update_name, update.input, update.identity))
        self._start_handler(self._run_update(handler, arguments, update.update_id))

    def _validate(self, validator: Callable[..., Any], update: msg.Update, handler: Handler) -> None:
        self.read_only = True
        try:
            # The validator gets values of its own: what it does to them must not reach the handler, nor be missing on
            # replay, where it doesn't run.
            arguments = self.converter.decode_all(update.input, handler.signature.hints)
            self.loop.enter(validator, self.object, *arguments)
        finally:
            self.read_only = False

    def _start_handler(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.unfinished_handlers += 1
        self.loop.start(coroutine)

    async def _run_handler(
        self, handler: Handler, arguments: list[Any], failed: Callable[[BaseException], None]
    ) -> None:
        try:
            result = handler.function(self.object, *arguments)
            if asyncio.iscoroutine(result):
                await result
        except BaseException as error:  # noqa: BLE001 - sorted by `failed`
            failed(error)
        finally:
            self.unfinished_handlers -= 1

    async def _run_update(self, handler: Handler, arguments: list[Any], update_id: str) -> None:
        try:
            result = handler.function(self.object, *arguments)
            if asyncio.iscoroutine(result):
                result = await result
            self.command(cmd.CompleteUpdate(update_id, [self.converter.encode(result)]))
        except BaseException as error:  # noqa: BLE001 - sorted by what it means
            if self._is_failure(error) and not isinstance(error, ContinueAsNewError):
                failure = to_failure(error, self.converter)
                self.command(cmd.CompleteUpdate(update_id, failure=failure))
            else:
                self._ended_with(error)
        finally:
            self.unfinished_handlers -= 1

    def _query(self, query: msg.Query) -> Any:
        handler = self.definition.queries.get(query.query_name)
        if handler is None:
            known = describe_names("queries", self.definition.queries)
            raise _unknown(f"query {query.query_name!r} has no handler; {known}")
        if self.object is None:
            raise _unknown("the workflow has not begun yet")
        handler.signature.check(query.input)
        return handler.function(self.object, *self.converter.decode_all(query.input, handler.signature.hints))

    # -- for the code, through `tenuto.workflow` -----------------------------------------------------------------------

    def command(self, command: cmd.Command, recorded: Callable[[Any], None] | None = None) -> Pending:
        """Give a command. Raises ReadOnlyContextError in queries and validators, TypeError for wrong values."""
        if self.read_only:
            raise ReadOnlyContextError("queries and validators must not start or change anything")
        if self._evicted:
            raise InstanceEvictedError
        cmd.check(command)
        pending = Pending(command, recorded)
        if self.replaying:
            pending.origin = matching.origin(self._waits_at)
        self._commands.append(pending)
        return pending

    def next_number(self) -> int:
        """Numbers for ids, the same on every replay."""
        self._counter += 1
        return self._counter

    def start_timer(self, seconds: float, fire: Callable[[], None], summary: str | None = None) -> Callable[[], None]:
        """Start a durable timer; returns what cancels it. Raises ValueError for a time that never comes."""
        return TimerCall(self, str(self.next_number()), seconds_of(seconds), fire, summary).cancel

    def random(self) -> random.Random:
        """The run's own random numbers; made when they are asked for, because most runs never do."""
        self.check_writable("random")
        if self._random is None:
            self._random = random.Random(self.started.original_run_id)
        return self._random

    def uuid4(self) -> UUID:
        return UUID(bytes=self.random().getrandbits(128).to_bytes(16, "big"), version=4)

    def check_writable(self, what: str) -> None:
        if self.read_only:
            raise ReadOnlyContextError(f"queries and validators can't use {what}")

    def error(self, failure: Failure) -> FailureError:
        return from_failure(failure, self.converter)

    def decode_result(self, payloads: list[Payload], hint: Any) -> Any:
        return self.converter.decode(payloads[0], hint) if payloads else None

    def warn(self, message: str) -> None:
        """Log, once: not again on replay."""
        if not self.replaying:
            logger.warning("workflow %s (%s): %s", self.started.workflow_id, self.definition.name, message)

    def report_loop_error(self, context: dict[str, Any]) -> None:
        """asyncio tells of an exception that nobody has asked for."""
        if not self._evicted:
            self.warn(f"{context.get('message')}: {context.get('exception')!r}")

    def _broken(self, error: BaseException) -> WorkflowTaskBroken:
        if isinstance(error, RunsTooLongError):
            cause = TASK_TIMED_OUT
        elif isinstance(error, NondeterminismError):
            cause = "NON_DETERMINISTIC_ERROR"
        else:
            cause = "WORKFLOW_WORKER_UNHANDLED_FAILURE"
        return WorkflowTaskBroken(cause, to_failure(error, self.converter))


def _unknown(message: str) -> ApplicationError:
    return ApplicationError(message, type="NotFoundError", non_retryable=True)


class Missing:
    """Stands for a workflow type that this worker hasn't got: every task is broken, and says so."""

    def __init__(self, message: str) -> None:
        self._broken = WorkflowTaskBroken("NOT_FOUND", Failure(message, ApplicationFailure("NotFoundError")))

    def feed(self, events: list[ev.AnyEvent]) -> WorkflowTaskBroken:
        return self._broken

    def activate(self, task: WorkflowTask) -> WorkflowTaskBroken:
        return self._broken

    def answer(self, query: msg.Query) -> msg.Outcome:
        return msg.Outcome(failure=self._broken.failure)

    def discard(self) -> None:
        """There is nothing to forget."""


#: Events that bring code nothing to react to.
_SILENT = frozenset(
    {
        ev.WorkflowTaskScheduled,
        ev.WorkflowTaskFailed,
        ev.WorkflowTaskTimedOut,
        ev.ActivityTaskStarted,
        ev.WorkflowExecutionTerminated,
        ev.WorkflowExecutionTimedOut,
    }
)
