"""Functions become nodes, and stay usable as functions."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from typing import Any

import pytest

from tenuto.sequence import AsyncNode, BaseNode, Node, Sequence, SharedState, node


@node("double")
def double(number: int) -> int:
    """Twice the number."""
    return number * 2


@node
async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def test_name_is_given_or_the_functions() -> None:
    @node
    def plain() -> None: ...

    @node()
    def called() -> None: ...

    @node(name="by keyword")
    def keyword() -> None: ...

    assert (double.name, plain.name, called.name, keyword.name) == ("double", "plain", "called", "by keyword")


@pytest.mark.parametrize("name", ["", 5])
def test_an_empty_name_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="name is a text"):
        node(name)(lambda: None)


def test_a_node_is_callable_and_looks_like_its_function() -> None:
    assert double(4) == 8
    assert double.exec(4) == 8
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice the number."
    assert list(inspect.signature(double).parameters) == ["number"]


def test_several_nodes_may_have_one_name() -> None:
    first, second = node("same")(lambda x: x + 1), node("same")(lambda x: x * 10)
    assert Sequence(first >> second).execute(1) == 20


def test_execute_passes_arguments_straight_to_the_function() -> None:
    @node("calculate")
    def calculate(total: float, code: str, *, factor: float = 1.0) -> float:
        if code == "BAD":
            raise ValueError("bad code")
        return total * factor

    calculate.fallback_value, calculate.max_retries = 0.0, 5
    assert calculate.execute(100.0, "", factor=0.5) == 50.0
    with pytest.raises(ValueError, match="bad code"):
        calculate.execute(1.0, code="BAD")


def test_execute_gives_an_empty_state_unless_there_is_one() -> None:
    @node
    def count(value: int, state: SharedState) -> int:
        state["seen"] = value + state.get("seen", 0)
        return int(state["seen"])

    assert count.execute(3) == 3
    assert count.execute(3, SharedState({"seen": 4})) == 7
    assert count.execute(3, state=SharedState({"seen": 1})) == 4


def test_async_node_by_itself() -> None:
    assert later.execute(1) == 2
    assert asyncio.run(later(1)) == 2
    assert asyncio.run(later.async_execute(1)) == 2


async def test_async_node_by_itself_within_a_loop() -> None:
    assert later.execute(1) == 2
    assert await later(1) == 2
    assert await double.async_execute(1) == 2


def test_fallback_value_can_be_none() -> None:
    @node
    def fail() -> None:
        raise ConnectionError

    assert not fail.has_fallback
    fail.fallback_value = None
    assert fail.has_fallback
    assert Sequence(fail).execute() is None
    del fail.fallback_value
    assert not fail.has_fallback


def test_alias_is_the_same_function_under_another_name() -> None:
    other = double.alias("twice")
    assert (other.name, other.original_name, other(2)) == ("twice", "double", 4)
    assert double.name == "double"
    with pytest.raises(ValueError, match="alias"):
        double.alias("")


def test_nodes_are_pickled_by_reference() -> None:
    assert pickle.loads(pickle.dumps(double)) is double


def test_two_state_parameters_are_refused_at_decoration() -> None:
    with pytest.raises(ValueError, match=r"'greedy' asks for the shared state 2 times"):

        @node("greedy")
        def greedy(a: SharedState, b: SharedState) -> None: ...


def test_unresolvable_annotations_dont_matter() -> None:
    @node
    def odd(value: Missing, state: SharedState) -> Unknown:  # type: ignore[name-defined]  # noqa: F821
        state["value"] = value
        return value

    workflow = Sequence(odd)
    assert workflow.execute(3) == 3
    assert workflow.state["value"] == 3


def test_builtins_and_callable_objects_are_nodes() -> None:
    class Adder:
        def __call__(self, value: int) -> int:
            return value + 5

    class Later:
        async def __call__(self, value: int) -> int:
            return value + 6

    assert Sequence(node("length")(len) >> node("add")(Adder()) >> node("later")(Later())).execute([1, 2]) == 13
    with pytest.raises(TypeError, match="made from a function"):
        node("no")(5)  # type: ignore[arg-type]


def test_generators_and_files_are_passed_by_reference() -> None:
    @node
    def produce(count: int) -> dict:  # type: ignore[type-arg]
        return {"records": (n * n for n in range(count))}

    @node
    def consume(data: dict) -> int:  # type: ignore[type-arg]
        return sum(data["records"])

    assert Sequence(produce >> consume).execute(4) == 14


class Greeting(Node):
    def __init__(self, word: str) -> None:  # does not call the base
        self.word = word

    def execute(self, name: str) -> str:
        return f"{self.word} {name}"


class Shouting(Node):
    def execute(self, text: str, state: SharedState) -> str:
        state["shouted"] = True
        return text.upper()


def test_class_nodes() -> None:
    workflow = Sequence(Greeting("hello") >> Shouting("shout"))
    assert workflow.execute("ann") == "HELLO ANN"
    assert workflow.state["Greeting"] == "hello ann"
    assert workflow.state["shout"] == "HELLO ANN"
    assert workflow.state["shouted"] is True


def test_alias_of_a_class_node_is_bound_to_itself() -> None:
    other = Greeting("good day").alias("formal")
    assert isinstance(other, BaseNode)
    other.word = "servus"  # type: ignore[attr-defined]
    assert Sequence(other).execute("ann") == "servus ann"


class Patient(AsyncNode):
    calls = 0

    async def async_execute(self, value: int) -> int:
        self.calls += 1
        if self.calls < 3:
            raise ConnectionError("not yet")
        return value


class Excused(Patient):
    async def async_execute_fallback(self, error: Exception) -> str:
        return f"sorry: {error}"


def test_async_class_nodes_retry_by_themselves() -> None:
    patient = Patient("patient", max_retries=3, retry_wait=0)
    assert Sequence(patient).execute(5) == 5
    assert patient.calls == 3
    hasty = Patient("hasty", max_retries=2, retry_wait=0)
    with pytest.raises(ConnectionError):
        Sequence(hasty).execute(5, config={"error_config": {"max_retries": 9, "base_delay": 0}})
    assert hasty.calls == 2
    assert Sequence(Excused(max_retries=1)).execute(5) == "sorry: not yet"
    assert patient.execute(7) == 7


def test_missing_methods_are_told() -> None:
    class Empty(Node):
        pass

    with pytest.raises(NotImplementedError, match="Empty has to define execute"):
        Sequence(Empty()).execute(1)
