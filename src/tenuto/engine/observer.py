"""Whoever watches an engine: metrics, logs, traces. Observers see what is on record, never what may still be lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tenuto.graph.execution import GraphExecution
from tenuto.model.graph import GraphChanged, GraphEvent, GraphStarted, GraphTaskChanged, GraphTaskScheduled, Task

if TYPE_CHECKING:
    from tenuto.engine.batch import Batch


class Transition(NamedTuple):
    """A graph execution, or a task of one, got another status."""

    graph: GraphExecution
    task: Task | None
    """None: it is the execution's status. By the time this is seen the task may have gone on."""
    status: str
    is_new: bool
    """It came into being with the same commit."""


class Observer(Protocol):
    def committed(self, batch: Batch) -> None:
        """A batch is on record; `batch.transitions` and `batch.seconds` tell of it. Must be quick: the next batch
        waits."""
        ...


def transitions(graph: GraphExecution, events: Iterable[GraphEvent]) -> Iterable[Transition]:
    """The changes of status among events that are about to be written."""
    for event in events:
        match event:
            case GraphTaskChanged():
                status = event.changes.get("status")
                task = graph.state.tasks.get(event.number)
                if status is not None and task is not None:
                    yield Transition(graph, task, str(status), False)
            case GraphTaskScheduled():
                yield Transition(graph, event.task, event.task.status, True)
            case GraphChanged():
                if "status" in event.changes:
                    yield Transition(graph, None, str(event.changes["status"]), False)
            case GraphStarted():
                yield Transition(graph, None, "RUNNING", True)
            case _:
                pass
