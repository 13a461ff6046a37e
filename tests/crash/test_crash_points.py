"""Break every scenario at every commit, in every way, and see that nothing is lost, doubled or out of order.

Each round breaks commit n, for n = 1, 2, ... until a round is over before its n-th commit."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tenuto.engine import ownership
from tenuto.store.protocol import PARTITIONS
from tenuto.testing.faults import FaultyStore
from tests.crash.scenarios import SCENARIOS, Scenario, new_world
from tests.support.world import World

Inject = Callable[[FaultyStore, int], None]

#: A disk that fails, and a process that dies; each before anything was written, and after it was.
FAULTS: dict[str, Inject] = {
    "fail-before": lambda store, n: store.fail("commit", n),
    "fail-after": lambda store, n: store.fail("commit", n, after=True),
    "die-before": lambda store, n: store.die("commit", n),
    "die-after": lambda store, n: store.die("commit", n, after=True),
}
MOST_COMMITS = 500
#: What may happen to these with one crash is stated; with many, the same happens often.
LOSES_ATTEMPTS = {"at-most-once", "retries"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_commit_in_memory(scenario: Scenario, fault: str) -> None:
    await break_everywhere(scenario, FAULTS[fault], lambda n: f"memory://{uuid4()}")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_commit_in_a_file(scenario: Scenario, fault: str, tmp_path: Path) -> None:
    await break_everywhere(scenario, FAULTS[fault], lambda n: f"sqlite:///{tmp_path / f'{n}.db'}?synchronous=NORMAL")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_commit_without_a_cache(scenario: Scenario, fault: str) -> None:
    """Every execution is evicted as soon as it waits, and so is replayed at every step."""
    await break_everywhere(scenario, FAULTS[fault], lambda n: f"memory://{uuid4()}", max_cached_workflows=0)


@pytest.mark.parametrize("slow", [1, 4])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_commit_of_a_slow_store(scenario: Scenario, fault: str, slow: int) -> None:
    """Much happens while a commit is under way."""

    def inject(store: FaultyStore, n: int) -> None:
        store.slow = slow
        FAULTS[fault](store, n)

    await break_everywhere(scenario, inject, lambda n: f"memory://{uuid4()}")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_commit_of_one_of_two_engines(
    scenario: Scenario, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has half of the partitions, and all of them as soon as this one is dead."""
    monkeypatch.setattr(ownership, "GENTLE", PARTITIONS)

    def beside(world: World) -> AbstractAsyncContextManager[object]:
        return world.neighbour()

    await break_everywhere(scenario, FAULTS[fault], lambda n: f"memory://{uuid4()}", beside)


@pytest.mark.parametrize("verb", ["load", "due", "receive", "purge", "waiting_tasks"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_read_that_fails(scenario: Scenario, verb: str) -> None:
    """A store that can't be read for a moment holds nobody up for longer than that."""

    def inject(store: FaultyStore, n: int) -> None:
        for number in range(n, n + 3):
            store.fail(verb, number)

    world = new_world(scenario, f"memory://{uuid4()}")
    _, result = await world.live(scenario.script, lambda store: inject(store, 1), max_cached_workflows=0)
    scenario.check(world, result, await world.check())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_a_disk_that_fails_again_and_again(scenario: Scenario, after: bool) -> None:
    """Every second commit fails, for as long as the scenario lasts."""

    def inject(store: FaultyStore) -> None:
        for number in range(1, 400, 2):
            store.fail("commit", number, after=after)

    world = new_world(scenario, f"memory://{uuid4()}")
    _, result = await world.live(scenario.script, inject)
    scenario.check(world, result, await world.check())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.name not in LOSES_ATTEMPTS], ids=str)
async def test_a_process_that_dies_again_and_again(scenario: Scenario, after: bool) -> None:
    """No life gets further than its third commit; than its fifth where attempts outlive a commit, for which that they
    have begun is committed, too."""
    world = new_world(scenario, f"memory://{uuid4()}")
    last = 5 if scenario.name == "named-steps" else 3
    for _ in range(300):
        store, result = await world.live(scenario.script, lambda store: store.die("commit", last, after=after))
        if not store.dead:
            scenario.check(world, result, await world.check())
            return
    raise AssertionError("it never ends")


async def break_everywhere(
    scenario: Scenario,
    inject: Inject,
    url: Callable[[int], str],
    beside: Callable[[World], AbstractAsyncContextManager[object]] = nullcontext,
    **worker: Any,
) -> None:
    for n in range(1, MOST_COMMITS):
        world = new_world(scenario, url(n))
        try:
            async with beside(world):
                store, result = await world.live(
                    scenario.script,
                    lambda store, n=n: inject(store, n),  # type: ignore[misc]
                    **worker,
                )
                happened = bool(store.happened)
                if store.dead:
                    _, result = await world.live(scenario.script, **worker)
            scenario.check(world, result, await world.check())
        except BaseException as error:
            error.add_note(f"{scenario} broken at commit {n}")
            raise
        if not happened:
            assert n > 3, "there were hardly any commits to break"
            return
    raise AssertionError(f"{scenario} never ends")
