"""The shared state of durable runs: what is recorded with each result brings it back."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tenuto.activities.step_errors import WorkflowFatalError
from tenuto.converter import DataConverter
from tenuto.sequence import SharedState
from tenuto.sequence.recording import AttemptStore, Change, LiveKeys, SharedKeys


def keys() -> SharedKeys:
    return SharedKeys(DataConverter.default, LiveKeys())


def attempt(shared: SharedKeys) -> AttemptStore:
    return AttemptStore(shared, "node")


def recorded(store: AttemptStore) -> dict[str, Change]:
    """The changes, as they come back from a store."""
    converter = DataConverter.default
    changes: dict[str, Change] = converter.decode(converter.encode(store.changes()), dict[str, Change])
    return changes


def replayed(*results: dict[str, Change]) -> dict[str, Any]:
    """The keys in a process that only has the records."""
    shared = keys()
    for changes in results:
        shared.commit(changes)
    assert shared.live.values == shared.committed
    return shared.committed


def test_what_is_set_and_deleted_is_recorded() -> None:
    shared = keys()
    first = attempt(shared)
    first["a"], first["b"] = 1, [2]
    results = [recorded(first)]
    second = attempt(shared)
    del second["a"]
    second["b"].append(3)
    assert (dict(second), len(second), "a" in second) == ({"b": [2, 3]}, 1, False)
    with pytest.raises(KeyError):
        del second["a"]
    results.append(recorded(second))
    assert replayed(*results) == shared.live.values == {"b": [2, 3]}


def test_what_is_only_read_is_not_recorded() -> None:
    shared = keys()
    first = attempt(shared)
    first["a"] = {"x": 1}
    second = attempt(shared)
    assert second["a"]["x"] == 1
    assert recorded(second) == {}


def test_the_last_one_to_set_a_key_wins_whatever_is_recorded_first() -> None:
    shared = keys()
    left, right = attempt(shared), attempt(shared)
    left["n"], right["n"] = 1, 2
    results = [recorded(right), recorded(left)]
    assert replayed(*results) == replayed(*reversed(results)) == shared.live.values == {"n": 2}


def test_an_attempt_that_fails_is_undone() -> None:
    shared = keys()
    first = attempt(shared)
    first["a"], first["list"] = 1, [1]
    kept = recorded(first)
    failing = attempt(shared)
    failing["a"], failing["new"] = 5, 6
    failing["list"].append(object())
    failing["a"] = 7
    failing.undo()
    assert shared.live.values == {"a": 1, "list": [1]} == replayed(kept)


def test_undoing_leaves_alone_what_another_branch_set_since() -> None:
    shared = keys()
    failing, other = attempt(shared), attempt(shared)
    failing["n"] = 1
    other["n"] = 2
    failing.undo()
    assert shared.live.values == {"n": 2} == replayed(recorded(other))


def test_a_value_that_another_branch_overwrote_and_undid_is_on_record() -> None:
    shared = keys()
    good, failing = attempt(shared), attempt(shared)
    good["n"] = 1
    failing["n"] = 2
    result = recorded(good)
    failing.undo()
    assert shared.live.values == {"n": 1} == replayed(result)


def test_what_cant_be_stored_is_told() -> None:
    shared = keys()
    bad = attempt(shared)
    bad["lock"] = object()
    with pytest.raises(WorkflowFatalError, match="node 'node' set the key 'lock' of the shared state"):
        bad.changes()


def test_a_view_of_the_state_works_on_the_attempts_keys() -> None:
    shared = keys()
    state = SharedState()
    state.outputs["node"] = 7
    view = SharedState.view(state, attempt(shared))
    view["a"] = view.get("a", 0) + 1
    assert view.setdefault("b", 5) == 5
    assert view.pop("b") == 5
    view.update(c=3)
    assert dict(view) == {"node": 7, "a": 1, "c": 3}
    assert dict(state) == {"node": 7}
    view.clear()
    assert shared.live.values == {}


@pytest.mark.parametrize("seed", range(30))
def test_replay_brings_back_what_was_there_at_the_end(seed: int) -> None:
    chance = random.Random(seed)
    shared = keys()
    under_way: list[AttemptStore] = []
    results: list[dict[str, Change]] = []
    for _ in range(60):
        match chance.choice("bwwwe"):
            case "b":
                under_way.append(attempt(shared))
            case "w" if under_way:
                store, key = chance.choice(under_way), chance.choice("abc")
                if chance.random() < 0.2:
                    store.pop(key, None)
                else:
                    store[key] = chance.randrange(1000)
            case "e" if under_way:
                store = under_way.pop(chance.randrange(len(under_way)))
                results.append(recorded(store))
                shared.commit(results[-1])
    for store in under_way:
        results.append(recorded(store))
        shared.commit(results[-1])
    assert replayed(*results) == shared.live.values == shared.committed
