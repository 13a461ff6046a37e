"""Values pass through the languages unharmed."""

import asyncio
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.cage.cage import Cage
from tenuto.model.json_values import Json

PRECISE = 2**53 - 1

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def is_kept(number: float) -> bool:
    """JavaScript writes -0 as 0, and long numbers as integers that end in zeros: the same number only for a float."""
    return math.copysign(1, number) == 1 if number == 0 else not PRECISE < abs(number) < 1e21


def values(integers: st.SearchStrategy[int]) -> st.SearchStrategy[Json]:
    floats = st.floats(allow_nan=False, allow_infinity=False).filter(is_kept)
    leaves = st.none() | st.booleans() | integers | floats | texts
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


@pytest.fixture(scope="module")
def runner() -> object:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def warm(runner: asyncio.Runner) -> object:
    cage = Cage(processes=1)
    yield cage
    runner.run(cage.__aexit__())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(value=values(st.integers(-PRECISE, PRECISE)))
def test_javascript(runner: asyncio.Runner, warm: Cage, value: Json) -> None:
    assert runner.run(warm.javascript("$", value)) == value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(value=values(st.integers(-(2**63), 2**64 - 1)))
def test_jq(runner: asyncio.Runner, warm: Cage, value: Json) -> None:
    assert runner.run(warm.jq(".", value)) == [value]


def test_key_that_means_something_to_javascript(runner: asyncio.Runner, warm: Cage) -> None:
    value = {"__proto__": {"a": 1}, "constructor": 2, "toString": 3, "": 4}
    assert runner.run(warm.javascript("$", value)) == value
