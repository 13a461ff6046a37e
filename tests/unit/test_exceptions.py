"""Exceptions become failures and come back as what they were; retry policies are checked."""

import asyncio
import copy
import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tenuto.common import RawValue, RetryPolicy
from tenuto.converter import DataConverter
from tenuto.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from tenuto.failures import MAX_LINKS, MAX_MESSAGE, MAX_STACK_TRACE, from_failure, to_failure
from tenuto.model.failures import ApplicationFailure, CanceledFailure, Failure
from tenuto.model.payloads import Payload
from tenuto.model.policies import Retry

converter = DataConverter.default

ACTIVITY: dict[str, Any] = {
    "scheduled_event_id": 5,
    "started_event_id": 6,
    "identity": "me",
    "activity_type": "charge",
    "activity_id": "1",
    "retry_state": RetryState.MAXIMUM_ATTEMPTS_REACHED,
}
CHILD: dict[str, Any] = {
    "namespace": "default",
    "workflow_id": "w",
    "run_id": "r",
    "workflow_type": "Ship",
    "initiated_event_id": 7,
    "started_event_id": 8,
    "retry_state": RetryState.RETRY_POLICY_NOT_SET,
}
ERRORS: list[FailureError] = [
    ApplicationError("plain"),
    ApplicationError(
        "declined",
        {"code": 51},
        None,
        type="CardDeclined",
        non_retryable=True,
        next_retry_delay=timedelta(seconds=1.5),
    ),
    CancelledError("stop", 1),
    TerminatedError("over", "why"),
    TimeoutError("late", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[3, "x"]),
    ActivityError("activity failed", **ACTIVITY),
    ChildWorkflowError("child failed", **CHILD),
]


def stored(failure: Failure) -> Failure:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(failure), type=Failure)


def fields(error: BaseException) -> dict[str, Any]:
    found = {**vars(error), "_failure": None}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def caused(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


def chain(exc: BaseException | None) -> list[BaseException]:
    found = []
    while exc is not None:
        found.append(exc)
        exc = exc.__cause__
    return found


def test_every_kind_comes_back_as_it_was() -> None:
    for error in ERRORS:
        again = from_failure(stored(to_failure(error, converter)), converter)
        assert type(again) is type(error)
        assert fields(again) == fields(error)
        assert str(again) == str(error)


def test_causes_come_back() -> None:
    error = copy.copy(ERRORS[6])
    caused(error, caused(ActivityError("failed", **ACTIVITY), ValueError("bad")))
    again = from_failure(to_failure(error, converter), converter)
    child, activity, root = chain(again)
    assert isinstance(child, ChildWorkflowError)
    assert isinstance(activity, ActivityError)
    assert isinstance(root, ApplicationError)
    assert (root.type, root.message, root.cause) == ("ValueError", "bad", None)
    assert child.cause is activity


def test_other_exceptions_go_by_class_name() -> None:
    class CardDeclined(ApplicationError):
        pass

    named = {
        ValueError("x"): "ValueError",
        CardDeclined("x"): "CardDeclined",
        CardDeclined("x", type="Mine"): "Mine",
        WorkflowAlreadyStartedError("w", "T"): "WorkflowAlreadyStartedError",
        TimeoutError("x", type=None): "TimeoutError",
    }
    for error, name in named.items():
        assert to_failure(error, converter).type_name == name


def test_asyncio_cancellation_is_a_cancellation() -> None:
    failure = to_failure(asyncio.CancelledError(), converter)
    assert failure.info == CanceledFailure()
    assert failure.message == "Cancelled"


def test_context_is_a_cause_unless_suppressed() -> None:
    def raised(suppress: bool) -> Exception:
        try:
            try:
                raise KeyError("inner")
            except KeyError:
                if suppress:
                    raise ValueError("outer") from None
                raise ValueError("outer")  # noqa: B904
        except ValueError as error:
            return error

    cause = to_failure(raised(suppress=False), converter).cause
    assert cause is not None
    assert cause.type_name == "KeyError"
    assert to_failure(raised(suppress=True), converter).cause is None


def test_a_group_is_caused_by_its_first_member() -> None:
    failure = to_failure(ExceptionGroup("two", [ERRORS[1], KeyError("second")]), converter)
    assert failure.type_name == "ExceptionGroup"
    assert failure.cause is not None
    assert failure.cause.type_name == "CardDeclined"
    assert "second" in failure.stack_trace


def test_chains_are_bounded_and_cycles_cut() -> None:
    first, second = ValueError("1"), ValueError("2")
    caused(first, second)
    caused(second, first)
    assert len(chain(from_failure(to_failure(first, converter), converter))) == 2

    error: BaseException = ValueError("root")
    for _ in range(100):
        error = caused(ValueError("above"), error)
    failure = to_failure(error, converter)
    assert len(chain(from_failure(failure, converter))) == MAX_LINKS
    # what came from a record is counted too
    again = to_failure(caused(ValueError(), from_failure(failure, converter)), converter)
    assert len(chain(from_failure(again, converter))) == MAX_LINKS


def raise_the_cause(error: FailureError) -> None:
    try:
        raise error
    except FailureError as received:
        assert received.cause is not None  # noqa: PT017
        raise received.cause  # noqa: B904


def test_a_received_error_is_recorded_as_it_was() -> None:
    failure = Failure("m", ApplicationFailure("T"), Failure("c", CanceledFailure()), "far away")
    error = from_failure(failure, converter)
    assert to_failure(error, converter) is failure
    with pytest.raises(CancelledError) as caught:
        raise_the_cause(error)
    assert to_failure(caught.value, converter) is failure.cause
    wrapped = to_failure(caused(RuntimeError("new"), error), converter)
    assert wrapped.cause is failure
    other = to_failure(caused(error, KeyError("another cause")), converter)
    assert other.cause is not None
    assert other.cause.type_name == "KeyError"


def test_texts_are_bounded_and_valid() -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("\ud800" + "x" * 100_000)
        other(n - 1)  # two functions, because one that calls itself is shown once

    def other(n: int) -> None:
        deep(n)

    with pytest.raises(ValueError, match="xxx") as caught:
        deep(400)
    failure = to_failure(caught.value, converter)
    msgspec.msgpack.encode(failure)
    assert len(failure.message) <= MAX_MESSAGE + 10
    assert "characters left out" in failure.message
    assert failure.message.startswith("\\ud800xxx")
    assert 0 < len(failure.stack_trace) <= MAX_STACK_TRACE
    assert "in deep" in failure.stack_trace


def test_the_stack_trace_shows_where_it_was_raised() -> None:
    with pytest.raises(TypeError) as caught:
        converter.encode(object())
    trace = to_failure(caught.value, converter).stack_trace
    assert "test_exceptions.py" in trace.splitlines()[0]
    assert "converter.py" in trace


def test_frames_of_tenuto_at_the_head_are_left_out() -> None:
    def encoded() -> dict[Any, Any]:
        raise KeyError("in the user's code")

    class Broken(DataConverter):
        def encode(self, value: Any) -> Payload:
            encoded()
            raise AssertionError

    with pytest.raises(KeyError) as caught:
        Broken().encode_all([1])
    assert caught.value.__traceback__ is not None
    inside = caught.value.with_traceback(caught.value.__traceback__.tb_next)  # as in a worker
    trace = to_failure(inside, converter).stack_trace
    assert "encode_all" not in trace
    assert "in encoded" in trace


def test_a_broken_str_is_no_obstacle() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise KeyError

    message = to_failure(Mute(), converter).message
    assert message == "The message could not be made: str() raised KeyError"


def test_a_detail_never_breaks_the_conversion() -> None:
    failure = to_failure(ApplicationError("m", object(), 1), converter)
    error = from_failure(failure, converter)
    assert isinstance(error, ApplicationError)
    assert "This detail is missing" in error.details[0]
    assert error.details[1] == 1

    odd = Payload(b"?", "of/others")
    error = from_failure(Failure("m", ApplicationFailure(details=[odd])), converter)
    assert isinstance(error, ApplicationError)
    assert error.details == (RawValue(odd),)


def test_errors_can_be_pickled() -> None:
    for error in [*ERRORS, WorkflowAlreadyStartedError("w", "T", run_id="r")]:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert str(again) == str(error)


def test_what_counts_as_a_cancellation() -> None:
    activity = caused(ActivityError("m", **ACTIVITY), CancelledError())
    child = caused(ChildWorkflowError("m", **CHILD), activity)
    for exc in (asyncio.CancelledError(), CancelledError(), activity, child):
        assert is_cancelled_exception(exc)
    application = caused(ApplicationError("m"), CancelledError())
    for exc in (ValueError(), application, ActivityError("m", **ACTIVITY)):
        assert not is_cancelled_exception(exc)


def test_a_retry_policy_is_stored_once_and_comes_back() -> None:
    policy = RetryPolicy(
        initial_interval=timedelta(seconds=2),
        backoff_coefficient=1.5,
        maximum_interval=timedelta(minutes=1),
        maximum_attempts=4,
        non_retryable_error_types=["A", "B"],
    )
    assert policy.to_model() == Retry(2.0, 1.5, 60.0, 4, ("A", "B"))
    assert policy.to_model() is policy.to_model()
    assert RetryPolicy.from_model(policy.to_model()) == policy
    assert RetryPolicy.from_model(Retry()) == RetryPolicy()
    assert replace(policy, maximum_attempts=5).to_model().maximum_attempts == 5
    assert hash(policy) == hash(copy.copy(policy))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial_interval", timedelta(seconds=-1)),
        ("backoff_coefficient", 0.5),
        ("backoff_coefficient", float("nan")),
        ("maximum_interval", timedelta(milliseconds=1)),
    ],
)
def test_intervals_out_of_range_are_refused_where_they_are_used(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} must .*not {value}"):
        RetryPolicy(**{field: value})
    RetryPolicy(**{field: value}, maximum_attempts=1)


def test_wrong_attempts_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match="maximum_attempts must be 0 or more, not -1"):
        RetryPolicy(maximum_attempts=-1)
    with pytest.raises(TypeError, match="initial_interval must be a timedelta, not 5"):
        RetryPolicy(initial_interval=5)  # type: ignore[arg-type]
    for names in ("ValueError", [ValueError]):
        with pytest.raises(TypeError, match="must be a list of names"):
            RetryPolicy(non_retryable_error_types=names)  # type: ignore[arg-type]
