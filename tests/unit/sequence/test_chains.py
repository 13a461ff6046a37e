"""Building sequences, and what a Sequence is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tenuto.sequence import MaxStepsExceededError, Sequence, WorkflowError, node, parallel

add = node("add")(lambda x: x + 1)
double = node("double")(lambda x: x * 2)
square = node("square")(lambda x: x * x)


def test_chains_are_descriptions_that_can_be_shared() -> None:
    chain = add >> double
    assert [stage.name for stage in chain] == ["add", "double"]
    assert Sequence(chain >> square).execute(1) == 16
    assert Sequence(square >> chain).execute(3) == 20
    assert Sequence(chain).execute(1) == 4
    assert len(chain) == 2


def test_a_chain_with_comments_and_newlines() -> None:
    workflow = Sequence(
        add  # first this
        >> double
        # then that
        >> square
    )
    assert workflow.execute(0) == 4


def test_the_forms_of_sequence() -> None:
    assert Sequence(add).execute(1) == 2
    assert Sequence(add, double, square).execute(1) == 16
    assert Sequence(add >> double, square).execute(1) == 16
    assert Sequence(add, "named").name == "named"
    assert Sequence(add, double, "named").execute(1) == 4
    assert Sequence(add, name="named").name == "named"
    with pytest.raises(TypeError, match="two names"):
        Sequence(add, "one", name="two")


def test_plain_functions_and_node_classes_become_nodes() -> None:
    def triple(x: int) -> int:
        return x * 3

    assert Sequence(add >> triple).execute(1) == 6
    assert Sequence(triple).execute(2) == 6


@pytest.mark.parametrize("other", [5, "text", None, [1]])
def test_what_cant_be_chained_is_told(other: Any) -> None:
    with pytest.raises(TypeError, match=r"Cannot chain <FunctionNode 'add'> with"):
        add >> other
    with pytest.raises(TypeError):
        Sequence(other)


def test_a_condition_outside_of_a_decision_is_told() -> None:
    with pytest.raises(TypeError, match=r"belongs into decision"):
        Sequence("even" >> add)


def test_an_unnamed_sequence_is_named_after_its_nodes_in_every_process() -> None:
    name = Sequence(add >> parallel(double, square)).name
    assert name == Sequence(add >> parallel(double, square)).name
    assert name != Sequence(add >> parallel(double, double)).name
    script = (
        "from tenuto.sequence import *\n"
        "f = lambda x: x\n"
        "print(Sequence(node('add')(f) >> parallel(node('double')(f), node('square')(f))).name)"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == name


def test_a_sequence_without_nodes_says_so() -> None:
    with pytest.raises(WorkflowError, match="has no nodes"):
        Sequence(name="empty").execute(1)


def test_one_object_runs_again_and_again() -> None:
    workflow = Sequence(add >> double)
    assert [workflow.execute(n) for n in range(3)] == [2, 4, 6]
    assert (workflow.run(1), workflow(1)) == (4, 4)


def test_a_node_may_stand_in_a_chain_twice() -> None:
    assert Sequence(add >> add >> double >> add).execute(0) == 5


def test_nested_sequences_share_the_state_and_are_one_entry() -> None:
    inner = Sequence(add >> double, name="inner")
    outer = Sequence(square >> inner >> add, name="outer")
    assert outer.execute(2) == 11
    assert outer.controller.execution_history.get_execution_sequence() == ["square", "inner", "add"]
    assert outer.state["inner"] == 10
    assert outer.state["double"] == 10
    assert inner.controller.execution_history.entries == []


def test_links_made_by_hand() -> None:
    first, second, third = (node(name)(lambda x: x + 1) for name in ("first", "second", "third"))
    assert second.connect(third) is third
    workflow = Sequence(first >> second)
    assert workflow.execute(0) == 3
    third.next_node = first
    with pytest.raises(MaxStepsExceededError, match="more than 50 steps"):
        Sequence(first >> second, max_steps=50).execute(0)


def test_max_steps_has_to_make_sense() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        Sequence(add, max_steps=0)
    assert Sequence(*[add] * 1000).execute(0) == 1000
    with pytest.raises(MaxStepsExceededError):
        Sequence(*[add] * 1001).execute(0)
    assert Sequence(*[add] * 1001, max_steps=2000).execute(0) == 1001


def test_reprs() -> None:
    assert repr(add) == "<FunctionNode 'add'>"
    assert repr(Sequence(add >> double, name="w")) == "<Sequence 'w' of 2 stages>"
