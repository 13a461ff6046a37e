"""Exceptions to failures, as they are recorded, and back.

Bounds: 32 links of a chain of causes, 50,000 characters of a message, 20,000 of a stack trace;
what lies beyond is left out.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from tenuto.common import RawValue
from tenuto.converter import DataConverter
from tenuto.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    TerminatedError,
    TimeoutError,
)
from tenuto.model.errors import PayloadError
from tenuto.model.failures import (
    ActivityFailure,
    ApplicationFailure,
    CanceledFailure,
    ChildWorkflowFailure,
    Failure,
    FailureInfo,
    TerminatedFailure,
    TimeoutFailure,
)
from tenuto.model.payloads import Payload

__all__ = ["from_failure", "to_failure"]

MAX_LINKS = 32
MAX_MESSAGE = 50_000
MAX_STACK_TRACE = 20_000

#: Who wants to see exceptions as they are, beside the records that are made of them: tests do.
witnesses: list[Callable[[BaseException, Failure], None]] = []

_PACKAGE = str(Path(__file__).parent) + os.sep


def to_failure(exc: BaseException, converter: DataConverter) -> Failure:
    """The record of `exc` and of what caused it. Never raises.

    The errors of `tenuto.exceptions` keep their kind, `asyncio.CancelledError` is a cancellation,
    any other is an application failure with the name of its class as type. The cause is
    `__cause__`, else the `__context__` if it is not suppressed, else the first exception of a
    group. An error that `from_failure` made is recorded as it was. A detail that can't be encoded
    is replaced with a text that says so.
    """
    links: list[Failure] = []
    seen: set[int] = set()
    here: BaseException | None = exc
    while here is not None and id(here) not in seen and len(links) < MAX_LINKS:
        seen.add(id(here))
        recorded = _recorded(here)
        if recorded is None:
            links.append(_link(here, converter))
            here = _beneath(here)
        else:
            links.extend(_links_of(recorded, MAX_LINKS - len(links)))
            break
    cause: Failure | None = None
    for link in reversed(links):
        cause = link if link.cause is cause else replace(link, cause=cause)
    assert cause is not None
    for tell in witnesses:
        tell(exc, cause)
    return cause


def from_failure(failure: Failure, converter: DataConverter) -> FailureError:
    """The exception that `failure` stands for, its causes chained as `__cause__`.

    Details come back as plain builtins; one that can't be decoded as `RawValue`. Never raises.
    """
    links: list[Failure] = []
    link: Failure | None = failure
    while link is not None:
        links.append(link)
        link = link.cause
    error: FailureError | None = None
    for link in reversed(links):
        cause, error = error, _error(link, converter)
        error.__cause__ = cause  # also suppresses the context, wherever it is raised
    assert error is not None
    return error


def _recorded(exc: BaseException) -> Failure | None:
    """The record `exc` was made from, unless it was given another cause since."""
    if not isinstance(exc, FailureError) or exc.failure is None:
        return None
    beneath = exc.__cause__.failure if isinstance(exc.__cause__, FailureError) else None
    if exc.__cause__ is not None and beneath is None:
        return None
    return exc.failure if beneath is exc.failure.cause else None


def _links_of(failure: Failure, limit: int) -> Iterable[Failure]:
    link: Failure | None = failure
    for _ in range(limit):
        if link is None:
            return
        yield link
        link = link.cause


def _beneath(exc: BaseException) -> BaseException | None:
    if exc.__cause__ is not None:
        return exc.__cause__
    if exc.__context__ is not None and not exc.__suppress_context__:
        return exc.__context__
    if isinstance(exc, BaseExceptionGroup):
        first: BaseException = exc.exceptions[0]
        return first
    return None


def _link(exc: BaseException, converter: DataConverter) -> Failure:
    return Failure(
        message=_bounded(_message(exc), MAX_MESSAGE),
        info=_info(exc, converter),
        stack_trace=_bounded(_stack_trace(exc), MAX_STACK_TRACE),
    )


def _info(exc: BaseException, converter: DataConverter) -> FailureInfo:
    match exc:
        case ApplicationError():
            delay = exc.next_retry_delay
            named = None if type(exc) is ApplicationError else type(exc).__name__
            return ApplicationFailure(
                type=exc.type or named,
                non_retryable=exc.non_retryable,
                details=_encoded(exc.details, converter),
                next_retry_delay=None if delay is None else delay.total_seconds(),
            )
        case CancelledError():
            return CanceledFailure(_encoded(exc.details, converter))
        case asyncio.CancelledError():
            return CanceledFailure()
        case TerminatedError():
            return TerminatedFailure(_encoded(exc.details, converter))
        case TimeoutError(type=kind) if kind is not None:
            return TimeoutFailure(kind, _encoded(exc.last_heartbeat_details, converter))
        case ActivityError():
            return ActivityFailure(
                scheduled_event_id=exc.scheduled_event_id,
                started_event_id=exc.started_event_id,
                activity_id=exc.activity_id,
                activity_type=exc.activity_type,
                identity=exc.identity,
                retry_state=exc.retry_state,
            )
        case ChildWorkflowError():
            return ChildWorkflowFailure(
                namespace=exc.namespace,
                workflow_id=exc.workflow_id,
                run_id=exc.run_id,
                workflow_type=exc.workflow_type,
                initiated_event_id=exc.initiated_event_id,
                started_event_id=exc.started_event_id,
                retry_state=exc.retry_state,
            )
    return ApplicationFailure(type=type(exc).__name__)


def _error(failure: Failure, converter: DataConverter) -> FailureError:
    match failure.info:
        case ApplicationFailure() as info:
            delay = info.next_retry_delay
            return ApplicationError(
                failure.message,
                *_decoded(info.details, converter),
                type=info.type,
                non_retryable=info.non_retryable,
                next_retry_delay=None if delay is None else timedelta(seconds=delay),
                failure=failure,
            )
        case CanceledFailure(details=details):
            return CancelledError(failure.message, *_decoded(details, converter), failure=failure)
        case TerminatedFailure(details=details):
            return TerminatedError(failure.message, *_decoded(details, converter), failure=failure)
        case TimeoutFailure() as info:
            return TimeoutError(
                failure.message,
                type=info.type,
                last_heartbeat_details=_decoded(info.last_heartbeat_details, converter),
                failure=failure,
            )
        case ActivityFailure() as info:
            return ActivityError(
                failure.message,
                scheduled_event_id=info.scheduled_event_id,
                started_event_id=info.started_event_id,
                identity=info.identity,
                activity_type=info.activity_type,
                activity_id=info.activity_id,
                retry_state=info.retry_state,
                failure=failure,
            )
        case ChildWorkflowFailure() as info:
            return ChildWorkflowError(
                failure.message,
                namespace=info.namespace,
                workflow_id=info.workflow_id,
                run_id=info.run_id,
                workflow_type=info.workflow_type,
                initiated_event_id=info.initiated_event_id,
                started_event_id=info.started_event_id,
                retry_state=info.retry_state,
                failure=failure,
            )


def _encoded(details: Iterable[Any], converter: DataConverter) -> list[Payload]:
    payloads = []
    for detail in details:
        try:
            payload = converter.encode(detail)
        except PayloadError as error:
            text = _bounded(f"This detail is missing. {error}", 2_000)
            payload = DataConverter.default.encode(text)  # whatever the limits of `converter`
        payloads.append(payload)
    return payloads


def _decoded(details: Iterable[Payload], converter: DataConverter) -> list[Any]:
    values = []
    for payload in details:
        try:
            value = converter.decode(payload)
        except PayloadError:
            value = RawValue(payload)
        values.append(value)
    return values


def _message(exc: BaseException) -> str:
    if isinstance(exc, FailureError):
        return str(exc.message)
    try:
        message = str(exc)
    except Exception as error:  # noqa: BLE001  # a user's __str__ may raise anything
        return f"The message could not be made: str() raised {type(error).__name__}"
    return message or ("Cancelled" if isinstance(exc, asyncio.CancelledError) else "")


def _stack_trace(exc: BaseException) -> str:
    if isinstance(exc, BaseExceptionGroup):  # with those of its members
        return "".join(traceback.format_exception(exc, chain=False))
    return "".join(traceback.format_tb(_users_part(exc.__traceback__)))


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """The trace from the first frame outside of Tenuto; all of it if there is none outside."""
    here = trace
    while here is not None and here.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        here = here.tb_next
    return here or trace


def _bounded(text: str, limit: int) -> str:
    """`text` as valid UTF-8, its middle left out if it is longer than `limit` characters."""
    if len(text) > limit:
        half = limit // 2 - 20
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n... {left_out} characters left out ...\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
