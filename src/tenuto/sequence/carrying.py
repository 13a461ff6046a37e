"""How a walk is carried out in this process.

`execute` stays in the caller's thread from node to node and enters an event loop only for what needs one: async nodes
and blocks. `async_execute` stays on the caller's loop and hands stretches of sync nodes to a thread, one thread for a
whole stretch. Branches of a block are carried out as `async_execute` does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from tenuto.sequence.errors import WorkflowStoppedException
from tenuto.sequence.gate import Gate
from tenuto.sequence.history import NodeExecution
from tenuto.sequence.portal import Portal
from tenuto.sequence.run import Run
from tenuto.sequence.scope import Scope
from tenuto.sequence.threads import in_thread
from tenuto.sequence.walk import Fork, Outcome, Walk

__all__ = ["Finished", "carry_out", "carry_out_async", "carry_out_branches", "carry_out_steps", "send", "throw"]

#: Seconds that branches, cancelled because their block timed out, get to end.
GRACE = 0.1


class Finished:
    """The walk's result."""

    __slots__ = ("value",)
    is_call = False

    def __init__(self, value: Any) -> None:
        self.value = value


_Request = Any  # NodeExecution | Fork | Finished; `is_call` tells, at less cost than isinstance


def carry_out(run: Run, walk: Walk, scope: Scope, gate: Gate) -> Any:
    """Carry out a walk in this thread; its result."""
    with Portal() as portal:
        request = send(walk, None)
        while True:
            request = _stretch(run, walk, request, scope, gate)
            if isinstance(request, Finished):
                return request.value
            request = _answer(walk, portal.run, _async_call(run, request, gate))


def carry_out_steps(run: Run, walk: Walk, scope: Scope, gate: Gate) -> Iterator[Any]:
    """Carry out a walk in this thread, pausing after each call or block: yields None, and the result at last."""
    with Portal() as portal:
        request = send(walk, None)
        while not isinstance(request, Finished):
            if request.is_call and not request.node.is_async:
                _pass(scope, gate)
                request = _answer(walk, lambda execution: _attempt(run, execution), request)
            else:
                request = _answer(walk, portal.run, _async_call(run, request, gate))
            yield request.value if isinstance(request, Finished) else None


def _answer(walk: Walk, carry: Any, call: Any) -> _Request:
    try:
        outcome = carry(call)
    except Exception as error:  # noqa: BLE001 - the walk knows what to do about it
        return throw(walk, error)
    return send(walk, outcome)


async def carry_out_async(run: Run, walk: Walk, scope: Scope, gate: Gate) -> Any:
    """Carry out a walk on this loop; its result. If this is cancelled, no further node begins."""
    try:
        request = send(walk, None)
        while not isinstance(request, Finished):
            if request.is_call and not request.node.is_async:
                request = await in_thread(_stretch, run, walk, request, scope, gate)
                continue
            try:
                outcome = await _async_call(run, request, gate)
            except Exception as error:  # noqa: BLE001 - the walk knows what to do about it
                request = throw(walk, error)
            else:
                request = send(walk, outcome)
        return request.value
    except asyncio.CancelledError:
        scope.abandoned = True
        raise


def send(walk: Walk, outcome: Any) -> _Request:
    """Tell a walk the outcome of what it asked for: its next request, or that it has finished."""
    try:
        return walk.send(outcome)
    except StopIteration as stop:
        return Finished(stop.value)


def throw(walk: Walk, error: Exception) -> _Request:
    """Tell a walk that what it asked for failed."""
    try:
        return walk.throw(error)
    except StopIteration as stop:
        return Finished(stop.value)


def _stretch(run: Run, walk: Walk, request: _Request, scope: Scope, gate: Gate) -> _Request:
    """Call one sync node after the other in this thread, up to what needs a loop, or the end."""
    try:
        while request.is_call and not request.node.is_async:
            if scope.abandoned or gate.closed:
                _pass(scope, gate)
            try:
                outcome = _attempt(run, request)
            except Exception as error:  # noqa: BLE001 - the walk knows what to do about it
                request = walk.throw(error)
            else:
                request = walk.send(outcome)
    except StopIteration as stop:
        return Finished(stop.value)
    return request


def _pass(scope: Scope, gate: Gate) -> None:
    if gate.closed:
        gate.pass_through()
    if scope.abandoned:
        raise WorkflowStoppedException("nobody waits for this branch any more")


def _attempt(run: Run, execution: NodeExecution) -> Any:
    """Call a node, again if its policy says so."""
    while True:
        if run.watch.active:
            run.watch.attempt_began(execution)
        try:
            return execution.node.call(*execution.args, **execution.kwargs)
        except Exception as error:  # noqa: BLE001 - raised again if it was the last attempt
            run.clock.sleep(run.delay_or_raise(execution, error))


async def _async_call(run: Run, request: Any, gate: Gate) -> Any:
    if gate.closed:
        await in_thread(gate.pass_through)
    if isinstance(request, Fork):
        return await _carry_out_fork(run, request, gate)
    while True:
        if run.watch.active:
            run.watch.attempt_began(request)
        try:
            return await request.node.call(*request.args, **request.kwargs)
        except Exception as error:  # noqa: BLE001 - raised again if it was the last attempt
            await run.clock.async_sleep(run.delay_or_raise(request, error))


async def _carry_out_fork(run: Run, fork: Fork, gate: Gate) -> list[Outcome | None]:
    async def wait(workers: list[asyncio.Task[None]], timeout: float | None) -> None:
        await asyncio.wait(workers, timeout=timeout)

    return await carry_out_branches(fork, lambda walk, scope: carry_out_async(run, walk, scope, gate), wait)


async def carry_out_branches(
    fork: Fork,
    carry: Callable[[Walk, Scope], Awaitable[Any]],
    wait: Callable[[list[asyncio.Task[None]], float | None], Awaitable[None]],
) -> list[Outcome | None]:
    """Carry out the branches of a fork in as many tasks as it allows. `wait` returns when all have ended, or the time
    is up; those that have not ended then are cancelled, and get GRACE for it."""
    outcomes: list[Outcome | None] = [None] * len(fork.branches)
    waiting = iter(range(len(fork.branches)))
    workers = [
        asyncio.create_task(_work(fork, waiting, outcomes, carry)) for _ in range(min(fork.at_once, len(outcomes)))
    ]
    try:
        await wait(workers, fork.timeout)
        reported = list(outcomes)
        late = [worker for worker in workers if not worker.done()]
        for worker in late:
            worker.cancel()
        if late:
            await wait(late, GRACE)
        else:
            for worker in workers:
                worker.result()  # raises what is no Exception, such as SystemExit
        return reported
    finally:
        for (_, scope), outcome in zip(fork.branches, outcomes, strict=True):
            scope.abandoned = scope.abandoned or outcome is None
        for worker in workers:
            worker.cancel()


async def _work(
    fork: Fork, waiting: Iterator[int], outcomes: list[Outcome | None], carry: Callable[[Walk, Scope], Awaitable[Any]]
) -> None:
    for index in waiting:
        walk, scope = fork.branches[index]
        try:
            outcomes[index] = Outcome(await carry(walk, scope))
        except Exception as error:  # noqa: BLE001 - reported to the walk
            outcomes[index] = Outcome(error=error)
