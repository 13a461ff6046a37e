"""One run of a sequence: its state, its settings, and what is noted about each node."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from tenuto.sequence.clock import Clock
from tenuto.sequence.errors import RetryableError
from tenuto.sequence.history import ExecutionHistory, NodeExecution
from tenuto.sequence.nodes import BaseNode
from tenuto.sequence.parameters import Arguments
from tenuto.sequence.retries import ErrorConfig, RetryPolicy
from tenuto.sequence.scope import Scope
from tenuto.sequence.state import SharedState
from tenuto.sequence.watch import Watch

__all__ = ["Run", "Settings"]

_NO_NAMES: dict[str, Any] = {}
_numbers = itertools.count(1)


class Settings:
    """What `execute(config=...)` says. Raises ValueError for an `error_config` that makes no sense."""

    def __init__(self, config: Mapping[str, Any] | None) -> None:
        self.config = dict(config or {})
        given = self.config.get("error_config")
        self.errors = None if given is None else ErrorConfig.read(given)
        self.by_node = {
            name: ErrorConfig.read({**(given or {}), **override.get("error_config", override)})
            for name, override in self.config.get("nodes", {}).items()
        }
        #: No node is tried again unless it asks for it itself.
        self.is_plain = self.errors is None and not self.by_node
        self._policies: dict[tuple[str, int | None], RetryPolicy] = {}

    def policy_for(self, node: BaseNode) -> RetryPolicy | None:
        """How a node is tried; None: once."""
        key = (node.name, node.max_retries)
        if key in self._policies:
            return self._policies[key]
        config = self.by_node.get(node.name, self.errors)
        if node.retries_itself or (config is None and node.max_retries is None):
            return None
        policy = self._policies[key] = (config or ErrorConfig()).policy(node.max_retries)
        return policy


class Run:
    """One run. The walk (walk.py) tells it what begins and ends; whoever carries out the nodes, what fails."""

    def __init__(
        self,
        name: str,
        state: SharedState,
        settings: Settings,
        clock: Clock,
        history: ExecutionHistory,
        watch: Watch,
    ) -> None:
        self.id = f"{name}-{next(_numbers)}"
        self.workflow_name = name
        self.state = state
        self.settings = settings
        self.clock = clock
        self.watch = watch
        #: Finished executions, for the metrics.
        self.log: list[NodeExecution] = []
        self.position = 0
        #: What has been done and can be undone: compensations with what they are given.
        self.undo: list[tuple[BaseNode, Any]] = []
        self._is_plain = settings.is_plain
        self._kept = history.kept
        self._elapsed = clock.elapsed
        self._began = clock.elapsed()
        self._began_at = clock.time()

    def forget_values(self) -> None:
        """The run is over: let go of its state and of what its nodes were given and returned."""
        self.state = SharedState()
        for execution in self.log:
            execution.forget_values()
        self.log = []

    def let_go(self) -> None:
        """The run is over: executions no longer refer to themselves, by their run or their line, which would leave them
        to the garbage collector."""
        executions, self.state.executions = self.state.executions, []
        for execution in executions:
            execution.scope.forget_values()

    def time_of(self, elapsed: float) -> float:
        """A time of the run's clock as seconds since the epoch."""
        return self._began_at + elapsed - self._began

    @property
    def duration(self) -> float:
        """Seconds since the run began."""
        return self._elapsed() - self._began

    def begin(self, node: BaseNode, value: Any, scope: Scope) -> NodeExecution:
        """A node is to be executed with `value`, the output before it. Raises TypeError if it lacks an argument."""
        scope.last_name = node.name
        if node.parameters.is_plain and value.__class__ is not Arguments:
            args, kwargs = (value,), _NO_NAMES
        else:
            args, kwargs = node.parameters.fill(value, self.state, scope)
            if value.__class__ is Arguments:
                value = value.value
        policy = None if self._is_plain and node.max_retries is None else self.settings.policy_for(node)
        execution = NodeExecution(
            node, value, args, kwargs, policy, self, scope, scope.occurrence(node.name), self._elapsed()
        )
        self._note_begin(execution)
        return execution

    def begin_nested(self, nested: Any, value: Any, scope: Scope) -> NodeExecution:
        """A nested sequence is to be walked: it is one entry of the history."""
        scope.last_name = nested.name
        execution = NodeExecution(nested, value, (), {}, None, self, scope, 0, self._elapsed())
        execution.is_call = False
        self._note_begin(execution)
        return execution

    def _note_begin(self, execution: NodeExecution) -> None:
        self.position += 1
        self.state.current_input = execution.input_value
        if execution.scope.recorded:
            self._kept.append(execution)
            if self.watch.active:
                self.watch.node_began(execution)

    def finish(self, execution: NodeExecution, output: Any) -> None:
        """The node has an output."""
        execution.ended = self._elapsed()
        execution.output_value = output
        execution.status = "completed"
        state, scope, node = self.state, execution.scope, execution.node
        scope.executions.append(execution)
        state.executions.append(execution)
        state.results.append(output)
        scope.outputs[node.name] = state.outputs[node.name] = output
        if node.compensation is not None:
            self.undo.append((node.compensation, output))
        if scope.recorded:
            self.log.append(execution)
            if self.watch.active:
                self.watch.node_finished(execution)

    def fail(self, execution: NodeExecution, error: Exception, place: str) -> Any:
        """The node has finally failed: its fallback output, or the error, with a note about the place."""
        execution.error = error
        node, policy = execution.node, execution.policy
        if node.has_fallback and (policy is None or policy.use_fallback):
            output = node.fallback_output()
            self._tell_failure(execution, handled=True)
            self.finish(execution, output)
            return output
        execution.ended = self._elapsed()
        execution.status = "error"
        if execution.is_call:
            self.note(error, execution, place)
        if execution.scope.recorded:
            self.log.append(execution)
        self._tell_failure(execution, handled=False)
        raise error

    def _tell_failure(self, execution: NodeExecution, handled: bool) -> None:
        if self.watch.active and execution.scope.recorded:
            self.watch.node_failed(execution, handled)

    def note(self, error: BaseException, execution: NodeExecution, place: str) -> None:
        """Say on the error where it happened."""
        attempts = execution.policy.attempts if execution.policy else execution.attempts
        note = (
            f"in workflow {self.workflow_name!r}: node {execution.effective_name!r}, position {place}"
            f"{f' of branch {execution.scope.path[:-1]}' if execution.scope.path else ''}, "
            f"attempt {execution.attempts} of {attempts}"
        )
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def delay_or_raise(self, execution: NodeExecution, error: Exception) -> float:
        """An attempt failed: seconds until the next one. Raises the error if it was the last."""
        policy = execution.policy
        if policy is None and isinstance(error, RetryableError):
            policy = RetryPolicy()
        delay = None if policy is None else policy.delay_after(error, execution.attempts, self.clock.random)
        if self.watch.active:
            self.watch.attempt_failed(execution, error, delay)
        if delay is None:
            raise error
        execution.attempts += 1
        return delay
