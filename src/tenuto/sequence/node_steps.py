"""How a node is called in a durable run: as a recorded step, retried as its policy says.

The step's result holds the node's output and what it changed in the shared state. The policy decides in the process
that ran the attempt, where the error is the node's own. Attempts that get lost together with their process are made
again, up to a limit of their own: in memory there is nothing like it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any

from msgspec import Struct

from tenuto.activities.step_config import Retries, StepConfig
from tenuto.activities.step_errors import WorkflowFatalError, is_final, message_of, name_of
from tenuto.exceptions import ApplicationError
from tenuto.model.errors import PayloadError
from tenuto.sequence.errors import RetryableError
from tenuto.sequence.history import NodeExecution
from tenuto.sequence.recording import UNCHANGEABLE, AttemptStore, Change, SharedKeys
from tenuto.sequence.retries import RetryPolicy
from tenuto.sequence.state import SharedState, current_state
from tenuto.sequence.stored import Stored

__all__ = ["NodeResult", "callback_of", "config_of", "delay_of"]

#: Attempts that may be lost with their process before the node counts as failed.
LOST_ATTEMPTS = 100


class NodeResult(Struct, omit_defaults=True):
    """What is recorded of a node."""

    output: Stored
    changes: dict[str, Change] = {}


def config_of(execution: NodeExecution) -> StepConfig:
    """The options of the node's step."""
    return _config_for(execution.policy.attempts if execution.policy else 1)


@lru_cache(maxsize=100)
def _config_for(attempts: int) -> StepConfig:
    retries = Retries(limit=attempts - 1 + LOST_ATTEMPTS, delay=None, backoff="constant")
    return StepConfig(retries=retries, timeout=None)


def delay_of(context: Any, error: Exception) -> float:
    """Seconds until the next attempt after `error`, which `callback_of` raised."""
    delay = getattr(error, "next_retry_delay", None)
    return delay.total_seconds() if isinstance(delay, timedelta) else 0.0


def callback_of(execution: NodeExecution, keys: SharedKeys) -> Callable[..., Any]:
    """What an attempt calls; takes the attempt's context, returns a NodeResult."""
    call = execution.node.call
    if execution.node.is_async:

        async def async_attempt(context: Any) -> NodeResult:
            with _Attempt(execution, keys, context.attempt) as attempt:
                return attempt.result(await call(*attempt.args, **attempt.kwargs))

        return async_attempt

    def sync_attempt(context: Any) -> NodeResult:
        with _Attempt(execution, keys, context.attempt) as attempt:
            return attempt.result(call(*attempt.args, **attempt.kwargs))

    return sync_attempt


class _Attempt:
    """The attempt's own state and arguments; what fails is raised as the policy says."""

    __slots__ = ("_execution", "_keys", "_number", "_store", "_token", "args", "kwargs")

    def __init__(self, execution: NodeExecution, keys: SharedKeys, number: int) -> None:
        self._execution = execution
        self._keys = keys
        self._number = number
        self._store = AttemptStore(keys, execution.node.name)

    def __enter__(self) -> _Attempt:
        shared, args, kwargs = self._execution.run.state, self._execution.args, self._execution.kwargs
        state = SharedState.view(shared, self._store)
        if kwargs or not all(type(value) in UNCHANGEABLE for value in args):
            # Copies: an attempt that changes its input must not change what the next one, or a replay, gets.
            memo: dict[int, Any] = {id(shared): state}
            args, kwargs = copy.deepcopy((args, kwargs), memo)
        self.args, self.kwargs = args, kwargs
        self._token = current_state.set(state)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        current_state.reset(self._token)
        if error is None:
            return
        self._store.undo()
        if isinstance(error, Exception):
            self._execution.attempts = self._number
            raise _as_policy_says(error, self._execution.policy, self._number) from error

    def result(self, output: Any) -> NodeResult:
        """What is recorded, if the node returned `output`."""
        try:
            return NodeResult(Stored.of(output, self._keys.converter), self._store.changes())
        except PayloadError as error:
            name = self._execution.node.name
            raise WorkflowFatalError(f"the output of node {name!r} can't be stored: {error}") from None


def _as_policy_says(error: Exception, policy: RetryPolicy | None, attempt: int) -> Exception:
    if isinstance(error, WorkflowFatalError):
        return error
    if policy is None and isinstance(error, RetryableError):
        policy = RetryPolicy()
    final = policy is None or is_final(error)
    delay = None if final or policy is None else policy.delay_after(error, attempt, random.random)
    return ApplicationError(
        message_of(error),
        type=name_of(error),
        non_retryable=delay is None,
        next_retry_delay=None if delay is None else timedelta(seconds=delay),
    )
