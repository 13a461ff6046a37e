# ruff: noqa: UP006, UP007, UP035, UP045 - the older spellings are tested, too
"""Whether nodes fit together, by their annotations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Dict, List, Literal, NewType, Optional, TypedDict, Union

import pytest

from tenuto.sequence import (
    Sequence,
    SharedState,
    TypeMismatchWarning,
    WorkflowTypeChecker,
    check_node_chain_types,
    get_type_checker,
    node,
    parallel,
    set_type_checking_mode,
    type_checking_mode,
)

UserId = NewType("UserId", int)


class Row(TypedDict):
    n: int


def returning(hint: Any, name: str = "left") -> Any:
    def left(x: Any) -> Any: ...

    left.__annotations__["return"] = hint
    return node(name)(left)


def expecting(hint: Any, name: str = "right") -> Any:
    def right(value: Any) -> Any: ...

    right.__annotations__["value"] = hint
    return node(name)(right)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with type_checking_mode(strict=True):
        yield


FITTING = [
    (Any, int),
    (int, Any),
    (int, object),
    (int, int),
    (bool, int),
    (int, float),
    (int, Optional[int]),
    (int, Union[str, int]),
    (int, str | int),
    (dict, Dict[str, Any]),
    (List[dict], list),
    (list, List[dict]),
    (List[dict], List[Dict[str, int]]),
    (Literal["a"], str),
    (str, Literal["a"]),
    (Annotated[int, "x"], int),
    (UserId, int),
    (Row, dict),
    (dict, Row),
    (Optional[int], Optional[float]),
    (type(None), Optional[int]),
    (tuple, tuple[int, ...]),
]
UNFITTING = [
    (str, int),
    (float, int),
    (dict, list),
    (Optional[int], int),
    (List[int], List[str]),
    (type(None), dict),
    (Literal["a"], int),
    (int, Union[str, bytes]),
]


@pytest.mark.parametrize(("returned", "expected"), FITTING, ids=str)
def test_what_fits(returned: Any, expected: Any) -> None:
    returning(returned) >> expecting(expected)


@pytest.mark.parametrize(("returned", "expected"), UNFITTING, ids=str)
def test_what_doesnt_fit(returned: Any, expected: Any) -> None:
    with pytest.raises(TypeError, match=r"Type mismatch: left returns .* but right expects"):
        returning(returned) >> expecting(expected)
    with pytest.raises(TypeError, match="Type mismatch"):
        Sequence(returning(returned), expecting(expected))


def test_both_types_are_named() -> None:
    with pytest.raises(TypeError) as caught:
        returning(str, "fetch") >> expecting(List[int], "store")
    assert str(caught.value) == "Type mismatch: fetch returns str but store expects List[int]"


def test_by_default_a_mismatch_is_a_warning_where_it_is_written() -> None:
    set_type_checking_mode(strict=False)
    with pytest.warns(TypeMismatchWarning, match="left returns str but right expects int") as caught:
        chain = returning(str) >> expecting(int)
    assert caught[0].filename == __file__
    assert issubclass(TypeMismatchWarning, UserWarning)
    assert check_node_chain_types(chain) == ["Type mismatch: left returns str but right expects int"]
    set_type_checking_mode(strict=True)
    assert get_type_checker().strict is True
    assert WorkflowTypeChecker().is_compatible(bool, int)


def test_no_hints_no_complaint() -> None:
    node("a")(lambda x: x) >> node("b")(lambda x: x)
    returning(str) >> node("none")(lambda: None)
    returning(str) >> node("many")(lambda *all: None)
    returning("Unknown") >> expecting("Missing")


def test_several_parameters() -> None:
    @node
    def several(a: int, b: int, state: SharedState) -> None: ...

    returning(tuple) >> several
    returning(dict[str, int]) >> several
    with pytest.raises(TypeError):
        returning(str) >> several


def test_the_state_is_no_input() -> None:
    @node
    def counting(state: SharedState, value: int) -> None: ...

    returning(int) >> counting
    with pytest.raises(TypeError, match="counting expects int"):
        returning(str) >> counting


def test_through_blocks() -> None:
    with pytest.raises(TypeError, match="left returns str but bad expects int"):
        returning(str) >> parallel(expecting(str), expecting(int, "bad"))
    parallel(expecting(int), expecting(int)) >> expecting(dict)
    with pytest.raises(TypeError, match="parallel returns dict but right expects list"):
        parallel(expecting(int), expecting(int)) >> expecting(list)
    one = expecting(int)
    returning(List[int]) >> parallel(one, one)
    with pytest.raises(TypeError):
        returning(List[str]) >> parallel(one, one)


def test_through_nested_sequences() -> None:
    inner = Sequence(expecting(int) >> returning(str, "last"))
    returning(int) >> inner >> expecting(str)
    with pytest.raises(TypeError, match="left returns str but right expects int"):
        returning(str) >> inner
    with pytest.raises(TypeError, match="last returns str but right expects int"):
        inner >> expecting(int)


def test_what_argument_memory_will_fill_is_no_mismatch() -> None:
    @node
    def fetch_user(user_id: int) -> dict:  # type: ignore[type-arg]
        return {}

    @node
    def fetch_orders(user_id: int) -> list:  # type: ignore[type-arg]
        return []

    fetch_user >> fetch_orders
    fetch_user >> parallel(fetch_orders, fetch_orders.alias("again"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_node_chain_types(fetch_user >> fetch_orders) == []
