"""What nodes can be given to look after them: circuits, caches, compensations."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tenuto.sequence import (
    Cache,
    Circuit,
    CircuitOpenError,
    InstantClock,
    Sequence,
    SharedState,
    WorkflowError,
    node,
    parallel,
)


class Service:
    def __init__(self) -> None:
        self.calls = 0
        self.down = False

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        if self.down:
            raise ConnectionError("down")
        return x


def guarded(clock: InstantClock) -> tuple[Service, Circuit, Sequence]:
    service, circuit = Service(), Circuit(failures=3, reset="5m", clock=clock)
    return service, circuit, Sequence(node("service", circuit=circuit)(service))


def fail(workflow: Sequence, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            workflow.execute(1)


def test_a_circuit_opens_after_failures_in_a_row() -> None:
    service, circuit, workflow = guarded(InstantClock())
    service.down = True
    fail(workflow, 2)
    service.down = False
    workflow.execute(1)
    service.down = True
    fail(workflow, 3)
    assert (service.calls, circuit.is_open) == (6, True)
    with pytest.raises(CircuitOpenError, match=r"'service' was not called: its circuit is open after 3 failures"):
        workflow.execute(1)
    assert service.calls == 6


def test_a_circuit_lets_one_call_try_after_the_reset() -> None:
    clock = InstantClock()
    service, circuit, workflow = guarded(clock)
    service.down = True
    fail(workflow, 3)
    clock.advance(300)
    assert not circuit.is_open
    fail(workflow, 1)
    with pytest.raises(CircuitOpenError):
        workflow.execute(1)
    clock.advance(300)
    service.down = False
    assert workflow.execute(7) == 7
    service.down = True
    fail(workflow, 3)


def test_an_open_circuit_isnt_retried_and_can_be_closed() -> None:
    service, circuit, workflow = guarded(InstantClock())
    service.down = True
    fail(workflow, 3)
    with pytest.raises(CircuitOpenError):
        workflow.execute(1, config={"error_config": {"strategy": "permissive", "base_delay": 0}})
    circuit.close()
    service.down = False
    assert workflow.execute(1) == 1


def test_attempts_go_through_the_circuit() -> None:
    service, circuit = Service(), Circuit(failures=2, clock=InstantClock())
    service.down = True
    with pytest.raises(CircuitOpenError):
        Sequence(node(circuit=circuit)(service), clock=InstantClock()).execute(
            1, config={"error_config": {"max_retries": 9}}
        )
    assert service.calls == 2


async def test_an_async_node_in_a_circuit() -> None:
    @node("service", circuit=Circuit(failures=1, reset=timedelta(hours=1)), fallback_value="cached")
    async def service(x: int) -> str:
        await asyncio.sleep(0)
        if x < 0:
            raise ConnectionError
        return "fresh"

    workflow = Sequence(service)
    assert [await workflow.async_execute(x) for x in (1, -1, 1)] == ["fresh", "cached", "cached"]
    assert await service(1) == "fresh"


def test_a_circuit_lets_only_one_try_at_a_time() -> None:
    clock = InstantClock()
    circuit = Circuit(failures=1, reset=10, clock=clock)
    circuit.leave(succeeded=False)
    clock.advance(10)
    circuit.enter("first")
    with pytest.raises(CircuitOpenError):
        circuit.enter("second")
    circuit.leave(succeeded=True)
    circuit.enter("third")


def test_circuits_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="1 failure or more"):
        Circuit(failures=0)
    with pytest.raises(ValueError, match="is not a duration"):
        Circuit(reset="soon")


def test_a_cache_gives_the_earlier_output() -> None:
    service = Service()
    workflow = Sequence(node("service", cache=True)(service))
    assert [workflow.execute(x) for x in (1, 1, 2, {"a": [1]}, {"a": [1]}, 1.0, True)] == [
        1,
        1,
        2,
        {"a": [1]},
        {"a": [1]},
        1.0,
        True,
    ]
    assert service.calls == 5


def test_a_cache_forgets_in_time() -> None:
    service, clock = Service(), InstantClock()
    cache = Cache(ttl="10m", size=2, clock=clock)
    workflow = Sequence(node("service", cache=cache)(service))
    workflow.execute(1)
    clock.advance(599)
    workflow.execute(1)
    assert service.calls == 1
    clock.advance(1)
    workflow.execute(1)
    assert service.calls == 2
    for x in (2, 1, 3, 1, 2):
        workflow.execute(x)
    assert (service.calls, len(cache)) == (5, 2)
    cache.clear()
    workflow.execute(2)
    assert service.calls == 6


def test_errors_and_what_has_no_key_arent_cached() -> None:
    service = Service()
    workflow = Sequence(node("service", cache="1h")(service))
    service.down = True
    fail(workflow, 2)
    service.down = False
    local = lambda: None  # noqa: E731
    for _ in range(2):
        workflow.execute(local)
        workflow.execute([local])  # neither hashable nor picklable
    assert service.calls == 5


async def test_an_async_node_with_a_cache() -> None:
    calls: list[int] = []

    @node(cache=60)
    async def service(x: int, state: SharedState) -> int:
        calls.append(x)
        return x

    workflow = Sequence(service)
    assert [await workflow.async_execute(x) for x in (1, 1, 2)] == [1, 1, 2]
    assert calls == [1, 2]


def test_options_of_caches() -> None:
    assert Cache.of(5).ttl == 5
    assert Cache.of("2m").ttl == 120
    assert Cache.of(True).ttl is None
    with pytest.raises(ValueError, match="at least one"):
        Cache(size=0)
    assert not hasattr(node("plain", cache=False)(len).call, "__wrapped__")


class Shop:
    """Three steps of an order, and what undoes them."""

    def __init__(self, failing: str | None = None, error: Exception | None = None) -> None:
        self.log: list[Any] = []
        self.failing, self.error = failing, error or ValueError("no")

    def step(self, name: str) -> Any:
        def do(order: Any) -> Any:
            if name == self.failing:
                raise self.error
            self.log.append(name)
            return f"{order}/{name}"

        return node(name)(do)

    def undo(self, name: str) -> Any:
        def do(output: Any) -> None:
            if name == self.failing:
                raise self.error
            self.log.append((name, output))

        return node(name)(do)

    def saga(self) -> Sequence:
        reserve = self.step("reserve").compensate_with(self.undo("release"))
        charge = self.step("charge").compensate_with(self.undo("refund"))
        return Sequence(reserve >> charge >> self.step("confirm"), name="order")


def test_a_saga_that_succeeds_undoes_nothing() -> None:
    shop = Shop()
    assert shop.saga().execute("o1") == "o1/reserve/charge/confirm"
    assert shop.log == ["reserve", "charge", "confirm"]


def test_a_saga_that_fails_undoes_what_was_done_last_first() -> None:
    shop = Shop("confirm")
    with pytest.raises(ValueError, match="no") as caught:
        shop.saga().execute("o1")
    assert caught.value is shop.error
    assert shop.log == ["reserve", "charge", ("refund", "o1/reserve/charge"), ("release", "o1/reserve")]
    shop = Shop("charge")
    with pytest.raises(ValueError, match="no"):
        shop.saga().execute("o1")
    assert shop.log == ["reserve", ("release", "o1/reserve")]


def test_a_compensation_that_fails_doesnt_keep_the_others_from_running() -> None:
    shop = Shop("refund")
    stop = node("stop")(lambda x: 1 / 0)
    workflow = Sequence(*shop.saga().stages, stop)
    with pytest.raises(ZeroDivisionError) as caught:
        workflow.execute("o1")
    assert shop.log == ["reserve", "charge", "confirm", ("release", "o1/reserve")]
    assert caught.value.__notes__[1] == "compensation 'refund' failed, too: ValueError: no"


def test_compensations_are_retried_as_nodes_are() -> None:
    tries = []

    @node
    def release(output: Any) -> None:
        tries.append(output)
        if len(tries) < 3:
            raise ConnectionError

    reserve = node("reserve")(lambda x: x).compensate_with(release)
    workflow = Sequence(reserve >> node("fail")(lambda x: 1 / 0), clock=InstantClock())
    with pytest.raises(ZeroDivisionError):
        workflow.execute(5, config={"error_config": {"max_retries": 3}})
    assert tries == [5, 5, 5]
    assert workflow.controller.execution_history.get_execution_sequence() == ["reserve", "fail", "release"]


def test_finished_branches_and_nested_sequences_are_undone_too() -> None:
    shop = Shop("charge")
    reserve = shop.step("reserve").compensate_with(shop.undo("release"))
    nested = Sequence(shop.step("nested").compensate_with(lambda output: shop.log.append(("undone", output))))
    with pytest.raises(ValueError, match="charge"):
        Sequence(nested >> parallel(reserve, shop.step("charge"))).execute("o1")
    assert shop.log == ["nested", "reserve", ("release", "o1/nested/reserve"), ("undone", "o1/nested")]


async def test_an_async_saga() -> None:
    shop = Shop("confirm")

    @node
    async def release(output: Any) -> None:
        await asyncio.sleep(0)
        shop.log.append("released")

    with pytest.raises(ValueError, match="no"):
        await Sequence(shop.step("reserve").compensate_with(release) >> shop.step("confirm")).async_execute("o1")
    assert shop.log == ["reserve", "released"]


async def test_a_cancelled_saga_is_undone() -> None:
    shop, began = Shop(), asyncio.Event()

    @node
    async def ship(order: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    reserve = shop.step("reserve").compensate_with(shop.undo("release"))
    running = asyncio.create_task(Sequence(reserve >> ship).async_execute("o1"))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert shop.log == ["reserve", ("release", "o1/reserve")]


def test_compensate_with_leaves_the_node_as_it_is() -> None:
    shop = Shop()
    plain = shop.step("reserve")
    assert plain.compensate_with(shop.undo("release")).name == "reserve"
    assert plain.compensation is None
    with pytest.raises(TypeError):
        plain.compensate_with(5)


def test_errors_of_ours_are_workflow_errors() -> None:
    assert issubclass(CircuitOpenError, WorkflowError)
