"""What is promised about sequences in memory where the notation leaves room: one test each."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest

import tenuto.sequence
from tenuto.sequence import (
    ParallelExecutionError,
    ParallelTimeoutError,
    PerformanceThreshold,
    Sequence,
    SharedState,
    _,
    decision,
    node,
    parallel,
    set_type_checking_mode,
    type_checking_mode,
    validate_sequence,
    workflow_state,
)

add = node("add")(lambda x: x + 1)
double = node("double")(lambda x: x * 2)


@node
def total(value: int, state: SharedState) -> int:
    state["total"] = state.get("total", 0) + value
    return value


def test_a_name_is_derived_from_the_nodes_and_the_same_in_every_process() -> None:
    script = "from tenuto.sequence import *\nf = lambda x: x\nprint(Sequence(node('add')(f) >> node('double')(f)).name)"
    there = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert there == [Sequence(add >> double).name] * 2
    assert Sequence(add >> double, name="given").name == "given"


def test_state_is_kept_from_execute_to_execute_and_calling_resets_it() -> None:
    workflow = Sequence(total)
    assert [workflow.execute(5) and workflow.state["total"] for _ in range(2)] == [5, 10]
    workflow(5)
    assert workflow.state["total"] == 5


def test_two_nodes_of_one_name_are_two_steps() -> None:
    workflow = Sequence(add >> add >> node("add")(lambda x: x * 10))
    assert workflow.execute(0) == 20
    assert [e.key for e in workflow.controller.execution_history.entries] == ["add-1", "add-2", "add-3"]
    assert [workflow.state.get_node_output("add", n) for n in range(3)] == [1, 2, 20]


def test_max_retries_counts_attempts() -> None:
    calls: list[int] = []

    @node
    def fail(x: int) -> None:
        calls.append(x)
        raise ConnectionError

    for max_retries, expected in ((0, 1), (1, 1), (3, 3)):
        calls.clear()
        with pytest.raises(ConnectionError):
            Sequence(fail).execute(1, config={"error_config": {"max_retries": max_retries, "base_delay": 0}})
        assert len(calls) == expected


def test_permissive_honours_max_retries() -> None:
    calls: list[int] = []

    @node
    def fail(x: int) -> None:
        calls.append(x)
        raise ValueError("no")

    config = {"strategy": "permissive", "max_retries": 2, "base_delay": 0}
    with pytest.raises(ValueError, match="no"):
        Sequence(fail).execute(1, config={"error_config": config})
    assert len(calls) == 2


def test_cycles_made_by_hand_are_seen() -> None:
    for tie in (lambda a, b: setattr(b, "next_node", a), lambda a, b: b.connect(a)):
        a, b = node("a")(lambda x: x), node("b")(lambda x: x)
        workflow = Sequence(a >> b)
        assert validate_sequence(workflow).is_valid
        tie(a, b)
        result = validate_sequence(workflow)
        assert not result.is_valid
        assert "cycle" in result.errors[0].message.lower()


def test_iterating_a_state_yields_pairs_and_dict_works() -> None:
    state = SharedState({"a": 1, "b": 2})
    assert [(key, value) for key, value in state] == [("a", 1), ("b", 2)]
    assert dict(state) == {"a": 1, "b": 2}


def test_scattering_an_empty_list_gives_an_empty_dict() -> None:
    assert Sequence(parallel(double, double, double)).execute([]) == {}


async def test_a_blocks_timeout_returns_promptly() -> None:
    sleep = node("sleep")(lambda x: time.sleep(1))

    @node
    async def sleep_later(x: int) -> None:
        await asyncio.sleep(30)

    @node
    async def stubborn(x: int) -> None:
        for _attempt in range(3):
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                continue

    workflow = Sequence(parallel(sleep, sleep_later, stubborn, timeout=0.05))
    for way in ("sync", "async"):
        before = time.monotonic()
        with pytest.raises(ParallelTimeoutError, match="timed out after"):
            await (asyncio.to_thread(workflow.execute, 1) if way == "sync" else workflow.async_execute(1))
        assert time.monotonic() - before < 0.9


def test_types_lambdas_and_values_left_of_a_node_in_a_decision() -> None:
    names = node("text")(lambda x: "text"), node("big")(lambda x: "big"), node("five")(lambda x: "five")
    text, big, five = names
    workflow = Sequence(decision(str >> text, (lambda x: x > 10) >> big, 5 >> five, _ >> double))
    assert [workflow.execute(x) for x in ("a", 11, 5, 3)] == ["text", "big", "five", 6]


def test_max_iter_3_is_three_jumps_back_then_the_current_value_goes_on() -> None:
    calls: list[int] = []

    @node
    def count(x: int) -> int:
        calls.append(x)
        return x + 1

    again = (lambda x: True) >> count
    assert Sequence(count >> decision(again, "never" >> double, max_iter=3) >> double).execute(0) == 8
    assert calls == [0, 1, 2, 3]


def test_what_the_package_exports() -> None:
    for name in ("PerformanceThreshold", "workflow_state", "ParallelExecutionError", "ParallelTimeoutError"):
        assert name in tenuto.sequence.__all__
    assert {PerformanceThreshold, workflow_state, ParallelExecutionError, ParallelTimeoutError}
    assert sorted(tenuto.sequence.__all__) == tenuto.sequence.__all__
    assert all(hasattr(tenuto.sequence, name) for name in tenuto.sequence.__all__)


def test_a_nodes_own_error_comes_unchanged_with_a_note() -> None:
    error = LookupError("lost")

    @node
    def lose(x: int) -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        Sequence(add >> lose, name="w").execute(1, config={"error_config": {"max_retries": 2, "base_delay": 0}})
    assert caught.value is error
    assert error.args == ("lost",)
    assert error.__notes__ == ["in workflow 'w': node 'lose', position 2 of 2, attempt 2 of 2"]


def test_type_errors_name_both_types_while_building() -> None:
    @node
    def text() -> str:
        return ""

    @node
    def number(n: int) -> int:
        return n

    with type_checking_mode(strict=False):
        set_type_checking_mode(strict=True)
        with pytest.raises(TypeError, match="Type mismatch: text returns str but number expects int"):
            text >> number


def test_the_aggregator_of_the_fan_out_reads_upstream_and_branches() -> None:
    @node
    def fetch_user(user_id: int) -> dict[str, Any]:
        return {"name": "Ann"}

    @node
    def fetch_orders(user_id: int) -> list[int]:
        return [user_id]

    @node
    def fetch_settings(user_id: int) -> dict[str, int]:
        return {"of": user_id}

    @node
    def aggregate(results: dict[str, Any]) -> Any:
        return results["fetch_user"]["name"], results["fetch_orders"], results["fetch_settings"]

    workflow = Sequence(fetch_user >> parallel(fetch_orders, fetch_settings) >> aggregate)
    assert workflow.execute(123) == ("Ann", [123], {"of": 123})
