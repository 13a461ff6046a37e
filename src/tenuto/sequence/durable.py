"""A Sequence as a durable workflow: the same walk, with each node's call a recorded step.

The walk runs on the deterministic loop of a workflow instance. What it yields is carried out as steps that are known by
where the node stands, its name and its occurrence (`NodeExecution.key`), so finished nodes don't run again, whichever
process goes on with the run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenuto.activities.step_code import StepCode
from tenuto.activities.step_errors import closing_failure
from tenuto.common import RawValue
from tenuto.model import commands as cmd
from tenuto.model.events import WorkflowExecutionSignaled
from tenuto.replay.calls import TimerCall
from tenuto.replay.definition import KeyedDefinition
from tenuto.replay.errors import RunEndedError
from tenuto.replay.keyed import KeyedInstance
from tenuto.replay.steps import run_step
from tenuto.sequence.carrying import Finished, carry_out_branches, send, throw
from tenuto.sequence.children import ChildNode
from tenuto.sequence.history import ExecutionHistory, NodeExecution
from tenuto.sequence.node_steps import NodeResult, callback_of, config_of, delay_of
from tenuto.sequence.nodes import BaseNode
from tenuto.sequence.parameters import Arguments
from tenuto.sequence.recording import LiveKeys, SharedKeys
from tenuto.sequence.run import Run, Settings
from tenuto.sequence.scope import Scope
from tenuto.sequence.starts import START, typed_arguments
from tenuto.sequence.state import SharedState
from tenuto.sequence.walk import Fork, Outcome, Walk, compensate, walk
from tenuto.sequence.watch import Watch
from tenuto.signatures import Signature
from tenuto.workflows.children import execute_child_workflow

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["KEYS_QUERY", "STATE_QUERY", "SequenceDefinition"]

#: The query that tells the shared state: what was set, and the nodes' outputs. The other keeps them apart.
STATE_QUERY = "state"
KEYS_QUERY = "__tenuto_state"

#: Hooks and subscribers have no part in durable runs.
_NOBODY = Watch()


class SequenceDefinition(KeyedDefinition):
    """How the machinery of replay sees a Sequence."""

    def __init__(self, sequence: Sequence) -> None:
        super().__init__(type(sequence), sequence.name, _run, {STATE_QUERY: _state, KEYS_QUERY: _keys})
        # One of its own: what others have is shared by all sequences.
        self.signature = Signature(_run, method=True)
        self.signature.result = _result_hint(sequence)
        self.sequence = sequence

    def construct(self, instance: KeyedInstance) -> DurableRun:
        return DurableRun(self.sequence, instance)

    def take_signal(self, made: Any, signal: WorkflowExecutionSignaled) -> None:
        """Nodes don't wait for signals."""


class _InstanceClock:
    """The time of a workflow instance, which is the same on every replay. Nobody sleeps by it, or asks for chance."""

    def __init__(self, instance: KeyedInstance) -> None:
        self._instance = instance

    def time(self) -> float:
        return self._instance.now / 1e9

    elapsed = time

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def async_sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def random(self) -> float:
        return 0.5


class DurableRun:
    """One run of a Sequence in a workflow instance."""

    def __init__(self, sequence: Sequence, instance: KeyedInstance) -> None:
        self._sequence = sequence
        self._instance = instance
        live = LiveKeys.of(instance.started.run_id)
        self._keys = SharedKeys(instance.converter, live)
        self.state = SharedState()
        self.state.lock = live.lock
        self.state.store = self._keys.committed

    async def run(self, given: Arguments, config: dict[str, Any] | None) -> Any:
        """The last node's output."""
        sequence, state = self._sequence, self.state
        settings = Settings(sequence.config if config is None else config)
        state.config, state.initial_input = settings.config, given.value
        run = Run(sequence.name, state, settings, _InstanceClock(self._instance), ExecutionHistory(), _NOBODY)
        try:
            steps = walk(run, Scope(sequence.max_steps, recorded=False), sequence.stages, given)
            state.final_output = await self._carry_out(steps)
        except asyncio.CancelledError as error:
            await self._carry_out(compensate(run, Scope(sequence.max_steps, path="cancelled/", recorded=False), error))
            raise
        run.let_go()
        return state.final_output

    async def _carry_out(self, steps: Walk) -> Any:
        request = send(steps, None)
        while not isinstance(request, Finished):
            try:
                outcome = await (self._fork(request) if isinstance(request, Fork) else self._call(request))
            except Exception as error:  # noqa: BLE001 - the walk knows what to do about it
                request = throw(steps, error)
            else:
                request = send(steps, outcome)
        return request.value

    async def _call(self, execution: NodeExecution) -> Any:
        instance, node = self._instance, execution.node
        if isinstance(node, ChildNode):
            child_id = f"{instance.started.workflow_id}/{execution.key}"
            return await execute_child_workflow(node.workflow, args=execution.args, id=child_id, **node.options)
        callback = callback_of(execution, self._keys)
        code = StepCode(
            node.name,
            execution.occurrence,
            callback,
            instance.converter.payload_size_limit,
            delay=delay_of,
        )
        payload = await run_step(instance, execution.key, config_of(execution), code)
        result: NodeResult = instance.converter.decode(payload, NodeResult)
        self._keys.commit(result.changes)
        return result.output.decoded(instance.converter, node.parameters.result)

    async def _fork(self, fork: Fork) -> list[Outcome | None]:
        timer_ids = (f"{kind}:{fork.branches[0][1].path}" for kind in ("block", "grace"))

        async def wait(workers: list[asyncio.Task[None]], timeout: float | None) -> None:
            await self._wait(workers, timeout, next(timer_ids))

        return await carry_out_branches(fork, lambda steps, scope: self._carry_out(steps), wait)

    async def _wait(self, workers: list[asyncio.Task[None]], timeout: float | None, timer_id: str) -> None:
        """Return when all workers have ended, or a durable timer has fired."""
        ended = asyncio.gather(*workers, return_exceptions=True)
        if timeout is None:
            await ended
            return
        late = self._instance.loop.create_future()

        def fire() -> None:
            if not late.done():
                late.set_result(None)

        timer = TimerCall(self._instance, timer_id, timeout, fire, "timeout of a parallel block")
        try:
            await asyncio.wait({asyncio.shield(ended), late}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()


async def _run(running: DurableRun, *args: Any) -> Any:
    """The run method of all sequences."""
    instance = running._instance
    given, config = START.read(args)
    try:
        if not running._sequence.stages:
            raise ValueError(f"sequence {running._sequence.name!r} has no nodes")
        output = await running.run(typed_arguments(running._sequence, given, instance.converter), config)
        return RawValue(instance.converter.encode(output))
    except Exception as error:  # noqa: BLE001 - whatever a node raises fails the run
        raise RunEndedError(cmd.FailWorkflow(closing_failure(error, []))) from None


def _state(running: DurableRun) -> dict[str, Any]:
    return running.state.to_dict()


def _keys(running: DurableRun) -> list[dict[str, Any]]:
    return [dict(running.state.store), running.state.outputs]


def _result_hint(sequence: Sequence) -> Any:
    """The class of the last node's output, if it is one that JSON doesn't tell. Others come back as they are: nothing
    checks annotations in memory, either."""
    last = sequence.stages[-1] if sequence.stages else None
    hint = last.parameters.result if isinstance(last, BaseNode) else None
    return hint if isinstance(hint, type) and hint.__module__ != "builtins" else None
