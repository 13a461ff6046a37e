"""The shared state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenuto.sequence import NodeNotFoundError, Sequence, SharedState, node, parallel, workflow_state


@node
def count(value: int, state: SharedState) -> int:
    state["total"] = state.get("total", 0.0) + value
    return value * 2


def test_it_is_like_a_dict() -> None:
    state = SharedState({"a": 1})
    state["b"] = None
    assert (state["a"], state["b"], state["missing"], state.get("missing", 7), state.get("b", 7)) == (
        1,
        None,
        None,
        7,
        None,
    )
    assert "b" in state
    assert "missing" not in state
    assert len(state) == 2
    assert list(state) == [("a", 1), ("b", None)]
    assert dict(state) == {"a": 1, "b": None}
    assert (state.keys(), state.values(), state.items()) == (["a", "b"], [1, None], [("a", 1), ("b", None)])
    del state["b"]
    state.update({"c": 3}, d=4)
    assert (state.pop("c"), state.pop("c", 9), state.setdefault("e", 5), state.setdefault("a", 5)) == (3, 9, 5, 1)
    assert state.to_dict() == {"a": 1, "d": 4, "e": 5}
    state.clear()
    assert len(state) == 0


@pytest.mark.parametrize("key", [None, 1.5, ("a",)])
def test_keys_are_texts(key: Any) -> None:
    state = SharedState()
    for access in (lambda: state[key], lambda: state.get(key), lambda: state.__setitem__(key, 1)):
        with pytest.raises(TypeError, match="key of the shared state is a str"):
            access()
    with pytest.raises(TypeError):
        state[0] = 1  # type: ignore[index]


def test_outputs_are_under_the_nodes_names_and_results_under_numbers() -> None:
    workflow = Sequence(count >> node("text")(str))
    workflow.execute(4)
    state = workflow.state
    assert (state["count"], state["text"], state["total"]) == (8, "8", 4.0)
    assert (state[0], state[-1], state[1]) == (8, "8", "8")
    with pytest.raises(IndexError, match="has 2 so far"):
        state[5]
    assert dict(state) == {"count": 8, "text": "8", "total": 4.0}


def test_what_a_run_knows() -> None:
    seen: list[Any] = []

    @node
    def look(value: int, state: SharedState) -> int:
        seen.append((state.initial_input, state.previous_output, state.current_input, state.execution_count))
        return value

    workflow = Sequence(count >> look)
    workflow.execute(4)
    assert seen == [(4, 8, 8, 1)]
    assert (workflow.state.final_output, workflow.state.execution_count) == (8, 2)
    Sequence(node("two")(lambda a, b: a)).execute(1, 2)


def test_keys_are_kept_from_one_execute_to_the_next() -> None:
    workflow = Sequence(count)
    workflow.execute(5)
    workflow.execute(5)
    assert workflow.state["total"] == 10.0
    workflow(5)
    assert workflow.state["total"] == 5.0
    workflow.controller.restart()
    assert workflow.state["total"] is None
    workflow.execute(1)
    workflow.reset()
    assert dict(workflow.state) == {}


def test_outputs_are_those_of_one_run() -> None:
    workflow = Sequence(node("maybe")(lambda x: x))
    workflow.execute(1)
    before = workflow.state
    workflow.execute(2)
    assert (before["maybe"], workflow.state["maybe"]) == (1, 2)


def test_a_key_that_was_set_hides_an_output() -> None:
    @node
    def both(value: int, state: SharedState) -> int:
        state["both"] = "set"
        return value

    workflow = Sequence(both)
    workflow.execute(1)
    assert workflow.state["both"] == "set"


def test_outputs_by_name_and_attribute() -> None:
    class Point:
        def __init__(self) -> None:
            self.x = {"deep": 5}

    double = node("double")(lambda x: x * 2)
    workflow = Sequence(double >> double >> node("point")(lambda x: Point()))
    workflow.execute(1)
    state = workflow.state
    assert (state.get_node_output("double"), state.get_node_output("double", 0)) == (4, 2)
    assert state.get_node_attribute("point", "x.deep") == 5
    assert state.get_node_attribute("point", "x.none.at.all") is None
    with pytest.raises(NodeNotFoundError, match="'other' has 0 outputs"):
        state.get_node_output("other")
    with pytest.raises(KeyError):
        state.get_node_output("double", 7)
    assert state.get_parallel_outputs() == {}


def test_save_and_load(tmp_path: Path) -> None:
    state = SharedState({"a": [1, 2]})
    for format in ("json", "pickle"):
        state.save(tmp_path / format, format)
        assert dict(SharedState.load(tmp_path / format, format)) == {"a": [1, 2]}
    assert dict(SharedState.from_dict({"b": 1})) == {"b": 1}


def test_helpers_read_the_state_of_the_run_that_calls_them() -> None:
    def helper() -> Any:
        return workflow_state("count"), workflow_state(0), workflow_state("user", "name")

    user = node("user")(lambda x: {"name": "Ann"})
    ask = node("ask")(lambda x: helper())

    @node
    async def ask_later(x: Any) -> Any:
        return helper()

    expected = (8, 8, "Ann")
    assert Sequence(count >> user >> ask).execute(4) == expected
    assert Sequence(count >> user >> parallel(ask, ask_later)).execute(4) == {"ask": expected, "ask_later": expected}
    with pytest.raises(RuntimeError, match="no run is under way"):
        workflow_state("count")


def test_the_state_of_a_failed_run_is_there() -> None:
    @node
    def fail(x: int) -> None:
        raise ValueError

    workflow = Sequence(count >> fail)
    with pytest.raises(ValueError):  # noqa: PT011
        workflow.execute(3)
    assert workflow.state["count"] == 6
