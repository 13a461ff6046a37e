"""Parallel blocks."""

from __future__ import annotations

import asyncio
import contextvars
import json
import pickle
import threading
import time
from typing import Any

import pytest

from tenuto.sequence import (
    ParallelExecutionError,
    ParallelResults,
    ParallelTimeoutError,
    Sequence,
    SharedState,
    node,
    parallel,
)

add = node("add")(lambda x: x + 1)
double = node("double")(lambda x: x * 2)
square = node("square")(lambda x: x * x)


@node
def fail(x: Any) -> None:
    raise KeyError(f"no {x}")


def test_branches_get_the_same_input_and_results_are_in_their_order() -> None:
    results = Sequence(add >> parallel(square, double)).execute(2)
    assert results == {"square": 9, "double": 6}
    assert list(results) == ["square", "double"]


def test_a_branch_is_named_after_the_last_node_it_executed() -> None:
    assert Sequence(parallel(add >> double, square.alias("power"))).execute(3) == {"double": 8, "power": 9}


def test_results_answer_for_earlier_nodes_but_show_only_the_branches() -> None:
    seen: dict[str, Any] = {}

    @node
    def look(results: dict[str, Any]) -> None:
        seen.update(
            upstream=results["add"],
            inner=results["square"],
            inside=("add" in results, "nothing" in results),
            get=(results.get("add"), results.get("nothing", 5), results.get("double")),
            shown=(len(results), list(results), list(results.values()), dict(results), {**results}),
        )
        with pytest.raises(KeyError):
            results["nothing"]

    Sequence(add >> parallel(square >> double, double.alias("twice")) >> look).execute(1)
    shown = {"double": 8, "twice": 4}
    assert seen == {
        "upstream": 2,
        "inner": 4,
        "inside": (True, False),
        "get": (2, 5, 8),
        "shown": (2, ["double", "twice"], [8, 4], shown, shown),
    }


def test_results_are_a_dict_for_everyone() -> None:
    results = ParallelResults({"a": 1}, {"b": 2})
    assert json.loads(json.dumps(results)) == {"a": 1}
    again = pickle.loads(pickle.dumps(results))
    assert (again, again["b"]) == ({"a": 1}, 2)


def test_equal_names_get_numbers() -> None:
    results = Sequence(parallel(add >> double, double, square >> double)).execute(3)
    assert results == {"double": 8, "double_2": 6, "double_3": 18}
    taken = Sequence(parallel(double, double.alias("double_2"), square >> double)).execute(3)
    assert taken == {"double": 6, "double_2": 6, "double_3": 18}


def test_branch_results_are_in_the_state() -> None:
    workflow = Sequence(parallel(add >> double, double))
    workflow.execute(1)
    assert (workflow.state["double"], workflow.state["double_2"]) == (4, 2)
    assert workflow.state.get_parallel_outputs() == {"double": 4, "double_2": 2}


def test_nested_blocks() -> None:
    workflow = Sequence(parallel(add >> parallel(double, square), double))
    assert workflow.execute(2) == {"parallel": {"double": 6, "square": 9}, "double": 4}


def test_a_block_by_itself() -> None:
    assert parallel(add, double)(4) == {"add": 5, "double": 8}


def test_blocks_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one branch"):
        parallel()
    with pytest.raises(TypeError):
        parallel(add, 5)
    with pytest.raises(ValueError, match="positive number"):
        parallel(add, timeout=0)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Sequence(parallel(add, double, max_concurrent=0)).execute(1)


@pytest.mark.parametrize("count", [3, 25, 95])
def test_scatter(count: int) -> None:
    @node
    def split(items: list[Any]) -> list[list[Any]]:
        return [items[i : i + 10] for i in range(0, len(items), 10)]

    @node
    def shout(chunk: list[str]) -> list[str]:
        return [text.upper() for text in chunk]

    @node
    def flatten(results: dict[str, Any]) -> list[str]:
        return [text for chunk in results.values() for text in chunk]

    texts = [f"item-{n}" for n in range(count)]
    workflow = Sequence(split >> parallel(shout, shout, shout) >> flatten)
    assert workflow.execute(texts) == [text.upper() for text in texts]
    assert workflow.state["parallel"] is None


def test_scatter_names_and_what_is_no_list() -> None:
    assert Sequence(parallel(double, double)).execute([1, 2, 3]) == {"double": 2, "double_2": 4, "double_3": 6}
    assert Sequence(parallel(double, double)).execute((1,)) == {"double": 2}
    assert Sequence(parallel(double, double)).execute(5) == {"double": 10, "double_2": 10}
    other = double.alias("double")
    assert Sequence(parallel(double, other)).execute([1]) == {"double": [1, 1], "double_2": [1, 1]}


def test_scatter_has_as_many_workers_as_branches() -> None:
    lock = threading.Lock()
    running: list[int] = [0, 0]

    @node
    def work(item: int) -> int:
        with lock:
            running[0] += 1
            running[1] = max(running)
        time.sleep(0.002)
        with lock:
            running[0] -= 1
        return item

    assert list(Sequence(parallel(*[work] * 3)).execute(list(range(12))).values()) == list(range(12))
    assert running[1] == 3
    running[1] = 0
    Sequence(parallel(*[work] * 3, max_concurrent=2)).execute(list(range(6)))
    assert running[1] == 2


def meeting(parties: int) -> Any:
    """A node that returns only when as many branches are in it at once."""
    barrier = threading.Barrier(parties)

    @node
    def meet(x: int) -> int:
        barrier.wait(timeout=5)
        return x

    return meet


def test_sync_branches_run_at_the_same_time() -> None:
    meet = meeting(3)
    assert len(Sequence(parallel(meet, meet.alias("b"), meet.alias("c"))).execute(1)) == 3


async def test_branches_of_an_async_run_do_too() -> None:
    meet = meeting(8)
    assert len(await Sequence(parallel(*[meet.alias(f"m{n}") for n in range(8)])).async_execute(1)) == 8


def test_async_branches_run_at_the_same_time() -> None:
    here: list[str] = []

    def meet(name: str) -> Any:
        @node(name)
        async def wait(x: int) -> int:
            here.append(name)
            while len(here) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            return x

        return wait

    assert Sequence(parallel(meet("a"), meet("b"))).execute(1) == {"a": 1, "b": 1}


def test_context_variables_reach_the_branches() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")
    read = node("read")(lambda x: variable.get())

    @node
    async def read_later(x: int) -> str:
        return variable.get()

    assert Sequence(parallel(read, read_later)).execute(1) == {"read": "seen", "read_later": "seen"}


def test_a_failing_branch_lets_the_others_finish() -> None:
    done = []

    @node
    def slow(x: int) -> int:
        time.sleep(0.01)
        done.append(x)
        return x

    with pytest.raises(ParallelExecutionError) as caught:
        Sequence(parallel(fail, slow)).execute(7)
    error = caught.value
    assert str(error) == "Branch 'fail' failed in parallel execution: 'no 7'"
    assert done == [7]
    assert error.results == {"slow": 7}
    assert list(error.errors) == ["fail"]
    assert error.__cause__ is error.errors["fail"]
    assert isinstance(error.__cause__, KeyError)
    assert "node 'fail'" in error.__cause__.__notes__[0]


def test_the_error_is_also_of_the_class_of_its_cause() -> None:
    with pytest.raises(KeyError) as caught:
        Sequence(parallel(fail, double)).execute(7)
    assert isinstance(caught.value, ParallelExecutionError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "gone"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "bad"),
        json.JSONDecodeError("bad", "", 0),
        StopIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_class_of_error_can_be_the_cause(error: Exception) -> None:
    @node
    def raising(x: int) -> None:
        raise error

    with pytest.raises(ParallelExecutionError, match="Branch 'raising' failed"):
        Sequence(parallel(raising, double)).execute(1)


def test_a_fallback_saves_its_branch() -> None:
    safe = fail.alias("safe")
    safe.fallback_value = []
    assert Sequence(parallel(safe, double)).execute(3) == {"safe": [], "double": 6}


def test_timeout_returns_promptly_and_ignores_what_comes_later() -> None:
    release, began = threading.Event(), []

    @node
    def stuck(x: int) -> int:
        release.wait(10)
        return x

    @node
    def never(x: int) -> None:
        began.append(x)

    workflow = Sequence(parallel(stuck >> never, double, timeout=0.03))
    before = time.monotonic()
    with pytest.raises(ParallelTimeoutError, match=r"timed out after 0.03 seconds") as caught:
        workflow.execute(2)
    assert time.monotonic() - before < 1
    assert caught.value.results == {"double": 4}
    assert isinstance(caught.value, TimeoutError)
    release.set()
    assert began == []


def test_timeout_cancels_async_branches() -> None:
    cancelled = []

    @node
    async def stuck(x: int) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(x)
            raise

    with pytest.raises(ParallelTimeoutError):
        Sequence(parallel(stuck, double, timeout=0.01)).execute(1)
    assert cancelled == [1]


def test_the_state_is_shared_by_all_branches() -> None:
    @node
    def count(x: int, state: SharedState) -> None:
        for _ in range(200):
            with state.lock:
                state["count"] = state.get("count", 0) + 1

    workflow = Sequence(parallel(*[count.alias(f"c{n}") for n in range(4)]))
    workflow.execute(1)
    assert workflow.state["count"] == 800
