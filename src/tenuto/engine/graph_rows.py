"""What the store keeps of a graph execution beside its history: its row, and its entries in the search index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.engine.announcements import announcements
from tenuto.engine.observer import Transition, transitions
from tenuto.engine.resident import Resident
from tenuto.graph.execution import GraphExecution
from tenuto.graph.parents import STATUSES
from tenuto.graph.timeouts import next_deadline
from tenuto.model.events import encode_events
from tenuto.model.graph import GraphChanged, GraphStarted, Task
from tenuto.model.json_values import encode_json
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import Commit, ExecutionRow, HistoryRow, TaskIndexRow, WorkflowIndexRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs

#: In the place of a task queue in the rows of graphs, by which they are told from durable code.
GRAPHS = "(graph)"


def new_row(started: GraphStarted) -> ExecutionRow:
    return ExecutionRow(
        partition=partition_of(started.workflow_id),
        workflow_id=started.workflow_id,
        run_id=started.run_id,
        first_run_id=started.run_id,
        workflow_type=started.workflow_type,
        task_queue=GRAPHS,
        start_time=started.time,
        parent_workflow_id=started.parent.workflow_id if started.parent else None,
        parent_run_id=started.parent.run_id if started.parent else None,
    )


def update_row(graphs: Graphs, resident: Resident, graph: GraphExecution) -> None:
    """Keep the row in step with the execution; see `tenuto.engine.rows`."""
    row, state = resident.row, graph.state
    status = STATUSES[state.status]
    if status is not row.status:
        row.status = status
        row.close_time = state.end_time if state.closed else None
        row.wake_at = None if state.closed else 0
        resident.row_changed = True
        return
    if state.closed or (row.wake_at == 0 and not resident.is_new):
        return
    needed = wake_time(graph, graphs.engine.clock.now()) if graphs.served else 0
    earlier = needed is not None and (row.wake_at is None or needed < row.wake_at)
    if earlier or (resident.is_new and needed != row.wake_at):
        row.wake_at = needed
        resident.row_changed = True


def wake_time(graph: GraphExecution, now: int) -> int | None:
    """When a restarted engine would have to look at this execution; 0 is at once, None never."""
    state = graph.state
    if state.closed:
        return None
    if state.queued or graph.unfinished or graph.evaluating or graph.running or not state.tasks:
        return 0
    for task in state.open.values():
        if task.status == "SCHEDULED" and task.available_at <= now:
            return 0
        if graph.task_def(task).concurrent_exec_limit:
            return 0  # it counts
    return next_deadline(graph, now)


def add_rows(commit: Commit, resident: Resident, graph: GraphExecution, seen: list[Transition]) -> bool:
    """Put what changed into `commit`, and changes of status into `seen`. False if nothing changed."""
    row = resident.row
    events = graph.take_unwritten()
    if resident.removed:
        return _remove(commit, resident, graph)
    if events:
        seen += transitions(graph, events)
        commit.documents += announcements(graph, events)
        data = encode_events(events)  # type: ignore[arg-type]
        graph.history_size += len(data)
        commit.history.append(HistoryRow(row.partition, row.run_id, events[0].event_id, data, row.start_time))
        if any(isinstance(event, GraphStarted | GraphChanged) for event in events):
            commit.indexed_workflows.append(workflow_index(row, graph))
        commit.indexed_tasks += [task_index(row, graph, task) for task in graph.changed_tasks.values()]
        commit.unindexed_tasks += [(row.partition, task_id) for task_id in graph.hidden_tasks]
        graph.changed_tasks.clear()
        graph.hidden_tasks.clear()
    row.history_length = graph.state.last_event_id
    if resident.is_new:
        resident.is_new = resident.row_changed = False
        commit.started.append(row)
        return True
    if resident.row_changed:
        resident.row_changed = False
        commit.changed.append(resident.change())
        return True
    return bool(events)


def _remove(commit: Commit, resident: Resident, graph: GraphExecution) -> bool:
    graph.changed_tasks.clear()
    graph.hidden_tasks.clear()
    resident.row_changed = False
    if resident.is_new:
        return False
    commit.removed.append((resident.row.partition, resident.row.run_id))
    return True


def workflow_index(row: ExecutionRow, graph: GraphExecution) -> WorkflowIndexRow:
    state = graph.state
    started = state.started
    return WorkflowIndexRow(
        partition=row.partition,
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        workflow_type=started.workflow_type,
        version=state.version,
        status=state.status,
        correlation_id=state.correlation_id or None,
        start_time=state.start_time,
        end_time=state.end_time or None,
        update_time=state.update_time,
        parent_workflow_id=started.parent.workflow_id if started.parent else "",
        priority=started.priority,
        created_by=started.created_by or None,
        event=started.caused_by or None,
        reason=state.reason or None,
        classifier="workflow",
        idempotency_key=started.idempotency_key or None,
        failed_references=state.failed_references,
        failed_tasks=state.failed_tasks,
        task_to_domain=started.task_to_domain,
        input=encode_json(state.input).decode(),
        output=encode_json(state.output).decode(),
        run_start=row.start_time,
    )


def task_index(row: ExecutionRow, graph: GraphExecution, task: Task) -> TaskIndexRow:
    started = graph.state.started
    return TaskIndexRow(
        partition=row.partition,
        task_id=task.task_id,
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        workflow_type=started.workflow_type,
        task_type=task.task_type,
        task_def_name=task.def_name,
        reference_name=task.reference,
        status=task.status,
        correlation_id=graph.state.correlation_id or None,
        scheduled_time=task.scheduled_time,
        start_time=task.start_time or None,
        end_time=task.end_time or None,
        update_time=task.update_time,
        reason=task.reason or None,
        domain=task.domain or None,
        priority=started.priority,
        input=encode_json(task.input).decode(),
        output=encode_json(task.output).decode(),
        run_start=row.start_time,
    )


def is_closed(row: ExecutionRow) -> bool:
    return row.status is not ExecutionStatus.RUNNING
