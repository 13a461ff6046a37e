"""The scenario of named steps: each kind of them, with retries, a race, a wait, a time-out and rollbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tenuto.client import Client, WorkflowFailureError
from tenuto.model.events import AnyEvent
from tenuto.steps import WorkflowEntrypoint, WorkflowStep, WorkflowTimeoutError
from tests.support.world import Ledger, World

#: A crash costs an attempt, and there may be many.
ALWAYS = {"retries": {"limit": float("inf"), "delay": "1 second", "backoff": "constant"}}


def make_named_steps(ledger: Ledger) -> tuple[Sequence[type[Any]], Sequence[Callable[..., Any]]]:
    """The workflow `Steps`, whose callbacks write into the ledger."""

    class Steps(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            def work(what: str, *, fails: int = 0, undone: bool = False) -> Any:
                async def callback(ctx: Any) -> str:
                    if ctx.attempt <= fails:
                        raise ValueError(what)
                    ledger.record(what)
                    return f"did {what}"

                rollback = (lambda _: ledger.record(f"un{what}")) if undone else None
                return step.do(what, ALWAYS, callback, rollback=rollback, rollback_config=ALWAYS)

            first = await asyncio.gather(work("a", undone=True), work("b", fails=2))
            await step.sleep("nap", "20 seconds")
            waits = [asyncio.create_task(wait) for wait in (step.sleep("long", "1 hour"), work("c"))]
            _, losers = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for loser in losers:
                loser.cancel()
            got = [(await step.wait_for_event(f"wait {n}", type="word")).payload for n in range(2)]
            try:
                await step.wait_for_event("too late", type="word", timeout="5 seconds")
            except WorkflowTimeoutError:
                await work("d", undone=True)
            raise ValueError(f"{first} {got}")

    return [Steps], []


async def named_steps_script(world: World, client: Client) -> Any:
    # Imported here, because that module lists this scenario.
    from tests.crash.scenarios import signal, start

    handle = await start(client, "Steps")
    for word in ("one", "two"):
        await signal(world, handle, "word", word)
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        return str(error.cause)


def named_steps_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == "ValueError: ['did a', 'did b'] ['one', 'two']"
    assert world.ledger.once == dict.fromkeys(("a", "b", "c", "d", "und", "una"), 1)
    undone = [what for what, _ in world.ledger.effects if what.startswith("un")]
    assert list(dict.fromkeys(undone)) == ["und", "una"], "newest first"
