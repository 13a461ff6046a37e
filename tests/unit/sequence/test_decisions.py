"""Decisions and loops."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest

from tenuto.sequence import (
    MaxIterationsExceededError,
    MaxStepsExceededError,
    Sequence,
    SharedState,
    _,
    create_type_pattern,
    decision,
    node,
    parallel,
)


def named(name: str) -> Any:
    """A node that says who it is and what it was given."""
    return node(name)(lambda value: (name, value))


a, b, c, d = (named(name) for name in "abcd")
same = node("same")(lambda value: value)


def chosen(value: Any, *branches: Any) -> Any:
    """What a decision does with a value."""
    return Sequence(same >> decision(*branches)).execute(value)


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass
class User:
    role: str | None = None
    age: int | None = None


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("even", "even", "odd"),
        (5, 5, 6),
        (None, None, 0),
        (True, True, 1),
        (1, 1.0, True),
        (Colour.RED, Colour.RED, Colour.BLUE),
        (str, "text", 5),
        (int, 5, "text"),
        (range(1, 5), 4, 5),
        ([1, "x"], "x", 2),
        ((1, "x"), 1, 2),
        ({"kind": "book", "n": 1}, {"kind": "book", "n": 1, "more": 2}, {"kind": "book"}),
        (User(role="admin"), User("admin", 30), User("guest", 30)),
        (lambda x: x > 3, 4, 3),
    ],
)
def test_conditions(condition: Any, holds: Any, fails: Any) -> None:
    branches = (condition >> a, _ >> b)
    assert chosen(holds, *branches) == ("a", holds)
    assert chosen(fails, *branches) == ("b", fails)


def test_the_default_as_text() -> None:
    assert chosen(5, "x" >> a, "_" >> b) == ("b", 5)


def test_a_predicate_may_ask_the_state() -> None:
    @node
    def remember(value: int, state: SharedState) -> int:
        state["limit"] = 10
        return value

    big = (lambda x, state: x > state["limit"]) >> a
    assert Sequence(remember >> decision(big, _ >> b)).execute(11) == ("a", 11)
    assert Sequence(remember >> decision(big, _ >> b)).execute(9) == ("b", 9)


def test_the_more_exact_condition_wins_whatever_the_order() -> None:
    predicate = (lambda x: True) >> a
    assert chosen(5, predicate, 5 >> b, int >> c, range(9) >> d) == ("b", 5)
    assert chosen(5, _ >> d, predicate, int >> c) == ("c", 5)
    assert chosen(True, int >> a, bool >> b) == ("b", True)
    user = User("admin", 30)
    assert chosen(user, User >> a, create_type_pattern(User, b, role="admin"), User(age=30) >> c) == ("c", user)
    assert chosen(user, User >> a, create_type_pattern(User, b, role="admin")) == ("b", user)
    assert chosen({"x": 1, "y": 2}, {"x": 1} >> a, {"x": 1, "y": 2} >> b) == ("b", {"x": 1, "y": 2})


def test_without_a_match_the_value_goes_on() -> None:
    assert Sequence(same >> decision(1 >> a, 2 >> b) >> c).execute(3) == ("c", 3)


def test_the_chain_after_the_decision_goes_on_with_the_branchs_result() -> None:
    workflow = Sequence(same >> decision(1 >> (same >> a), 2 >> b >> c) >> d)
    assert workflow.execute(1) == ("d", ("a", 1))
    assert workflow.execute(2) == ("d", ("c", ("b", 2)))


def test_branches_can_be_anything() -> None:
    branches = (1 >> parallel(a, b), 2 >> Sequence(a >> b), 3 >> decision(3 >> c, 4 >> d))
    assert chosen(1, *branches) == {"a": ("a", 1), "b": ("b", 1)}
    assert chosen(2, *branches) == ("b", ("a", 2))
    assert chosen(3, *branches) == ("c", 3)


def test_a_classifying_router_hands_on_its_input() -> None:
    @node.router("parity")
    def parity(number: int) -> Literal["even", "odd"]:
        return "even" if number % 2 == 0 else "odd"

    @node.router
    def untyped(number):  # type: ignore[no-untyped-def]
        return "even" if number % 2 == 0 else "odd"

    @node
    def literal(text: str) -> Literal["even", "odd"]:
        return "even" if len(text) % 2 == 0 else "odd"

    for router in (parity, untyped):
        workflow = Sequence(router >> decision("even" >> a, "odd" >> b))
        assert workflow.execute(4) == ("a", 4)
        assert workflow.execute(5) == ("b", 5)
    assert parity.is_router
    assert Sequence(literal >> decision("even" >> a, "odd" >> b)).execute("abc") == ("b", "abc")


def test_a_transforming_router_hands_on_its_output() -> None:
    @node
    def half(number: int) -> int:
        return number // 2

    @node
    def fetch() -> str:
        return "even"

    assert Sequence(half >> decision(2 >> a, _ >> b)).execute(4) == ("a", 2)
    assert Sequence(fetch >> decision("even" >> a, _ >> b)).execute(4) == ("a", "even")


def test_a_decision_as_the_first_stage() -> None:
    assert Sequence(decision(1 >> a, 2 >> b)).execute(2) == ("b", 2)


def counting() -> tuple[Any, list[int]]:
    calls: list[int] = []

    @node
    def count(n: int) -> int:
        calls.append(n)
        return n + 1

    return count, calls


def test_a_branch_that_names_an_earlier_node_goes_back_to_it() -> None:
    count, calls = counting()
    workflow = Sequence(same >> count >> decision((lambda n: n < 5) >> count, _ >> a))
    assert workflow.execute(0) == ("a", 5)
    assert calls == [0, 1, 2, 3, 4]
    assert workflow.execute(2) == ("a", 5)


def test_max_iter_allows_exactly_that_many_jumps() -> None:
    count, calls = counting()
    again = (lambda n: True) >> count
    assert Sequence(count >> decision(again, "x" >> a, max_iter=3) >> b).execute(0) == ("b", 4)
    assert calls == [0, 1, 2, 3]
    calls.clear()
    assert Sequence(count >> decision(again, "x" >> a, max_iter=0)).execute(0) == 1
    with pytest.raises(MaxIterationsExceededError, match="'loop' went back 3 times"):
        Sequence(count >> decision(again, "x" >> a, max_iter=3, name="loop", raise_on_max_iter=True)).execute(0)


def test_other_branches_dont_reset_the_count() -> None:
    count, calls = counting()
    odd = (lambda n: n % 2 == 1) >> count
    even = (lambda n: n % 2 == 0) >> (same >> count)
    assert Sequence(count >> decision(odd, even, max_iter=5)).execute(0) == 6
    assert calls == [0, 1, 2, 3, 4, 5]


def test_a_branch_may_do_something_before_it_goes_back() -> None:
    count, calls = counting()
    tenfold = node("tenfold")(lambda n: n * 10)
    workflow = Sequence(count >> decision((lambda n: n < 50) >> tenfold >> count, _ >> a))
    assert workflow.execute(0) == ("a", 111)
    assert calls == [0, 10, 110]


def test_a_loop_of_a_classifying_router_carries_its_input() -> None:
    count, _calls = counting()

    @node.router
    def size(n: int) -> Literal["small", "big"]:
        return "small" if n < 3 else "big"

    assert Sequence(count >> size >> decision("small" >> count, "big" >> a)).execute(0) == ("a", 3)
    assert Sequence(count >> size >> decision("small" >> count, "big" >> a, max_iter=1)).execute(0) == 2


def test_nested_loops_start_anew_with_each_outer_round() -> None:
    count, calls = counting()
    inner = decision((lambda n: True) >> count, "x" >> a, max_iter=2)
    outer = decision((lambda n: True) >> count, "x" >> a, max_iter=2)
    assert Sequence(count >> inner >> outer).execute(0) == 9
    assert len(calls) == 9  # three rounds of one call and two jumps


def test_a_decision_within_a_branch_may_go_back_to_the_main_line() -> None:
    count, calls = counting()
    retry = decision((lambda n: n < 4) >> count, _ >> a, name="retry")
    workflow = Sequence(count >> decision((lambda n: n > 0) >> (same >> retry), _ >> b) >> c)
    assert workflow.execute(0) == ("c", ("a", 4))
    assert calls == [0, 1, 2, 3]


def test_loops_without_a_limit_end_in_an_error() -> None:
    count, calls = counting()
    again = (lambda n: True) >> count
    with pytest.raises(MaxIterationsExceededError, match="1000 times"):
        Sequence(count >> decision(again, "x" >> a)).execute(0)
    assert len(calls) == 1001
    long = Sequence(count, *[same] * 20, decision(again, "x" >> a))
    with pytest.raises(MaxStepsExceededError, match="10000 steps"):
        long.execute(0)


def test_wrong_decisions() -> None:
    with pytest.raises(ValueError, match="at least 2 branches, not 1"):
        decision("x" >> a)
    with pytest.raises(TypeError, match="condition >> node"):
        decision("x" >> a, b)
    with pytest.raises(ValueError, match="max_iter"):
        decision("x" >> a, "y" >> b, max_iter=-1)
    assert repr("x" >> a) == "<NodeMapper 'x' >> a>"


def test_a_failing_predicate_fails_the_run() -> None:
    with pytest.raises(TypeError):
        chosen("text", (lambda x: x > 3) >> a, _ >> b)
