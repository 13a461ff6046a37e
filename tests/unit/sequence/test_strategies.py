"""error_config: what is tried again, and what the caller gets in the end."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tenuto.sequence import FatalError, InstantClock, RetryableError, Sequence, WorkflowError, node, parallel


class Flaky:
    """Fails with the given errors, one a call, then returns its input."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


def run(flaky: Flaky, error_config: dict[str, Any] | None, value: Any = 5) -> tuple[Any, list[float]]:
    """The output, and the pauses that were made."""
    clock = InstantClock()
    config = None if error_config is None else {"error_config": error_config}
    return Sequence(node("flaky")(flaky), clock=clock).execute(value, config=config), clock.slept


def attempts(error: Exception, error_config: dict[str, Any] | None, max_retries: int | None = None) -> int:
    """How many times a node is called that always fails in this way."""
    flaky = Flaky(*[error] * 50)
    made = node("flaky", max_retries=max_retries)(flaky)
    with pytest.raises(type(error)) as caught:
        Sequence(made, clock=InstantClock()).execute(5, config={"error_config": error_config} if error_config else None)
    assert caught.value is error
    return flaky.calls


def test_nothing_is_tried_again_unless_asked_for() -> None:
    assert attempts(ConnectionError(), None) == 1


def test_exponential_delays_with_jitter_up_to_the_cap() -> None:
    out, slept = run(Flaky(*[ConnectionError()] * 4), {"max_retries": 5, "base_delay": 1.0, "max_delay": 5.0})
    assert (out, slept) == (5, [1.0, 2.0, 4.0, 5.0])


def test_jitter_is_from_0_8_to_1_2() -> None:
    class Edge(InstantClock):
        def __init__(self, chance: float) -> None:
            super().__init__()
            self.chance = chance

        def random(self) -> float:
            return self.chance

    for chance, factor in ((0.0, 0.8), (1.0, 1.2)):
        clock = Edge(chance)
        flaky = node("flaky")(Flaky(ConnectionError(), ConnectionError()))
        Sequence(flaky, clock=clock).execute(1, config={"error_config": {"base_delay": 0.5}})
        assert clock.slept == pytest.approx([0.5 * factor, factor])


@pytest.mark.parametrize(
    "error", [ConnectionError(), OSError(), TimeoutError(), MemoryError(), RuntimeError(), KeyError()]
)
def test_default_strategy_retries(error: Exception) -> None:
    assert attempts(error, {"base_delay": 0.1}) == 3
    assert attempts(error, {"max_retries": 7}) == 7


@pytest.mark.parametrize(
    "error",
    [TypeError(), ValueError(), AttributeError(), NameError(), SyntaxError(), PermissionError(), FatalError("no")],
)
def test_default_strategy_fails_at_once(error: Exception) -> None:
    assert attempts(error, {"max_retries": 7}) == 1


def test_strict_strategy() -> None:
    strict = {"strategy": "strict", "max_retries": 5}
    assert attempts(ConnectionError(), strict) == 2
    assert attempts(TimeoutError(), strict) == 2
    assert attempts(OSError(), strict) == 1
    assert attempts(ConnectionError(), {"strategy": "strict", "max_retries": 1}) == 1
    assert run(Flaky(ConnectionError()), strict) == (5, [0.5])
    failing = node("flaky")(Flaky(*[ConnectionError()] * 9))
    failing.fallback_value = "unused"
    with pytest.raises(ConnectionError):
        Sequence(failing, clock=InstantClock()).execute(1, config={"error_config": strict})


def test_permissive_strategy() -> None:
    assert attempts(ValueError(), {"strategy": "permissive"}) == 5
    assert attempts(ValueError(), {"strategy": "permissive", "max_retries": 2}) == 2
    for error in (TypeError(), AttributeError(), NameError(), SyntaxError()):
        assert attempts(error, {"strategy": "permissive"}) == 1
    _, slept = run(Flaky(*[ValueError()] * 4), {"strategy": "permissive", "max_delay": 3.0})
    assert slept == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (1, 1), (2, 2), (5, 5)])
def test_max_retries_counts_attempts(max_retries: int, calls: int) -> None:
    assert attempts(ConnectionError(), {"max_retries": max_retries}) == calls
    assert attempts(ConnectionError(), None, max_retries) == calls
    assert attempts(ConnectionError(), {"max_retries": 9}, max_retries) == calls


def test_config_for_single_nodes() -> None:
    first, second = Flaky(*[ConnectionError()] * 3), Flaky(*[ConnectionError()] * 3)
    workflow = Sequence(node("first")(first) >> node("second")(second), clock=InstantClock())
    config = {
        "error_config": {"max_retries": 2},
        "nodes": {"first": {"max_retries": 9}, "second": {"error_config": {"max_retries": 4}}},
        "timeouts": {"first": 3},
    }
    assert workflow.execute(1, config=config) == 1
    assert workflow.state.config["timeouts"] == {"first": 3}


def test_a_config_for_all_runs() -> None:
    flaky, clock = Flaky(*[ConnectionError()] * 3), InstantClock()
    config = {"error_config": {"max_retries": 3}, "place": "here"}
    workflow = Sequence(node("flaky")(flaky), config=config, clock=clock)
    with pytest.raises(ConnectionError):
        workflow.execute(1)
    assert (flaky.calls, workflow.state.config["place"]) == (3, "here")
    assert workflow.execute(1, config={}) == 1
    with pytest.raises(ValueError, match="strategy"):
        Sequence(node("flaky")(flaky), config={"error_config": {"strategy": "wild"}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"strategy": "wild"}, "strategy is one of default, strict, permissive, not 'wild'"),
        ({"max_retries": -1}, "max_retries is a number of attempts"),
        ({"max_retries": "3"}, "max_retries is a number of attempts"),
        ({"base_delay": -1}, "base_delay is a number of seconds"),
        ({"max_delay": "1s"}, "max_delay is a number of seconds"),
    ],
)
def test_wrong_configs(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(Flaky(), config)


def test_retryable_error_asks_for_itself() -> None:
    assert run(Flaky(RetryableError("busy", retry_after=7.5, max_retries=2)), None) == (5, [7.5])
    assert attempts(RetryableError("busy", max_retries=4), None) == 4
    assert attempts(RetryableError("busy"), None) == 3
    assert attempts(RetryableError("busy"), {"max_retries": 6}) == 6


def test_a_fallback_is_the_nodes_output() -> None:
    @node
    def recommend(user: int) -> list[str]:
        raise ConnectionError

    show = node("show")(lambda items: f"shows {items}")
    recommend.fallback_value = ["best sellers"]
    clock = InstantClock()
    workflow = Sequence(recommend >> show, clock=clock)
    assert workflow.execute(1) == "shows ['best sellers']"
    assert workflow.execute(1, config={"error_config": {"max_retries": 2}}) == "shows ['best sellers']"
    assert clock.slept == [1.0]


def test_a_fallback_also_counts_for_what_isnt_retried() -> None:
    failing = node("failing", fallback_value=0)(Flaky(ValueError()))
    assert Sequence(failing).execute(1, config={"error_config": {}}) == 0


def test_a_fallback_is_copied() -> None:
    failing = node("failing", fallback_value={"n": []})(Flaky(*[ValueError()] * 9))

    @node
    def spoil(value: dict[str, Any]) -> Any:
        value["n"].append(1)
        return value

    workflow = Sequence(failing >> spoil)
    assert workflow.execute(1) == workflow.execute(1) == {"n": [1]}


def test_the_nodes_own_error_with_a_note() -> None:
    error = ValueError("no such user")
    never = node("never")(Flaky())
    workflow = Sequence(node("fetch")(lambda x: x) >> node("check")(Flaky(error)) >> never, name="signup")
    with pytest.raises(ValueError, match="no such user") as caught:
        workflow.execute(1)
    assert str(caught.value) == "no such user"
    assert caught.value is error
    assert error.__notes__ == ["in workflow 'signup': node 'check', position 2 of 3, attempt 1 of 1"]
    assert never.exec.calls == 0
    assert type(pickle.loads(pickle.dumps(error))) is ValueError


def test_the_note_counts_attempts_and_is_not_repeated() -> None:
    error = ConnectionError()
    attempts(error, {"max_retries": 3})
    assert error.__notes__[0].endswith("node 'flaky', position 1 of 1, attempt 3 of 3")
    before = list(error.__notes__)
    workflow = Sequence(node("again")(Flaky(error, error)), name="w")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            workflow.execute(1)
    assert len(error.__notes__) == len(before) + 1


def test_a_note_says_which_branch() -> None:
    error = ValueError()
    with pytest.raises(ValueError):  # noqa: PT011
        Sequence(parallel(node("ok")(lambda x: x), node("bad")(Flaky(error))), name="w").execute(1)
    assert error.__notes__ == ["in workflow 'w': node 'bad', position 1 of 1 of branch 1.2, attempt 1 of 1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_never_caught(error: type[BaseException]) -> None:
    calls = []

    @node("interrupted", fallback_value=1)
    def interrupted(x: int) -> None:
        calls.append(x)
        raise error

    with pytest.raises(error):
        Sequence(interrupted).execute(1, config={"error_config": {}})
    assert calls == [1]


def test_stop_iteration_comes_through() -> None:
    with pytest.raises(StopIteration):
        Sequence(node("next")(lambda x: next(iter([])))).execute(1)


def test_errors_have_a_context() -> None:
    error = WorkflowError("broken", {"node_name": "n"})
    assert (str(error), error.context) == ("broken", {"node_name": "n"})
