"""The controller of a Sequence: pause, resume and stop its runs, and see what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tenuto.sequence.checkpoints import Checkpoints
from tenuto.sequence.errors import WorkflowStoppedException
from tenuto.sequence.gate import Gate
from tenuto.sequence.history import ExecutionHistory
from tenuto.sequence.reporting import WorkflowReportingSystem
from tenuto.sequence.run import Run
from tenuto.sequence.watch import Watch

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["WorkflowController"]


class WorkflowController:
    """`workflow.controller`. What it does concerns all runs of this Sequence that are under way, and takes effect
    before their next node; a node that runs is not interrupted."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._runs: list[Run] = []
        self._outcome = "ready"
        self._paused = False
        self.gate = Gate()
        self.watch = Watch()
        self.execution_history = ExecutionHistory()
        self.reporting = WorkflowReportingSystem(self)
        self.checkpoints = Checkpoints(sequence)

    @property
    def state(self) -> str:
        """ready, running, paused, stopped, completed or error: of the runs under way, else of the latest one."""
        if self._paused:
            return "paused"
        return "running" if self._runs else self._outcome

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def is_paused(self) -> bool:
        return self._paused

    @property
    def is_stopped(self) -> bool:
        return self.state == "stopped"

    @property
    def runs(self) -> list[Run]:
        """The runs under way."""
        return list(self._runs)

    def pause(self) -> None:
        """Let no further node begin until `resume`; also a run that is yet to be begun waits."""
        self._paused = True
        self.gate.pause()
        self._tell("workflow_paused")

    def resume(self) -> None:
        """End a pause."""
        if self._paused:
            self._paused = False
            self.gate.open()
            self._tell("workflow_resumed")

    def stop(self) -> None:
        """End the runs under way before their next node: `execute` returns None. Without one it does nothing."""
        self._paused = False
        if self._runs:
            self.gate.stop()
            self._tell("workflow_stopped")
        else:
            self.gate.open()

    def restart(self) -> None:
        """Be ready as at the beginning: the shared state and the history are forgotten. Stops what runs."""
        self.stop()
        self._sequence.reset()
        self.execution_history.clear()
        self._outcome = "ready"
        self._tell("workflow_restarted")

    def subscribe(self, listener: Callable[[str, dict[str, Any]], Any]) -> str:
        """Call `listener(event_type, data)` for every event; the id for `unsubscribe`."""
        return self.watch.subscribe(listener)

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription; False if there is none of that id."""
        return self.watch.unsubscribe(subscription)

    def save(self, name: str | None = None) -> str:
        """Write the shared state and what has run to a file in `.checkpoints`; its id."""
        return self.checkpoints.save(name)

    def load(self, checkpoint: str) -> dict[str, Any]:
        """Take the shared state from a checkpoint; all that the checkpoint holds. Raises KeyError for an unknown id."""
        return self.checkpoints.load(checkpoint)

    def list_checkpoints(self) -> list[dict[str, Any]]:
        """id, name and time of each checkpoint, oldest first."""
        return self.checkpoints.list()

    def delete_checkpoint(self, checkpoint: str) -> bool:
        """Remove one; False if there is none of that id."""
        return self.checkpoints.delete(checkpoint)

    def cleanup_old_checkpoints(self, days: float = 7) -> int:
        """Remove those that are older; how many."""
        return self.checkpoints.remove_older(days)

    def get_execution_summary(self) -> dict[str, Any]:
        """State, counts and times in one dict."""
        metrics = self.reporting.get_execution_metrics()
        last = self.execution_history.get_last_completed()
        return {
            "workflow_name": self._sequence.name,
            "state": self.state,
            "total_executions": metrics.total_nodes_executed,
            "successful_executions": metrics.successful_executions,
            "failed_executions": metrics.failed_executions,
            "total_execution_time": metrics.total_execution_time,
            "execution_sequence": self.execution_history.get_execution_sequence(),
            "last_completed": last.effective_name if last else None,
        }

    @contextmanager
    def running(self, run: Run) -> Iterator[None]:
        """Around a run: how it ends is noted and told. Closing a run that nobody reads any more counts as a stop."""
        if not self._runs and not self._paused:
            self.gate.open()
        self._runs.append(run)
        self.reporting.metrics.follow(run)
        if self.watch.active:
            self.watch.run_began(run)
        outcome, error = "completed", None
        try:
            yield
        except (WorkflowStoppedException, GeneratorExit):
            outcome = "stopped"
            raise
        except BaseException as failure:
            outcome, error = "error", failure
            raise
        finally:
            self._runs.remove(run)
            self._outcome = outcome
            self.reporting.metrics.take_in(run)
            self.execution_history.run_ended(run)
            if self.watch.active and outcome != "stopped":
                self.watch.run_ended(run, run.state.final_output, error)

    def _tell(self, event: str) -> None:
        self.watch.emit(event, {"workflow_name": self._sequence.name, "controller_state": self.state})
