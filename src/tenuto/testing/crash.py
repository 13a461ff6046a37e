"""Crash tests: a scenario is run with a crash at every commit, and goes on after it in another process.

    async def scenario(env):
        async with Worker(env.client, workflows=[Checkout], activities=[charge]):
            handle = await env.client.start_workflow(Checkout.run, ORDER, id="order-42", request_id="order-42")
            return await handle.result()

    async for point in crash_points(scenario):
        assert point.result == "paid"
        assert bank.charged() == {"order-42": 1}
        bank.reset()

The scenario is run again from its beginning after a crash, as somebody does who has got no answer. So it has to be one
that can be repeated: requests have ids, by which they are known when they come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any
from uuid import uuid4

from msgspec import Struct

from tenuto.store.urls import open_store
from tenuto.testing.environment import WorkflowEnvironment
from tenuto.testing.faults import ProcessDiedError

__all__ = ["CrashPoint", "crash_points"]

Scenario = Callable[[WorkflowEnvironment], Awaitable[Any]]

#: Seconds that a scenario may take from one start to its end or a crash.
LONGEST = 60.0


class CrashPoint(Struct, frozen=True):
    """A scenario that was crashed in one place, and has ended nevertheless.

    - `commit` is the number of the commit at which the process died, from 1: just before it was written, or just
      `after`. It did not die (`crashed`) if the scenario ended with fewer commits.
    - `result` is what the scenario returned in the end.
    - `env` is the environment that it ended in, to look at histories and to ask for results."""

    commit: int
    after: bool
    crashed: bool
    result: Any
    env: WorkflowEnvironment

    def __str__(self) -> str:
        where = f"a crash just {'after' if self.after else 'before'} commit {self.commit}"
        return where if self.crashed else f"no crash, as there is no commit {self.commit}"


async def crash_points(scenario: Scenario) -> AsyncIterator[CrashPoint]:
    """Run `scenario` with a crash just before its first commit, its second, and so on, then just after each; the last
    time of both without a crash. Each time has a store of its own. Time is skipped as in every environment.

    Raises what the scenario raises, with a note that says where the crash was; TimeoutError if it hangs for a minute
    after a crash."""
    for after in (False, True):
        for commit in count(1):
            async for point in _crash(scenario, commit, after):
                yield point
            if not point.crashed:
                break


async def _crash(scenario: Scenario, commit: int, after: bool) -> AsyncIterator[CrashPoint]:
    """Let the process die at one commit; what is yielded, once, is what has come of it."""
    url = f"memory://crash-{uuid4()}"
    store = open_store(url)  # as long as it is there, what is in it is
    first = WorkflowEnvironment.start_time_skipping(url)
    first.store.die("commit", commit, after=after)
    env = first
    try:
        env = await first
        crashed, result = await _live(scenario, env)
        if crashed:
            await env.shutdown()
            second = WorkflowEnvironment.start_time_skipping(url)
            second.clock = first.clock  # time does not go back
            env = await second
            _, result = await _live(scenario, env)
        first.store.forget_faults()
        yield CrashPoint(commit, after, crashed, result, env)
    except Exception as error:
        error.add_note(f"With a crash just {'after' if after else 'before'} commit {commit}.")
        raise
    finally:
        await env.shutdown()
        del store


async def _live(scenario: Scenario, env: WorkflowEnvironment) -> tuple[bool, Any]:
    """Run the scenario to its end or that of its process. Returns whether that died, and the result."""
    # A task of its own: when the process dies, whatever runs in it is cancelled.
    task = asyncio.ensure_future(_awaited(scenario, env))
    try:
        async with asyncio.timeout(LONGEST):
            await asyncio.wait({task})
    finally:
        task.cancel()
    try:
        return False, task.result()
    except (Exception, asyncio.CancelledError):
        if env.store.dead:
            return True, None
        raise


async def _awaited(scenario: Scenario, env: WorkflowEnvironment) -> Any:
    result = await scenario(env)
    if env.store.dead:
        raise ProcessDiedError("the process has died")
    return result
