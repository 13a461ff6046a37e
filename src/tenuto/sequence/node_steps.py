"""How a node is called in a durable run: as a recorded step, retried as its policy says.

The step's result holds the node's output and what it changed in the shared state. The policy decides in the process
that ran the attempt, where the error is the node's own. Attempts that get lost together with their process are made
again, up to a limit of their own: in memory there is nothing like it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NodeResult", "callback_of", "config_of", "delay_of"]

#: Attempts that may be lost with their process before the node counts as failed.
LOST_ATTEMPTS = 100
#: Seconds that an attempt may take; a limit only so that nothing hangs for ever.
LONGEST_ATTEMPT = 7 * 86_400.0


class NodeResult(Struct, omit_defaults=True):
    """What is recorded of a node."""

    output: Stored
    changes: dict[str, Change] = {}


def config_of(execution: NodeExecution) -> StepConfig:
    """The options of the node's step."""
    attempts = execution.policy.attempts if execution.policy else 1
    retries = Retries(limit=attempts - 1 + LOST_ATTEMPTS, delay=None, backoff="constant")
    return StepConfig(retries=retries, timeout=LONGEST_ATTEMPT)


def delay_of(context: Any, error: Exception) -> float:
    """Seconds until the next attempt after `error`, which `callback_of` raised."""
    delay = getattr(error, "next_retry_delay", None)
    return delay.total_seconds() if isinstance(delay, timedelta) else 0.0


def callback_of(execution: NodeExecution, keys: SharedKeys) -> Callable[..., Any]:
    """What an attempt calls; takes the attempt's context, returns a NodeResult."""
    node = execution.node

    def call(context: Any) -> NodeResult:
        with _attempt(execution, keys, context.attempt) as (store, args, kwargs):
            output = node.call(*args, **kwargs)
            return _result(node.name, output, store, keys)

    async def async_call(context: Any) -> NodeResult:
        with _attempt(execution, keys, context.attempt) as (store, args, kwargs):
            output = await node.call(*args, **kwargs)
            return _result(node.name, output, store, keys)

    return async_call if node.is_async else call


@contextmanager
def _attempt(
    execution: NodeExecution, keys: SharedKeys, attempt: int
) -> Iterator[tuple[AttemptStore, tuple[Any, ...], dict[str, Any]]]:
    """The attempt's own state and arguments; what fails is raised as the policy says."""
    store = AttemptStore(keys, execution.node.name)
    shared = execution.run.state
    state = SharedState.view(shared, store)
    args, kwargs = execution.args, execution.kwargs
    if kwargs or not all(type(value) in UNCHANGEABLE for value in args):
        # Copies: an attempt that changes its input must not change what the next one, or a replay, gets.
        memo: dict[int, Any] = {id(shared): state}
        args, kwargs = copy.deepcopy((args, kwargs), memo)
    token = current_state.set(state)
    try:
        yield store, args, kwargs
    except Exception as error:
        store.undo()
        execution.attempts = attempt
        raise _as_policy_says(error, execution.policy, attempt) from error
    except BaseException:
        store.undo()
        raise
    finally:
        current_state.reset(token)


def _result(node: str, output: Any, store: AttemptStore, keys: SharedKeys) -> NodeResult:
    try:
        return NodeResult(Stored.of(output, keys.converter), store.changes())
    except PayloadError as error:
        raise WorkflowFatalError(f"the output of node {node!r} can't be stored: {error}") from None


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
