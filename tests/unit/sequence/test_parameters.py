"""The eight rules by which a node's parameters are filled."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tenuto import sequence
from tenuto.sequence import Sequence, SharedState, node, parallel


def run(function: Any, value: Any) -> Any:
    """The output of a node of this function that comes after one that returns `value`."""
    return Sequence(node("first")(lambda: value) >> node("second")(function)).execute()


def test_1_state_wherever_it_stands() -> None:
    def before(state: SharedState, value: int) -> Any:
        return state["first"], value

    def between(a: int, state: sequence.SharedState, b: int) -> Any:
        return a, state["first"], b

    def named(value: int, *, state: SharedState) -> Any:
        return state["first"], value

    def optional(value: int, state: Optional[SharedState] = None) -> Any:  # noqa: UP045
        return state and state["first"], value

    def after_default(value: int, factor: int = 3, state: SharedState = None) -> Any:  # type: ignore[assignment]
        return state["first"], value * factor

    assert run(before, 7) == (7, 7)
    assert run(between, (1, 2)) == (1, (1, 2), 2)
    assert run(named, 7) == (7, 7)
    assert run(optional, 7) == (7, 7)
    assert run(after_default, 7) == (7, 21)


def test_1_state_alone_takes_no_input() -> None:
    def only(state: SharedState) -> Any:
        return state["first"]

    assert run(only, 7) == 7


def test_2_defaults_and_variable_parameters_are_not_filled() -> None:
    def store(data: Any, db: Any = None, *rest: Any, flag: bool = False, **more: Any) -> Any:
        return data, db, rest, flag, more

    data = {"data": 1, "db": 2, "flag": True, "x": 3}
    assert run(store, data) == (data, None, (), False, {})


@pytest.mark.parametrize("value", [5, None, (1, 2), [1, 2], {"value": 3}, "text"])
def test_3_one_parameter_gets_the_whole(value: Any) -> None:
    assert run(lambda value: value, value) == value


def test_4_several_by_position() -> None:
    assert run(lambda a, b: (a, b), (1, 2)) == (1, 2)
    assert run(lambda a, b: (a, b), [1, 2, 3]) == (1, 2)


def test_5_several_by_name() -> None:
    assert run(lambda a, b: (a, b), {"b": 2, "a": 1, "c": 3}) == (1, 2)

    def keyword(a: int, *, b: int) -> Any:
        return a, b

    assert run(keyword, {"b": 2, "a": 1}) == (1, 2)
    assert run(keyword, (1, 2)) == (1, 2)


def test_5_a_missing_key_is_an_error_unless_it_may_be_none() -> None:
    def optional(a: int, b: Optional[int], c: int | None) -> Any:  # noqa: UP045
        return a, b, c

    assert run(optional, {"a": 1}) == (1, None, None)
    with pytest.raises(TypeError, match=r"node 'second' needs 'b', which the output before it lacks; it has 'a'"):
        run(lambda a, b: None, {"a": 1})


@pytest.mark.parametrize("value", [5, "text", None, [1]])
def test_5_several_get_any_other_value_each(value: Any) -> None:
    assert run(lambda a, b: (a, b), value) == (value, value)


def test_5_names_of_earlier_nodes_count_after_a_block() -> None:
    first, left, right = (node(name)(lambda x: x + 1) for name in ("first", "left", "right"))
    gather = node("gather")(lambda first, left, right: (first, left, right))
    assert Sequence(first >> parallel(left, right) >> gather).execute(0) == (1, 2, 2)


def test_6_first_node() -> None:
    add = Sequence(node("add")(lambda a, b: a - b))
    assert add.execute(5, 2) == 3
    assert add.execute(a=5, b=2) == 3
    assert add.execute(5, b=2) == 3
    assert add.execute((5, 2)) == 3
    assert add.execute({"b": 2, "a": 5}) == 3
    assert Sequence(node("one")(lambda x: x)).execute(x={"k": 1}) == {"k": 1}


def test_6_first_node_with_defaults() -> None:
    def greet(name: str, word: str = "hello", *more: str) -> str:
        return " ".join([word, name, *more])

    workflow = Sequence(node(greet))
    assert workflow.execute("ann") == "hello ann"
    assert workflow.execute("ann", "servus") == "servus ann"
    assert workflow.execute("ann", "servus", "!") == "servus ann !"
    assert workflow.execute("ann", word="bye") == "bye ann"
    assert Sequence(node("fixed")(lambda x=5: x)).execute() == 5


def test_6_wrong_arguments_are_told() -> None:
    two = Sequence(node("two")(lambda a, b: None))
    with pytest.raises(TypeError, match=r"node 'two' is the first one and needs \['a', 'b'\]: give it to execute"):
        two.execute()
    with pytest.raises(TypeError, match=r"node 'two' takes a, b, but 3 arguments were given"):
        two.execute(1, 2, 3)
    with pytest.raises(TypeError, match="two values for 'a'"):
        two.execute(1, a=1)


def test_6_a_block_as_the_first_stage() -> None:
    block = Sequence(parallel(node("sum")(lambda a, b: a + b), node("product")(lambda a, b: a * b)))
    assert block.execute(3, 4) == {"sum": 7, "product": 12}
    assert block.execute(a=3, b=4) == {"sum": 7, "product": 12}


def test_7_no_parameters_no_input() -> None:
    assert run(lambda: "called", 5) == "called"
    assert Sequence(node("nothing")(lambda: "called")).execute(123) == "called"


def test_8_argument_memory() -> None:
    @node
    def fetch_user(user_id: int) -> dict:  # type: ignore[type-arg]
        return {"id": user_id, "name": "Ann"}

    @node
    def fetch_orders(user_id: int) -> list:  # type: ignore[type-arg]
        return [user_id, user_id]

    @node
    def fetch_name(user_id: str) -> str:
        return str(user_id)

    assert Sequence(fetch_user >> fetch_orders).execute(123) == [123, 123]
    assert Sequence(fetch_user >> parallel(fetch_orders, fetch_orders.alias("more"))).execute(123) == {
        "fetch_orders": [123, 123],
        "more": [123, 123],
    }
    assert Sequence(fetch_user >> fetch_orders).execute(user_id=5) == [5, 5]
    with pytest.warns(sequence.TypeMismatchWarning):  # nobody was given a text: the dict is passed as it is
        mismatched = Sequence(fetch_user >> fetch_name)
    assert mismatched.execute(123) == "{'id': 123, 'name': 'Ann'}"


def test_8_memory_is_the_latest_and_only_for_scalars() -> None:
    @node
    def grow(n: int) -> int:
        return n + 1

    @node
    def wrap(n: int) -> dict:  # type: ignore[type-arg]
        return {"n": n}

    @node
    def show(n: int) -> int:
        return n

    assert Sequence(grow >> wrap >> show).execute(1) == 2
    assert Sequence(wrap >> node("none")(lambda x: None) >> show).execute(1) is None


def test_8_reaches_through_branches_and_nested_sequences() -> None:
    @node
    def wrap(key: int) -> dict:  # type: ignore[type-arg]
        return {"key": key}

    @node
    def show(key: int) -> int:
        return key

    also = node("also")(lambda value: [value])
    assert Sequence(wrap >> parallel(also >> show.alias("a"), Sequence(also >> show, name="b"))).execute(4) == {
        "a": 4,
        "b": 4,
    }
