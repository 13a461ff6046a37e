"""Replays recorded histories with the code of today: would the executions that are under way go on with it?

histories = [WorkflowHistory.from_json("order-42", text), ...]
await Replayer(workflows=[Checkout]).replay_workflow(histories[0])        # raises the difference
results = await Replayer(workflows=[Checkout]).replay_workflows(histories)
assert not results.replay_failures
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any

from msgspec import Struct

from tenuto import failures
from tenuto.client import WorkflowHistory
from tenuto.converter import DataConverter
from tenuto.model import events as ev
from tenuto.replay.host import WorkflowCode
from tenuto.replay.matching import NondeterminismError
from tenuto.testing.verdicts import Witness

__all__ = ["MissingCodeError", "Replayer", "WorkflowReplayResult", "WorkflowReplayResults"]


class MissingCodeError(Exception):
    """There is no code for the workflow type of the history."""


class WorkflowReplayResult(Struct, frozen=True):
    """What came of one history."""

    history: WorkflowHistory
    replay_failure: Exception | None
    """Why the code can't have made this history: NondeterminismError with the difference, what the code raised, or
    MissingCodeError. None if all is well."""


class WorkflowReplayResults(Struct, frozen=True):
    """What came of many histories."""

    replay_failures: dict[str, Exception]
    """By run id, of those that can't be replayed."""


class Replayer:
    """Replays histories with the code of `workflows`. Nothing is executed: activities, timers and children have the
    outcomes that are recorded.

    Raises ValueError for two workflows of one name, TypeError for what is no workflow."""

    def __init__(
        self,
        *,
        workflows: Sequence[object],
        data_converter: DataConverter | None = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        env: Any = None,
    ) -> None:
        """`env` is what entrypoints of `tenuto.steps` find as `self.env`, as with a worker."""
        if not workflows:
            raise ValueError("a replayer needs workflows")
        converter = data_converter or DataConverter.default
        self._code = WorkflowCode(workflows, converter, "replayer", tuple(workflow_failure_exception_types), env)

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replay one history. Raises NondeterminismError, which shows the difference, for code that does something else
        than what is recorded; what the code raised; MissingCodeError for a type that the replayer hasn't got."""
        result = self._replay(history)
        if result.replay_failure is not None and raise_on_replay_failure:
            raise result.replay_failure
        return result

    async def replay_workflows(
        self,
        histories: Iterable[WorkflowHistory] | AsyncIterable[WorkflowHistory],
        raise_on_replay_failure: bool = False,
    ) -> WorkflowReplayResults:
        """Replay many histories. Unless `raise_on_replay_failure`, those that can't be replayed are in what is
        returned."""
        found: dict[str, Exception] = {}
        async for history in _each(histories):
            result = await self.replay_workflow(history, raise_on_replay_failure=raise_on_replay_failure)
            if result.replay_failure is not None:
                found[history.run_id] = result.replay_failure
            await asyncio.sleep(0)  # others have their turn: there may be many
        return WorkflowReplayResults(found)

    def _replay(self, history: WorkflowHistory) -> WorkflowReplayResult:
        started = history.events[0] if history.events else None
        if not isinstance(started, ev.WorkflowExecutionStarted):
            text = f"the history of {history.workflow_id!r} does not begin with WorkflowExecutionStarted"
            return WorkflowReplayResult(history, ValueError(text))
        if not self._code.has(started.workflow_type):
            known = ", ".join(sorted(self._code.types))
            error = MissingCodeError(f"there is no code for workflow type {started.workflow_type!r}; there is: {known}")
            return WorkflowReplayResult(history, error)
        witness = Witness()
        failures.witnesses.append(witness)
        try:
            return WorkflowReplayResult(history, self._feed(started, history.events, witness))
        finally:
            failures.witnesses.remove(witness)
            self._code.watchdog.stop()

    def _feed(
        self, started: ev.WorkflowExecutionStarted, events: list[ev.AnyEvent], witness: Witness
    ) -> Exception | None:
        instance = self._code.create(started)
        try:
            broken = instance.feed(list(events))
            if broken is not None:
                error = witness.error_of(broken.failure)
                return error if isinstance(error, Exception) else RuntimeError(broken.failure.brief())
            last = events[-1]
            if type(last) in ev.CLOSING_EVENTS:
                return None
            # The run is open: what the code asked for after the last event would have been recorded with it.
            after = ev.WorkflowTaskScheduled(last.event_id + 1, last.time, started.task_queue, started.task_timeout)
            broken = instance.feed([after])
            if broken is None:
                return None
            command, _, _ = broken.failure.message.partition(";")
            return NondeterminismError(f"{command}; the history ends with event {last.event_id} and has no such event")
        finally:
            instance.discard()


async def _each(
    histories: Iterable[WorkflowHistory] | AsyncIterable[WorkflowHistory],
) -> AsyncIterator[WorkflowHistory]:
    if isinstance(histories, AsyncIterable):
        async for history in histories:
            yield history
    else:
        for history in histories:
            yield history
