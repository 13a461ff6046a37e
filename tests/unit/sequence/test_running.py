"""Where nodes run, sync and async, and what a run costs."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from tenuto.sequence import Sequence, SharedState, node, parallel

add = node("add")(lambda x: x + 1)


@node
async def later(x: int) -> int:
    await asyncio.sleep(0)
    return x + 10


@node
def thread(x: Any) -> int:
    return threading.get_ident()


def test_sync_nodes_run_in_the_callers_thread() -> None:
    assert Sequence(add >> later >> thread).execute(1) == threading.get_ident()


async def test_also_within_a_running_loop() -> None:
    assert Sequence(add >> later >> thread).execute(1) == threading.get_ident()
    assert Sequence(add >> later >> parallel(add, later)).execute(1) == {"add": 13, "later": 22}


async def test_async_nodes_of_an_async_run_are_on_the_callers_loop() -> None:
    @node
    async def loop(x: int) -> Any:
        return asyncio.get_running_loop()

    assert await Sequence(add >> loop).async_execute(1) is asyncio.get_running_loop()
    results = await Sequence(parallel(loop, loop.alias("other"))).async_execute(1)
    assert set(results.values()) == {asyncio.get_running_loop()}


async def test_sync_nodes_of_an_async_run_dont_hold_up_the_loop() -> None:
    began, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @node
    def wait(x: int) -> int:
        loop.call_soon_threadsafe(began.set)
        assert go_on.wait(5)
        return x

    running = asyncio.create_task(Sequence(wait >> thread).async_execute(1))
    await began.wait()
    go_on.set()
    assert await running != threading.get_ident()


async def test_all_kinds_of_stages_in_an_async_run() -> None:
    inner = Sequence(later >> add, name="inner")
    workflow = Sequence(add >> later >> parallel(add, later, inner) >> node("sum")(lambda r: sum(r.values())))
    assert await workflow.async_execute(0) == 12 + 21 + 22
    assert await workflow.run_async(0) == workflow.execute(0)


async def test_a_cancelled_run_begins_no_further_node() -> None:
    began, go_on, ran = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    @node
    def wait(x: int) -> int:
        loop.call_soon_threadsafe(began.set)
        assert go_on.wait(5)
        return x

    workflow = Sequence(wait >> node("next")(ran.append))
    running = asyncio.create_task(workflow.async_execute(1))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    go_on.set()
    assert await Sequence(add).async_execute(1) == 2
    assert ran == []
    assert workflow.controller.state == "error"


async def test_runs_of_one_object_at_the_same_time_dont_mix() -> None:
    @node
    async def step(x: int, state: SharedState) -> int:
        await asyncio.sleep(0)
        assert state.previous_output in (None, x)
        return x + 1

    workflow = Sequence(*[step] * 10)
    outs = await asyncio.gather(*(workflow.async_execute(n * 100) for n in range(20)))
    assert outs == [n * 100 + 10 for n in range(20)]


def test_a_sequence_within_a_node() -> None:
    inner = Sequence(later >> parallel(add, later))
    call = node("call")(lambda x: inner.execute(x)["add"])

    @node
    async def call_from_a_loop(x: int) -> int:
        return int(inner.execute(x)["add"])

    assert Sequence(call >> call_from_a_loop >> parallel(call, call_from_a_loop)).execute(0) == {
        "call": 33,
        "call_from_a_loop": 33,
    }


def test_threads_are_used_again() -> None:
    def ids() -> set[int]:
        return set(Sequence(parallel(thread, thread.alias("b"))).execute(1).values())

    ids()
    before = threading.active_count()
    for _ in range(20):
        ids()
    assert threading.active_count() <= before + 2


def test_nothing_is_left_behind_by_a_run() -> None:
    @node
    async def start(x: int) -> int:
        asyncio.get_running_loop().create_task(asyncio.sleep(60))
        return x

    assert Sequence(start).execute(1) == 1
    gc.collect()


def test_overhead_of_a_node_is_small() -> None:
    workflow = Sequence(*[add] * 100)
    workflow.execute(0)
    best = min(_seconds(workflow) for _ in range(20))
    assert best / 100 < 15e-6


def test_three_branches_of_100_ms() -> None:
    sleep = node("sleep")(lambda x: time.sleep(0.1))

    @node
    async def sleep_later(x: int) -> None:
        await asyncio.sleep(0.1)

    for block in (parallel(sleep, sleep.alias("b"), sleep.alias("c")), parallel(sleep, sleep_later, sleep.alias("c"))):
        workflow = Sequence(add >> block)
        assert min(_seconds(workflow) for _ in range(3)) < 0.13


def _seconds(workflow: Sequence) -> float:
    before = time.perf_counter()
    workflow.execute(0)
    return time.perf_counter() - before


def test_streaming() -> None:
    workflow = Sequence(add >> later >> parallel(add.alias("b"), later.alias("c")) >> node("last")(len))
    first, second, *branches, last = workflow.stream(0)
    assert (first, second, last) == (("add", 1), ("later", 11), ("last", 2))
    assert sorted(branches) == [("b", 12), ("c", 21)]
    assert workflow.state.final_output == 2
    assert workflow.controller.state == "completed"


def test_streaming_gives_each_output_before_the_next_node_begins() -> None:
    ran: list[int] = []

    @node
    def step(x: int) -> int:
        ran.append(x)
        return x + 1

    workflow = Sequence(*[step] * 5)
    stream = workflow.stream(0)
    assert next(stream) == ("step", 1)
    assert ran == [0]
    stream.close()
    assert ran == [0]
    assert workflow.controller.state == "stopped"


def test_streaming_raises_the_nodes_error() -> None:
    stream = Sequence(add >> node("fail")(lambda x: 1 / 0)).stream(0)
    assert next(stream) == ("add", 1)
    with pytest.raises(ZeroDivisionError):
        next(stream)
