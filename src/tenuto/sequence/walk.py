"""The walk over a sequence's stages: what runs next, with which arguments, and what its output means.

A walk is a generator. It yields what is to be done, a NodeExecution (call this node) or a Fork (walk these branches at
the same time), and is sent the outcome; a node's error is thrown into it. It returns the last output. It neither calls
a node, nor waits, nor asks for the time, so the same walk serves threads, an event loop, and executions that are
recorded and taken up again in another process: they differ in how they carry out what is yielded (carrying.py).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from tenuto.sequence.blocks import Parallel
from tenuto.sequence.decisions import MOST_ROUNDS, Decision, carried_value
from tenuto.sequence.errors import (
    MaxIterationsExceededError,
    ParallelTimeoutError,
    WorkflowError,
    WorkflowStoppedException,
    branch_error,
)
from tenuto.sequence.history import NodeExecution
from tenuto.sequence.parameters import Arguments
from tenuto.sequence.run import Run
from tenuto.sequence.scope import Scope
from tenuto.sequence.stages import Chain, Stage
from tenuto.sequence.state import ParallelResults

__all__ = ["Fork", "Outcome", "Walk", "compensate", "walk"]


class Outcome:
    """What became of a branch: a value or an error."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


class Fork:
    """Branches that are to be walked at the same time, `at_once` of them, within `timeout` seconds or without limit.

    It is answered by a list with the Outcome of each, None for one that was not finished in time; the scope of such a
    one is abandoned."""

    __slots__ = ("at_once", "branches", "timeout")

    #: It is no call of a node.
    is_call = False

    def __init__(self, branches: list[tuple[Walk, Scope]], at_once: int, timeout: float | None) -> None:
        self.branches = branches
        self.at_once = at_once
        self.timeout = timeout


Walk: TypeAlias = "Generator[NodeExecution | Fork, Any, Any]"


def walk(run: Run, scope: Scope, stages: tuple[Stage, ...], value: Any) -> Walk:
    """The walk of a whole run. If it fails, what can be undone is undone, the latest first."""
    try:
        return (yield from _walk_chain(run, scope, stages, value))
    except WorkflowStoppedException:
        raise
    except Exception as error:
        if run.undo:
            yield from compensate(run, scope, error)
        raise


def compensate(run: Run, scope: Scope, error: BaseException) -> Walk:
    """Undo what has been done, the latest first, because of `error`, which gets a note about what can't be undone."""
    undo, run.undo = run.undo, []
    for node, output in reversed(undo):
        try:
            yield from _walk_chain(run, scope, (node,), output)
        except Exception as failure:  # noqa: BLE001 - noted on the error that the caller gets
            error.add_note(f"compensation {node.name!r} failed, too: {type(failure).__name__}: {failure}")
    return None


class _Jump:
    """Result of a branch that goes back to a stage of an enclosing chain."""

    __slots__ = ("origin", "target", "value")

    def __init__(self, origin: Decision, target: Stage, value: Any) -> None:
        self.origin = origin
        self.target = target
        self.value = value


def _walk_chain(
    run: Run, scope: Scope, stages: tuple[Stage, ...], value: Any, enclosing: tuple[Stage, ...] = ()
) -> Walk:
    """`enclosing` has the stages of enclosing chains that a decision in this one may go back to."""
    index, count, stage = 0, len(stages), stages[0]
    previous: NodeExecution | None = None
    while True:
        scope.steps += 1
        if scope.steps > scope.max_steps:
            scope.check_steps()
        if stage.is_node:
            previous = execution = run.begin(stage, value, scope)  # type: ignore[arg-type]
            try:
                value = yield execution
            except Exception as error:  # noqa: BLE001 - `fail` raises it again, or has a fallback
                value = run.fail(execution, error, f"{index + 1} of {count}")
            else:
                run.finish(execution, value)
        elif stage.kind == "decision":
            earlier = (*enclosing, *stages[:index])
            value = yield from _walk_decision(run, scope, stage, value, previous, earlier)  # type: ignore[arg-type]
            if value.__class__ is _Jump:
                target = _position(value.target, stages[:index])
                if target is None:
                    return value
                _start_round(scope, stages[target : index + 1], value.origin)
                index, stage, value = target, value.target, value.value
                continue
            previous = None
        else:
            value = yield from _WALKERS[stage.kind](run, scope, stage, value)
            previous = None
        index, following = _following(stage, stages, index)
        if following is None:
            return value
        stage = following


def _following(stage: Stage, stages: tuple[Stage, ...], index: int) -> tuple[int, Stage | None]:
    """What comes after a stage: what it was linked to by hand, else the next one of the chain."""
    following = index + 1
    link = stage.next_node
    if link is None or (following < len(stages) and stages[following] is link):
        return (following, stages[following]) if following < len(stages) else (following, None)
    position = _position(link, stages)
    # Outside of the chain only links lead on.
    return (len(stages), link) if position is None else (position, link)


def _position(stage: Stage, stages: tuple[Stage, ...]) -> int | None:
    return next((index for index, other in enumerate(stages) if other is stage), None)


def _walk_decision(
    run: Run, scope: Scope, decision: Decision, value: Any, previous: NodeExecution | None, earlier: tuple[Stage, ...]
) -> Walk:
    """The branch's result, or a _Jump; the value itself if no condition holds."""
    if value.__class__ is Arguments:
        value = value.value
    branch = decision.choose(value, run.state)
    if branch is None:
        return value
    value = carried_value(previous, value)
    *before, last = branch.stages
    if _position(last, earlier) is None:
        return (yield from _walk_chain(run, scope, branch.stages, value, earlier))
    if not _may_go_back(scope, decision):
        return value
    if before:
        value = yield from _walk_chain(run, scope, tuple(before), value, earlier)
    return value if value.__class__ is _Jump else _Jump(decision, last, value)


def _may_go_back(scope: Scope, decision: Decision) -> bool:
    """Count a round; False if it is one too many and the current value is to go on."""
    rounds = scope.rounds.get(decision, 0)
    allowed = MOST_ROUNDS if decision.max_iter is None else decision.max_iter
    if rounds >= allowed:
        if decision.max_iter is None or decision.raise_on_max_iter:
            raise MaxIterationsExceededError(f"{decision.name!r} went back {rounds} times, which is all it may")
        return False
    scope.rounds[decision] = rounds + 1
    return True


def _start_round(scope: Scope, stages: tuple[Stage, ...], origin: Decision) -> None:
    """Go back over `stages`: the loops within start anew, all but the one that goes back."""
    scope.jump_back()
    for stage in stages:
        if isinstance(stage, Decision):
            if stage is not origin:
                scope.rounds.pop(stage, None)
            for branch in stage.branches:
                _forget_rounds(scope, branch.stages, origin)


def _forget_rounds(scope: Scope, stages: tuple[Stage, ...], origin: Decision) -> None:
    for stage in stages:
        if isinstance(stage, Decision) and stage is not origin:
            scope.rounds.pop(stage, None)
            for branch in stage.branches:
                _forget_rounds(scope, branch.stages, origin)


def _walk_block(run: Run, scope: Scope, block: Parallel, value: Any) -> Walk:
    fork, scopes = _fork(run, scope, block, value)
    outcomes: list[Outcome | None] = (yield fork) if fork.branches else []
    results: dict[str, Any] = {}
    errors: dict[str, Exception] = {}
    for branch, outcome in zip(scopes, outcomes, strict=True):
        scope.absorb(branch)
        if outcome is None:
            continue
        if isinstance(outcome.error, WorkflowStoppedException):
            raise outcome.error
        name = _unused(branch.last_name or block.name, results, errors)
        if outcome.error is None:
            results[name] = outcome.value
        else:
            errors[name] = outcome.error
    if None in outcomes:
        raise ParallelTimeoutError(f"the parallel block timed out after {block.timeout} seconds", results)
    if errors:
        raise branch_error(next(iter(errors)), errors, results)
    scope.outputs.update(results)
    run.state.outputs.update(results)
    merged = ParallelResults(results, scope.earlier_outputs())
    run.state.results.append(merged)
    scope.last_name = block.name
    return merged


def _fork(run: Run, scope: Scope, block: Parallel, value: Any) -> tuple[Fork, list[Scope]]:
    at_once = len(block.branches) if block.max_concurrent is None else block.max_concurrent
    if at_once < 1:
        raise ValueError(f"max_concurrent of a parallel block is at least 1, not {block.max_concurrent}")
    elements = value.value if value.__class__ is Arguments else value
    if block.scatters and isinstance(elements, list | tuple):
        inputs = [(block.branches[0], element) for element in elements]
    else:
        inputs = [(branch, value) for branch in block.branches]
    scopes = scope.branches(len(inputs))
    branches = [
        (_walk_chain(run, own, stages, given), own) for own, (stages, given) in zip(scopes, inputs, strict=True)
    ]
    return Fork(branches, min(at_once, len(block.branches)), block.timeout), scopes


def _unused(name: str, *taken: dict[str, Any]) -> str:
    """`name`, or `name_2`, `name_3` ... if it is taken."""
    candidate, number = name, 1
    while any(candidate in names for names in taken):
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _walk_nested(run: Run, scope: Scope, nested: Any, value: Any) -> Walk:
    if not nested.stages:
        raise WorkflowError(f"sequence {nested.name!r} has no nodes")
    given = value.value if value.__class__ is Arguments else value
    inside = scope.inside(nested.name, nested.max_steps)
    execution = run.begin_nested(nested, given, scope)
    try:
        output = yield from _walk_chain(run, inside, nested.stages, value)
    except Exception as error:  # noqa: BLE001 - `fail` raises it again
        return run.fail(execution, error, "inside")
    run.finish(execution, output)
    return output


def _walk_inner_chain(run: Run, scope: Scope, chain: Chain, value: Any) -> Walk:
    return (yield from _walk_chain(run, scope, chain.stages, value))


_WALKERS: dict[str, Callable[..., Walk]] = {
    "block": _walk_block,
    "chain": _walk_inner_chain,
    "sequence": _walk_nested,
}
