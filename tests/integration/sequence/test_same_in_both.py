"""Whatever a sequence is made of: in memory, async, and as a durable run that is forgotten after each step, it gives
the same output and the same state."""

from __future__ import annotations

import random
from typing import Any

from tenuto.client import Client
from tenuto.sequence import Sequence, SharedState, _, decision, node, parallel
from tenuto.worker import Worker

SEEDS = 40


@node
def add(x: int, state: SharedState) -> int:
    with state.lock:
        state["adds"] = state.get("adds", 0) + 1
    return x + 1


@node
async def double(x: int) -> int:
    return x * 2 % 1001


@node
def total(results: Any, state: SharedState) -> int:
    values = [v if isinstance(v, int) else sum(v) for v in results.values()]
    state.setdefault("totals", []).append(sum(values))
    return int(sum(values)) % 1001


@node
def pair(x: int):  # type: ignore[no-untyped-def]
    return x, x + 1


@node
def join(a: int, b: int) -> int:
    return a + b


@node("fails", fallback_value=3)
def fails(x: int) -> int:
    raise ConnectionError


@node
def spread(x: int) -> list[int]:
    return list(range(x % 4))


class Maker:
    """Random chains from int to int."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loops = 0

    def chain(self, depth: int) -> Any:
        chain = self.stage(depth)
        for _number in range(self.chance.randrange(3)):
            chain = chain >> self.stage(depth)
        return chain

    def stage(self, depth: int) -> Any:
        kinds = ["add", "double", "fails", "pair"]
        kinds += ["block", "scatter", "decision", "loop", "nested"] if depth else []
        match self.chance.choice(kinds):
            case "add":
                return add.alias("add")  # another node: a branch that ends with the same one would go back to it
            case "double":
                return double.alias("double")
            case "fails":
                return fails.alias("fails")
            case "pair":
                return pair >> join.alias("join")
            case "block":
                branches = [self.chain(depth - 1) for _number in range(self.chance.randrange(1, 4))]
                return parallel(*branches, max_concurrent=self.chance.choice([None, 1, 2])) >> total.alias("total")
            case "scatter":
                return spread >> parallel(add, add) >> total.alias("total")
            case "decision":
                even = (lambda x: x % 2 == 0) >> self.chain(depth - 1)
                # After a node that returns what it takes, so that the branch gets its output.
                return double.alias("double") >> decision(
                    even, range(100) >> self.chain(depth - 1), _ >> add.alias("add")
                )
            case "loop":
                self.loops += 1
                back = double.alias(f"again{self.loops}")
                return back >> decision((lambda x: x % 3 != 0) >> back, "never" >> add.alias("add"), max_iter=3)
            case _:
                return Sequence(self.chain(depth - 1), name=f"inner{self.chance.randrange(3)}")


async def test_the_same_everywhere() -> None:
    sequences = [Sequence(Maker(seed).chain(3) >> add, name=f"random-{seed}") for seed in range(SEEDS)]
    workflows: list[Any] = sequences
    async with await Client.connect("memory://") as client, Worker(client, workflows=workflows, max_cached_workflows=0):
        for seed, sequence in enumerate(sequences):
            results = [sequence.execute(seed)]
            states = [dict(sequence.state)]
            sequence.reset()
            results.append(await sequence.async_execute(seed))
            states.append(dict(sequence.state))
            handle = await client.start_workflow(sequence, seed, id=sequence.name)
            results.append(await handle.result())
            states.append(await handle.query("state"))
            assert results == results[:1] * 3, sequence.get_schema("text", "full")
            plain = [{key: state.get(key) for key in ("adds", "totals", "total", "join")} for state in states]
            for state in plain:
                state["totals"] = sorted(state["totals"] or [])
            assert [p["adds"] for p in plain] == [plain[0]["adds"]] * 3, sequence.get_schema("text", "full")
            assert [p["totals"] for p in plain] == [plain[0]["totals"]] * 3, sequence.get_schema("text", "full")
