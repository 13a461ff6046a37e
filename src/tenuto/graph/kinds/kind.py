"""What the rules of one kind of task decide. Each kind is a class in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.execution import GraphExecution
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Kind:
    """The rules of a task that needs nobody; the kinds override what they do differently. All methods are pure: they
    change the execution through `decision` and nothing else."""

    #: May a failed one be tried again?
    retriable = True
    #: Is one that is IN_PROGRESS, or in a queue, of no concern to decisions until it changes or its time comes?
    quiet = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        """Create the task, or the tasks, that stand at `node`."""
        decision.create(node, scope)

    def make_input(self, decision: Decision, node: WorkflowTask, task: Task, old: dict[str, Json]) -> dict[str, Json]:
        """The input of a new task, or of another attempt, on top of the `old` one."""
        return decision.input_of(node, task, old)

    def begin(self, decision: Decision, task: Task) -> None:
        """The task is SCHEDULED and its time has come. Called at every decision until that changes."""
        raise NotImplementedError

    def advance(self, decision: Decision, task: Task) -> None:
        """The task is IN_PROGRESS; something happened in the execution, or its time has come."""

    def stalled(self, decision: Decision, task: Task) -> None:
        """The task is IN_PROGRESS and waits for others, but nothing is under way any more that could bring them."""

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        """The script that the task asked for came to `value`, or failed with `error`."""

    def child_closed(self, decision: Decision, task: Task, status: str, output: dict[str, Json], reason: str) -> None:
        """The execution that the task started has ended."""

    def child_not_started(self, decision: Decision, task: Task, cause: str, existing_closed: bool) -> None:
        """The execution that the task wanted to start is not there; `existing_closed`: one of its id has ended."""

    def ended(self, decision: Decision, task: Task) -> None:
        """The task is over, well or tolerated: let the workflow go on behind it."""
        decision.schedule_after(task)

    def cancel(self, decision: Decision, task: Task) -> None:
        """The task is about to be ended from outside."""

    def answers(self, execution: GraphExecution, task: Task) -> bool:
        """Does somebody owe an answer, so that `responseTimeoutSeconds` runs?"""
        return False

    def waits(self, task: Task) -> bool:
        """Is it somebody outside who ends the task, which is IN_PROGRESS?"""
        return False
