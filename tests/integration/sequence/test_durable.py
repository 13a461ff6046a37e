"""A Sequence is a workflow like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tenuto import workflow as code
from tenuto.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from tenuto.exceptions import ApplicationError, CancelledError
from tenuto.sequence import (
    CircuitOpenError,
    RetryableError,
    Sequence,
    SharedState,
    _,
    child_workflow,
    decision,
    node,
    parallel,
    workflow_state,
)
from tenuto.worker import Worker
from tests.support.durable import an_id

FAST = {"error_config": {"base_delay": 0.001, "max_retries": 3}}


@asynccontextmanager
async def serving(*workflows: Any, url: str = "memory://", **worker: Any) -> AsyncIterator[Client]:
    async with await Client.connect(url) as client, Worker(client, workflows=list(workflows), **worker):
        yield client


async def run(sequence: Sequence, *args: Any, **worker: Any) -> Any:
    """Its result as a durable execution."""
    async with serving(sequence, **worker) as client:
        return await client.execute_workflow(sequence, args=args, id=an_id())


async def failure(sequence: Sequence, *args: Any, **worker: Any) -> BaseException:
    with pytest.raises(WorkflowFailureError) as caught:
        await run(sequence, *args, **worker)
    assert caught.value.cause is not None
    return caught.value.cause


add = node("add")(lambda x: x + 1)
double = node("double")(lambda x: x * 2)


@node
async def later(x: int) -> int:
    await asyncio.sleep(0)
    return x + 10


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


async def test_sync_and_async_nodes() -> None:
    sequence = Sequence(add >> later >> double, name="sums")
    async with serving(sequence) as client:
        handle = await client.start_workflow(sequence, 1, id=an_id())
        assert await handle.result() == 24
        description = await handle.describe()
        assert description.workflow_type == "sums"
        assert await client.execute_workflow("sums", 2, id=an_id()) == 26
    assert sequence.execute(1) == 24


async def test_an_unnamed_sequence_is_known_by_its_derived_name() -> None:
    sequence = Sequence(add >> double)
    async with serving(sequence) as client:
        assert await client.execute_workflow(sequence.name, 1, id=an_id()) == 4


async def test_each_node_is_a_step_told_apart_by_place_and_occurrence() -> None:
    sequence = Sequence(add >> add >> parallel(add >> add, add) >> node("end")(len))
    async with serving(sequence) as client:
        handle = await client.start_workflow(sequence, 0, id=an_id())
        assert await handle.result() == 2
        events = (await handle.fetch_history()).to_json_dict()["events"]
    ids = {
        e["activityTaskScheduledEventAttributes"]["activityId"]
        for e in events
        if "activityTaskScheduledEventAttributes" in e
    }
    assert ids == {"add-1", "add-2", "1.1/add-1", "1.1/add-2", "1.2/add-1", "end-1"}


async def test_arguments() -> None:
    assert await run(Sequence(node("minus")(lambda a, b: a - b)), 5, 2) == 3
    assert await run(Sequence(node("nothing")(lambda: 7))) == 7


@dataclass
class User:
    name: str
    age: int = 0


async def test_typed_values_come_back_as_annotated() -> None:
    @node
    def older(user: User) -> User:
        return User(user.name, user.age + 1)

    @node
    def pair(user: User) -> tuple[User, set[int]]:
        return user, {1, 2}

    @node
    def check(user: User, numbers: set[int]) -> User:
        assert (type(user), numbers) == (User, {1, 2})
        return user

    assert await run(Sequence(older >> pair >> check), User("ann", 40)) == User("ann", 41)


async def test_without_annotations_the_class_comes_back_all_the_same() -> None:
    @node
    def make(x, state: SharedState):  # type: ignore[no-untyped-def]
        state["user"] = User("ann", x)
        return (User("bob", x), {x}, (x, x))

    @node
    def split(user, numbers, pair):  # type: ignore[no-untyped-def]
        return {"types": [type(user).__name__, type(numbers).__name__, type(pair).__name__]}

    @node
    def tuples(x):  # type: ignore[no-untyped-def]
        return (x, x)

    @node
    def look(value, state: SharedState):  # type: ignore[no-untyped-def]
        return type(value).__name__, type(state["user"]).__name__

    older = decision((lambda value, state: state["user"].age > 1) >> look, _ >> node("young")(lambda value: "young"))
    sequence = Sequence(make >> tuples >> older)
    assert await run(sequence, 5, max_cached_workflows=0) == ["tuple", "User"]
    assert await run(sequence, 0, max_cached_workflows=0) == "young"
    # Within a tuple they are plain, unless an annotation says more.
    assert await run(Sequence(make >> split), 5) == {"types": ["dict", "list", "list"]}


async def test_annotations_that_are_wrong_dont_matter() -> None:
    @node
    def wrong(x: int) -> dict:  # type: ignore[type-arg]
        return [x]  # type: ignore[return-value]

    assert await run(Sequence(wrong), 1) == [1]


@pytest.mark.parametrize("value", [None, b"bytes", "text", [1, None], {"a": {"b": 1.5}}])
async def test_values_of_all_kinds(value: Any) -> None:
    same = node("same")(lambda x: x)
    assert await run(Sequence(same >> same), value) == value


async def test_the_shared_state_comes_back() -> None:
    @node
    def count(x: int, state: SharedState) -> int:
        state["count"] = state.get("count", 0) + 1
        state.setdefault("seen", []).append(x)
        state.pop("gone", None) if "gone" in state else state.update(gone=1)
        return x + 1

    @node
    def look(x: int, state: SharedState) -> Any:
        return dict(state), workflow_state("count"), state[-1], state.get_node_output("count", 0)

    sequence = Sequence(count >> count >> count >> look)
    expected = [{"count": 3, "seen": [0, 1, 2], "gone": 1}, 3, 3, 1]
    expected[0] = {"count": 3, "seen": [0, 1, 2], "gone": 1}
    in_memory = sequence.execute(0)
    for cached in (1000, 0):
        result = await run(sequence, 0, max_cached_workflows=cached)
        assert result == [{"count": 3, "seen": [0, 1, 2], "gone": 1}, 3, 3, 1]
        assert result == list(in_memory)


async def test_each_execution_has_a_state_of_its_own() -> None:
    @node
    def count(x: int, state: SharedState) -> int:
        state["count"] = state.get("count", 0) + 1
        return int(state["count"])

    sequence = Sequence(count >> count)
    assert sequence.execute(0) == 2
    async with serving(sequence) as client:
        assert [await client.execute_workflow(sequence, 0, id=an_id()) for _ in range(2)] == [2, 2]


async def test_branches_see_what_others_set() -> None:
    @node
    def count(x: int, state: SharedState) -> int:
        with state.lock:
            state["count"] = state.get("count", 0) + 1
        return x

    total = node("total")(lambda results: workflow_state("count"))
    sequence = Sequence(parallel(*[count.alias(f"c{n}") for n in range(5)]) >> total)
    for cached in (1000, 0):
        assert await run(sequence, 0, max_cached_workflows=cached) == 5


async def test_a_failed_attempt_leaves_no_traces() -> None:
    calls = []

    @node("try", max_retries=2)
    def attempt(items: list[int], state: SharedState) -> Any:
        calls.append(1)
        items.append(9)
        state["tries"] = state.get("tries", 0) + 1
        state["list"].append(5)
        if len(calls) == 1:
            raise RetryableError("again", retry_after=0)
        return items, state["tries"], state["list"]

    @node
    def begin(x: int, state: SharedState) -> list[int]:
        state["list"] = [1]
        return [x]

    assert await run(Sequence(begin >> attempt), 0) == [[0, 9], 1, [1, 5]]


async def test_results_of_a_block_answer_for_earlier_nodes() -> None:
    @node
    def fetch_user(user_id: int) -> dict[str, int]:
        return {"id": user_id}

    @node
    def fetch_orders(user_id: int) -> list[int]:
        return [user_id]

    gather = node("gather")(lambda r: (r["fetch_user"], r["fetch_orders"], r["double"], list(r)))
    length = node("double")(len)
    sequence = Sequence(fetch_user >> parallel(fetch_orders, length) >> gather)
    for cached in (1000, 0):
        result = await run(sequence, 7, max_cached_workflows=cached)
        assert result == [{"id": 7}, [7], 1, ["fetch_orders", "double"]]


async def test_scatter_and_caps() -> None:
    running = [0, 0]

    @node
    async def work(x: int) -> int:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.01)
        running[0] -= 1
        return x * 2

    values = node("values")(lambda r: list(r.values()))
    assert await run(Sequence(parallel(work, work) >> values), [1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]
    assert running[1] == 2
    assert await run(Sequence(parallel(work, work) >> values), []) == []


async def test_decisions_and_loops() -> None:
    @node.router
    def size(n: int) -> str:
        return "small" if n < 5 else "big"

    sequence = Sequence(add >> size >> decision("small" >> add, "big" >> double, max_iter=9) >> later)
    assert await run(sequence, 0, max_cached_workflows=0) == sequence.execute(0) == 20
    capped = Sequence(add >> decision((lambda n: True) >> add, "x" >> double, max_iter=3))
    assert await run(capped, 0) == 4
    either = Sequence(decision(int >> add, _ >> node("length")(len)))
    assert await run(either, 4) == 5
    assert await run(either, "four") == 4


async def test_nested_sequences() -> None:
    inner = Sequence(add >> double, name="inner")
    assert await run(Sequence(inner >> later >> parallel(inner, add)), 1) == {"inner": 30, "add": 15}


async def test_retries_by_the_policy_of_the_node() -> None:
    flaky = Flaky(ConnectionError(), RetryableError("busy", retry_after=0.001))
    made = node("flaky", max_retries=3)(flaky)
    sequence = Sequence(made)
    assert await sequence.async_execute(5, config=FAST, durable="memory://") == 5
    assert flaky.calls == 3


async def test_retries_by_the_config_of_the_sequence() -> None:
    flaky = Flaky(*[ConnectionError()] * 2)
    assert await run(Sequence(node("flaky")(flaky), config=FAST), 5) == 5
    assert flaky.calls == 3


async def test_what_isnt_retried_fails_the_run_with_the_nodes_error() -> None:
    flaky = Flaky(*[ValueError("no such user")] * 9)
    error = await failure(Sequence(add >> node("check", max_retries=5)(flaky) >> double), 1)
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == ("ValueError", "no such user")
    assert flaky.calls == 1


async def test_an_error_that_no_other_process_knows() -> None:
    class Odd(Exception):
        pass

    error = await failure(Sequence(node("odd")(Flaky(Odd("strange")))), 1)
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == ("Odd", "strange")


async def test_fallbacks() -> None:
    failing = node("failing", fallback_value=["default"])(Flaky(*[ConnectionError()] * 9))
    assert await run(Sequence(failing >> node("length")(len)), 1) == 1


async def test_a_failing_branch() -> None:
    failing = node("failing")(Flaky(KeyError("k")))
    error = await failure(Sequence(parallel(add, failing)), 1)
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == (
        "ParallelExecutionError",
        "Branch 'failing' failed in parallel execution: 'k'",
    )
    assert isinstance(error.__cause__, ApplicationError)
    assert (error.__cause__.type, error.__cause__.message) == ("KeyError", "'k'")


async def test_what_cant_be_stored_fails_once_and_names_the_node() -> None:
    calls = []

    @node("lazy", max_retries=5)
    def lazy(x: int) -> Any:
        calls.append(x)
        return (n for n in range(x))

    error = await failure(Sequence(add >> lazy), 1)
    assert "the output of node 'lazy' can't be stored" in str(error)
    assert len(calls) == 1

    @node
    def spoil(x: int, state: SharedState) -> int:
        state["lock"] = object()
        return x

    assert "node 'spoil' set the key 'lock' of the shared state" in str(await failure(Sequence(spoil), 1))


async def test_a_blocks_timeout() -> None:
    @node
    async def stuck(x: int) -> None:
        await asyncio.sleep(60)

    for cached in (1000, 0):
        error = await failure(Sequence(parallel(stuck, add, timeout=0.05)), 1, max_cached_workflows=cached)
        assert isinstance(error, ApplicationError)
        assert (error.type, error.message) == (
            "ParallelTimeoutError",
            "the parallel block timed out after 0.05 seconds",
        )


async def test_a_saga() -> None:
    log: list[Any] = []
    reserve = node("reserve")(lambda order: f"r-{order}").compensate_with(node("release")(log.append))
    charge = node("charge")(lambda r: f"c-{r}").compensate_with(node("refund")(log.append))
    error = await failure(Sequence(reserve >> charge >> node("ship")(Flaky(ValueError("no address")))), 1)
    assert "no address" in str(error)
    assert log == ["c-r-1", "r-1"]


async def test_a_cancelled_run_undoes_what_was_done() -> None:
    log: list[Any] = []
    began = asyncio.Event()

    @node
    async def ship(order: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    reserve = node("reserve")(lambda order: f"r-{order}").compensate_with(node("release")(log.append))
    sequence = Sequence(reserve >> ship)
    for cached in (1000, 0):
        async with serving(sequence, max_cached_workflows=cached) as client:
            handle = await client.start_workflow(sequence, 1, id=an_id())
            await began.wait()
            await handle.cancel()
            with pytest.raises(WorkflowFailureError) as caught:
                await handle.result()
            assert isinstance(caught.value.cause, CancelledError)
            assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
        assert log == ["r-1"]
        log.clear()
        began.clear()


async def test_a_sequence_as_a_child_of_durable_code() -> None:
    sequence = Sequence(add >> double, name=f"child-{an_id()}")

    @code.defn
    class Parent:
        @code.run
        async def run(self, x: int) -> Any:
            return await code.execute_child_workflow(sequence, x, id=f"{code.info().workflow_id}/child")

    async with serving(Parent, sequence) as client:
        assert await client.execute_workflow(Parent.run, 2, id=an_id()) == 6


@code.defn
class Square:
    @code.run
    async def run(self, x: int) -> int:
        if x < 0:
            raise ApplicationError("negative")
        return x * x


async def test_children_of_a_sequence() -> None:
    inner = Sequence(add >> double, name="inner")
    sequence = Sequence(add >> parallel(child_workflow(Square), child_workflow(inner, "in")) >> node("end")(dict))
    async with serving(sequence, inner, Square) as client:
        handle = await client.start_workflow(sequence, 2, id="with-children")
        assert await handle.result() == {"Square": 9, "in": 8}
        assert await client.get_workflow_handle("with-children/1.1/Square-1").result() == 9
        with pytest.raises(WorkflowFailureError, match="Branch 'Square' failed in parallel execution"):
            await client.execute_workflow(sequence, -2, id=an_id())
    assert Sequence(add >> child_workflow(inner)).execute(1) == 6
    with pytest.raises(Exception, match="'Square' is a child workflow that needs a durable run"):
        sequence.execute(2)


async def test_the_state_can_be_asked_for() -> None:
    @node
    def keep(x: int, state: SharedState) -> int:
        state["kept"] = x
        return x + 1

    sequence = Sequence(keep)
    async with serving(sequence) as client:
        handle = await client.start_workflow(sequence, 1, id=an_id())
        await handle.result()
        assert await handle.query("state") == {"keep": 2, "kept": 1}


async def test_an_empty_sequence_and_wrong_arguments_fail_the_run() -> None:
    assert "has no nodes" in str(await failure(Sequence(name="empty"), 1))
    assert "needs ['a', 'b']" in str(await failure(Sequence(node("two")(lambda a, b: None))))


async def test_circuits_are_those_of_the_process() -> None:
    from tenuto.sequence import Circuit

    service = node("service", circuit=Circuit(failures=1))(Flaky(*[ConnectionError("down")] * 9))
    sequence = Sequence(service)
    assert "down" in str(await failure(sequence, 1))
    error = await failure(sequence, 1)
    assert isinstance(error, ApplicationError)
    assert error.type == CircuitOpenError.__name__
