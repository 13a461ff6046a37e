"""`tenuto show`: what one workflow did, and what it waits for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenuto.cli import options
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import instant, moment, print_json
from tenuto.plain_values import plain

if TYPE_CHECKING:
    from tenuto.client import PendingActivity, WorkflowExecutionDescription
    from tenuto.model.failures import Failure
    from tenuto.timeline import Span, Timeline

EXAMPLES = """
tenuto show order-42
tenuto show order-42 --all --db sqlite:///shop.db
tenuto show order-42 --json | jq .waits_for
"""


def register(app: typer.Typer) -> None:
    @options.command(app, "show", EXAMPLES)
    def show(
        id: options.WorkflowId,
        run_id: options.RunId = None,
        everything: Annotated[bool, typer.Option("--all", help="Leave nothing out of a long timeline.")] = False,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """Show a workflow's timeline: what ran, how long, how often it was tried, what it waits for, how it ended.

        A workflow that is stuck is shown with the error and the line of its code.
        """
        description, timeline = run_async(_look(db, id, run_id))
        if as_json:
            print_json(as_object(description, timeline))
            return
        from tenuto.timeline_view import render_timeline

        render_timeline(timeline, now=time.time_ns(), everything=everything)


async def _look(db: str, id: str, run_id: str | None) -> tuple[WorkflowExecutionDescription, Timeline]:
    from tenuto.cli.snapshot import look

    async with connected(db) as client:
        return await look(client, id, run_id)


def as_object(description: WorkflowExecutionDescription, timeline: Timeline) -> dict[str, Any]:
    """The run, for machines."""
    result = timeline.result
    return {
        "workflow_id": description.id,
        "run_id": description.run_id,
        "workflow_type": description.workflow_type,
        "task_queue": description.task_queue,
        "status": description.status.name,
        "start_time": moment(description.start_time),
        "close_time": moment(description.close_time),
        "parent_workflow_id": description.parent_id,
        "first_run_id": description.first_run_id,
        "next_run_id": timeline.next_run_id,
        "history_length": description.history_length,
        "problem": description.problem,
        "paused_time": moment(description.paused_time),
        "workflow_task_attempt": description.workflow_task_attempt,
        "result": plain(result[0]) if result else None,
        "failure": _failure(timeline.failure),
        "reason": timeline.reason or None,
        "pending_activities": [_pending(activity) for activity in description.pending_activities],
        "waits_for": [_span(span) for span in timeline.open_spans()],
        "timeline": [_span(span) for span in timeline.spans],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "event_id": span.event_id,
        "kind": span.kind.value.replace(" ", "_"),
        "name": span.name,
        "id": span.id or None,
        "state": span.state.value.replace(" ", "_"),
        "start_time": instant(span.began),
        "end_time": instant(span.ended),
        "until": instant(span.until),
        "attempts": span.attempts,
        "failure": span.failure,
        "where": span.where,
        "identity": span.identity or None,
        "summary": span.summary,
    }


def _pending(activity: PendingActivity) -> dict[str, Any]:
    return {
        "activity_id": activity.activity_id,
        "activity_type": activity.activity_type,
        "state": activity.state,
        "attempt": activity.attempt,
        "scheduled_time": moment(activity.scheduled_time),
        "started_time": moment(activity.started_time),
        "next_attempt_time": moment(activity.next_attempt_time),
        "last_failure": activity.last_failure,
        "heartbeat_details": list(activity.heartbeat_details),
        "cancel_requested": activity.cancel_requested,
    }


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "type": failure.type_name,
        "message": failure.message,
        "stack_trace": failure.stack_trace or None,
        "cause": _failure(failure.cause),
    }
