"""Who watches the runs of a Sequence: hooks, subscribers, thresholds. While there is nobody, nodes cost no more."""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tenuto.sequence.hooks import Hooks

if TYPE_CHECKING:
    from tenuto.sequence.history import NodeExecution
    from tenuto.sequence.run import Run

__all__ = ["EVENTS", "Watch"]

logger = logging.getLogger(__name__)

#: What can be subscribed to; `*` is all of it.
EVENTS = (
    "execution_started",
    "execution_completed",
    "execution_error",
    "node_execution_started",
    "node_execution_completed",
    "node_execution_failed",
    "node_retry",
    "workflow_paused",
    "workflow_resumed",
    "workflow_stopped",
    "workflow_restarted",
)

#: Called with an event's type and its data.
Listener = Callable[[str, dict[str, Any]], Any]


class Watch:
    """Passes on what happens. A listener that fails is logged and has no effect on the run."""

    def __init__(self) -> None:
        #: False while nobody watches.
        self.active = False
        self.hooks = Hooks(self.changed)
        #: Called with every finished or failed execution.
        self.measures: list[Callable[[NodeExecution], None]] = []
        self._listeners: dict[str, Listener] = {}
        self._numbers = itertools.count(1)

    def changed(self) -> None:
        """Somebody began or ceased to watch."""
        self.active = bool(self._listeners or self.measures or self.hooks)

    def subscribe(self, listener: Listener) -> str:
        """Call `listener(type, data)` for every event; the id for `unsubscribe`."""
        subscription = f"subscription-{next(self._numbers)}"
        self._listeners[subscription] = listener
        self.changed()
        return subscription

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription; False if there is none of that id."""
        found = self._listeners.pop(subscription, None) is not None
        self.changed()
        return found

    def emit(self, event: str, data: dict[str, Any]) -> None:
        """Tell the subscribers."""
        for listener in list(self._listeners.values()):
            try:
                listener(event, data)
            except Exception:
                logger.exception("a subscriber to %s failed", event)

    def run_began(self, run: Run) -> None:
        self.hooks.pre_sequence.call(_run_context(run), run.workflow_name)
        self.emit("execution_started", {**_of_run(run), "input": run.state.initial_input})

    def run_ended(self, run: Run, result: Any, error: BaseException | None) -> None:
        context = _run_context(run, result, error)
        point = self.hooks.post_sequence if error is None else self.hooks.on_sequence_error
        point.call(context, run.workflow_name)
        if error is None:
            self.emit("execution_completed", {**_of_run(run), "output": result, "duration": run.duration})

    def node_began(self, execution: NodeExecution) -> None:
        self.emit("node_execution_started", {**_of_node(execution), "input": execution.input_value})

    def attempt_began(self, execution: NodeExecution) -> None:
        self.hooks.pre_execution.call(_node_context(execution), *_names(execution))

    def attempt_failed(self, execution: NodeExecution, error: Exception, delay: float | None) -> None:
        """`delay` is None if it was the last attempt."""
        context = _node_context(execution, error=error, is_final_attempt=delay is None)
        self.hooks.on_error.call(context, *_names(execution))
        if delay is not None:
            attempt = {"attempt": execution.attempts, "delay": delay, "error": str(error), "exception": error}
            self.emit("node_retry", {**_of_node(execution), **attempt})

    def node_finished(self, execution: NodeExecution) -> None:
        if execution.error is None:  # else its fallback stepped in
            self.hooks.post_execution.call(_node_context(execution, is_final_attempt=True), *_names(execution))
        self._measure(execution)
        data = {"output": execution.output_value, "duration": execution.duration}
        self.emit("node_execution_completed", {**_of_node(execution), **data})

    def node_failed(self, execution: NodeExecution, handled: bool) -> None:
        error = execution.error
        data = {
            **_of_node(execution),
            "error": str(error),
            "error_type": type(error).__name__,
            "exception": error,
            "attempts": execution.attempts,
            "handled": handled,
        }
        if not handled:
            self._measure(execution)
            self.emit("node_execution_failed", data)
        self.emit("execution_error", data)

    def _measure(self, execution: NodeExecution) -> None:
        for measure in self.measures:
            measure(execution)


def _names(execution: NodeExecution) -> tuple[str, str]:
    return execution.effective_name, execution.node_name


def _of_run(run: Run) -> dict[str, Any]:
    return {"execution_id": run.id, "workflow_name": run.workflow_name, "timestamp": run.clock.time()}


def _of_node(execution: NodeExecution) -> dict[str, Any]:
    return {
        **_of_run(execution.run),
        "execution_id": execution.execution_id,
        "node_name": execution.effective_name,
    }


def _node_context(
    execution: NodeExecution, error: Exception | None = None, is_final_attempt: bool | None = None
) -> dict[str, Any]:
    attempts = execution.policy.attempts if execution.policy else 1
    return {
        "node": execution.node,
        "result": execution.output_value,
        "error": error,
        "target_name": execution.effective_name,
        "attempt_number": execution.attempts,
        "is_final_attempt": execution.attempts >= attempts if is_final_attempt is None else is_final_attempt,
    }


def _run_context(run: Run, result: Any = None, error: BaseException | None = None) -> dict[str, Any]:
    return {
        "node": None,
        "result": result,
        "error": error,
        "target_name": run.workflow_name,
        "attempt_number": 1,
        "is_final_attempt": True,
        "traceback": "".join(traceback.format_exception(error)) if error is not None else None,
    }
