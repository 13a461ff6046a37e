"""Hooks."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.sequence import InstantClock, Sequence, node

add = node("add")(lambda x: x + 1)


def flaky(times: int, error: type[Exception] = ConnectionError) -> Any:
    left = [error("down") for _ in range(times)]

    @node("flaky")
    def call(x: int) -> int:
        if left:
            raise left.pop()
        return x

    return call


RETRY = {"error_config": {"max_retries": 3}}


def test_order_and_context() -> None:
    workflow = Sequence(add >> flaky(1), name="w", clock=InstantClock())
    told: list[Any] = []

    def note(place: str) -> Any:
        return lambda c: told.append(
            (
                place,
                c["target_name"],
                c["result"],
                c["error"] and str(c["error"]),
                c["attempt_number"],
                c["is_final_attempt"],
            )
        )

    for place in ("pre_sequence", "pre_execution", "post_execution", "on_error", "post_sequence", "on_sequence_error"):
        getattr(workflow.hooks, place)(note(place))
    assert workflow.execute(1, config=RETRY) == 2
    assert told == [
        ("pre_sequence", "w", None, None, 1, True),
        ("pre_execution", "add", None, None, 1, False),
        ("post_execution", "add", 2, None, 1, True),
        ("pre_execution", "flaky", None, None, 1, False),
        ("on_error", "flaky", None, "down", 1, False),
        ("pre_execution", "flaky", None, None, 2, False),
        ("post_execution", "flaky", 2, None, 2, True),
        ("post_sequence", "w", 2, None, 1, True),
    ]


def test_filters() -> None:
    workflow = Sequence(add >> flaky(9), clock=InstantClock())
    told: list[str] = []

    @workflow.hooks.pre_execution("add")
    def before_add(context: dict[str, Any]) -> None:
        told.append("before add")

    @workflow.hooks.on_error(ConnectionError)
    def connection(context: dict[str, Any]) -> None:
        told.append("connection")

    @workflow.hooks.on_error(ValueError)
    def value(context: dict[str, Any]) -> None:
        told.append("value")

    @workflow.hooks.on_error("flaky", ConnectionError)
    def both(context: dict[str, Any]) -> None:
        told.append(f"both {context['is_final_attempt']}")

    @workflow.hooks.on_error("add", ConnectionError)
    def other(context: dict[str, Any]) -> None:
        told.append("other")

    @workflow.hooks.on_sequence_error
    def failed(context: dict[str, Any]) -> None:
        told.append(type(context["error"]).__name__)

    with pytest.raises(ConnectionError):
        workflow.execute(1, config={"error_config": {"max_retries": 2}})
    assert told == ["before add", "connection", "both False", "connection", "both True", "ConnectionError"]
    with pytest.raises(TypeError, match="on_error takes"):
        workflow.hooks.on_error(5)


def test_what_a_hook_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    workflow = Sequence(add)
    workflow.hooks.post_execution(lambda context: 1 / 0)
    assert workflow.execute(1) == 2
    assert "hook post_execution for 'add' failed" in caplog.text
