"""What has been executed: one record for each execution of a node, kept by the controller."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.sequence.nodes import BaseNode
    from tenuto.sequence.retries import RetryPolicy
    from tenuto.sequence.run import Run
    from tenuto.sequence.scope import Scope

__all__ = ["ExecutionHistory", "NodeExecution"]

#: Executions that a history keeps; older ones are forgotten.
KEPT = 1000
#: Runs whose values are kept with their executions.
RUNS_WITH_VALUES = 10


class NodeExecution:
    """One execution of a node: what is asked of whoever carries it out, and what became of it.

    Values are held as they are, never copied. Durations are seconds; an execution that runs has duration 0.0."""

    __slots__ = (
        "args",
        "attempts",
        "began",
        "ended",
        "error",
        "execution_position",
        "input_value",
        "is_call",
        "kwargs",
        "node",
        "occurrence",
        "output_value",
        "policy",
        "run",
        "scope",
        "status",
    )

    def __init__(
        self,
        node: BaseNode,
        input_value: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        policy: RetryPolicy | None,
        run: Run,
        scope: Scope,
        occurrence: int,
        began: float,
    ) -> None:
        self.node = node
        self.input_value = input_value
        self.args = args
        self.kwargs = kwargs
        self.policy = policy
        self.run = run
        self.scope = scope
        self.occurrence = occurrence
        self.execution_position = run.position
        self.began = began
        self.ended = began
        self.attempts = 1
        self.output_value: Any = None
        self.error: BaseException | None = None
        #: running, completed or error.
        self.status = "running"
        #: False for a nested sequence, which is recorded as a whole but is walked, not called.
        self.is_call = True

    def forget_values(self) -> None:
        """Let go of what the node was given and returned."""
        self.args, self.kwargs = (), {}
        self.input_value = self.output_value = None
        self.scope.forget_values()

    @property
    def node_name(self) -> str:
        """The name of the function's node; of an alias, the name it was made with."""
        return self.node.original_name

    @property
    def effective_name(self) -> str:
        """The name in the chain."""
        return self.node.name

    @property
    def key(self) -> str:
        """What tells this execution from all others of the run, in any process: where, name, occurrence."""
        return f"{self.scope.path}{self.node.name}-{self.occurrence}"

    @property
    def execution_id(self) -> str:
        return f"{self.run.id}-{self.execution_position}"

    @property
    def start_time(self) -> float:
        """Seconds since the epoch."""
        return self.run.time_of(self.began)

    @property
    def end_time(self) -> float | None:
        """Seconds since the epoch; None while it runs."""
        return None if self.status == "running" else self.run.time_of(self.ended)

    @property
    def duration(self) -> float:
        return self.ended - self.began

    def __repr__(self) -> str:
        return f"<{self.effective_name} #{self.execution_position} {self.status} {self.duration:.6f} s>"


class ExecutionHistory:
    """The latest executions, oldest first; 1000 at most, over all runs of a Sequence. What nodes were given and
    returned is known of the latest 10 runs; it may be large."""

    def __init__(self) -> None:
        self.kept: deque[NodeExecution] = deque(maxlen=KEPT)
        self._ended: deque[Run] = deque()

    def run_ended(self, run: Run) -> None:
        """Let go of the values of an older run."""
        self._ended.append(run)
        if len(self._ended) > RUNS_WITH_VALUES:
            self._ended.popleft().forget_values()

    @property
    def entries(self) -> list[NodeExecution]:
        """All that are kept."""
        return list(self.kept)

    def get_by_node_name(self, name: str) -> list[NodeExecution]:
        """Executions of the nodes of that name, or aliases of them."""
        return [entry for entry in self.entries if name in (entry.effective_name, entry.node_name)]

    def get_recent(self, limit: int = 10) -> list[NodeExecution]:
        """The last `limit` ones, oldest first."""
        return self.entries[-limit:] if limit > 0 else []

    def get_last_completed(self) -> NodeExecution | None:
        """The latest that succeeded."""
        return next((entry for entry in reversed(self.entries) if entry.status == "completed"), None)

    def get_node_execution_count(self, name: str) -> int:
        """How often the node was executed, as far as is kept."""
        return len(self.get_by_node_name(name))

    def get_execution_sequence(self) -> list[str]:
        """The names, in the order in which they began."""
        return [entry.effective_name for entry in self.entries]

    def clear(self) -> None:
        """Forget all."""
        self.kept.clear()
        self._ended.clear()

    def __len__(self) -> int:
        return len(self.kept)
