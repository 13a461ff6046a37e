"""What workflow code can know: of its run, of its time, of chance, the same on every replay."""

from __future__ import annotations

import random as _random
from asyncio.events import _get_running_loop
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from tenuto.common import RetryPolicy
from tenuto.given import UNSET
from tenuto.replay.errors import NotInWorkflowError
from tenuto.replay.instance import Instance
from tenuto.replay.loop import WorkflowLoop


def current() -> Instance:
    loop = _get_running_loop()
    if type(loop) is not WorkflowLoop:
        raise NotInWorkflowError("this function of tenuto.workflow can only be called by a workflow's code")
    return loop.instance


class ParentInfo(Struct, frozen=True):
    """The workflow that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


class Info(Struct, frozen=True, kw_only=True):
    """What a run can know of itself."""

    attempt: int
    continued_run_id: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    namespace: str
    parent: ParentInfo | None
    root: ParentInfo | None
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_type: str

    def get_current_history_length(self) -> int:
        """Events in the history when the current workflow task began."""
        return current().history_length

    def get_current_history_size(self) -> int:
        """Bytes of the history when the current workflow task began."""
        return current().history_size

    def is_continue_as_new_suggested(self) -> bool:
        """Is the history so long that the workflow should continue as new?"""
        return current().continue_as_new_suggested


def in_workflow() -> bool:
    """Is this workflow code?"""
    return type(_get_running_loop()) is WorkflowLoop


def instance() -> Any:
    """The workflow object that is running."""
    return current().object


def info() -> Info:
    """What this run can know of itself."""
    started = current().started
    parent = started.parent
    root = started.root

    def duration(seconds: float | None) -> timedelta | None:
        return None if seconds is None else timedelta(seconds=seconds)

    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_run_id,
        execution_timeout=duration(started.execution_timeout),
        first_execution_run_id=started.first_execution_run_id,
        namespace="default",
        parent=ParentInfo("default", parent.run_id, parent.workflow_id) if parent else None,
        root=ParentInfo("default", root.run_id or "", root.workflow_id) if root else None,
        retry_policy=RetryPolicy.from_model(started.retry) if started.retry else None,
        run_id=started.run_id,
        run_timeout=duration(started.run_timeout),
        start_time=utc(started.time),
        task_queue=started.task_queue,
        task_timeout=timedelta(seconds=started.task_timeout),
        workflow_id=started.workflow_id,
        workflow_type=started.workflow_type,
    )


def memo() -> Mapping[str, Any]:
    """The memo that this run was started with, decoded."""
    this = current()
    return {key: this.converter.decode(value) for key, value in this.started.memo.items()}


def memo_value(key: str, default: Any = UNSET, *, type_hint: Any = None) -> Any:
    """One value of the memo. Raises KeyError if there is none and no default."""
    this = current()
    payload = this.started.memo.get(key)
    if payload is not None:
        return this.converter.decode(payload, type_hint)
    if default is UNSET:
        raise KeyError(f"the memo has no value {key!r}")
    return default


def cancellation_reason() -> str | None:
    """The reason given with the cancel request (it may be empty), None if there was none."""
    return current().cancel_reason


def all_handlers_finished() -> bool:
    """Have all signal and update handlers come to their end? Wait for it before the workflow ends:
    `await workflow.wait_condition(workflow.all_handlers_finished)`."""
    return current().unfinished_handlers == 0


def now() -> datetime:
    """The current time in UTC: the same on every replay."""
    return utc(current().now)


def time() -> float:
    """The current time in seconds since the epoch: the same on every replay."""
    return current().now / 1e9


def time_ns() -> int:
    """The current time in nanoseconds since the epoch: the same on every replay."""
    return current().now


def random() -> _random.Random:
    """A random generator whose numbers are the same on every replay."""
    return current().random()


def uuid4() -> UUID:
    """A random UUID, the same on every replay."""
    return current().uuid4()


def utc(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
