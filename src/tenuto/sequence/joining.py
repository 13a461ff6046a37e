"""`>>`: stages into chains."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from tenuto.sequence.blocks import Parallel
from tenuto.sequence.nodes import BaseNode, FunctionNode
from tenuto.sequence.stages import Chain, Stage
from tenuto.sequence.type_checks import check_join

__all__ = ["as_stage", "join", "stages_of"]


def join(left: Any, right: Any) -> Chain:
    """`left >> right`. Raises TypeError if either can't be in a chain or, in the strict mode, if their types differ."""
    first, second = _operand(left, left, right), _operand(right, left, right)
    check_join(first, second)
    return Chain(stages_of(first) + stages_of(second))


def _operand(value: Any, left: Any, right: Any) -> Stage:
    try:
        return as_stage(value)
    except TypeError as error:
        raise TypeError(f"Cannot chain {left!r} with {right!r}: {error}") from None


def as_stage(value: Any) -> Stage:
    """`value` as something for a chain: a plain function becomes a node. Raises TypeError."""
    if isinstance(value, Stage):
        return value
    if isinstance(value, type) and issubclass(value, BaseNode):
        made: Stage = value()  # type: ignore[call-arg]
        return made
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return FunctionNode(value, value.__name__)
    raise TypeError(
        f"{value!r} is no node, chain, parallel block, decision, sequence or function; a condition, as in "
        "'\"even\" >> handler', belongs into decision(...)"
    )


def stages_of(stage: Stage) -> tuple[Stage, ...]:
    """The stages of a chain; of anything else, itself."""
    return stage.stages if isinstance(stage, Chain) else (stage,)


def parallel(*branches: Any, max_concurrent: int | None = None, timeout: float | None = None) -> Parallel:
    """A block of branches that run at the same time. Each gets the value before the block; the result is a dict with
    an entry for each branch, in their order, under the name of the last node that the branch executed.

    If all branches are the same node and the value is a list or tuple, its elements are distributed instead: as many
    workers as there are branches, one entry for each element (`name`, `name_2`, ...), in the order of the elements.

    max_concurrent: how many branches run at the same time; None for all.
    timeout: seconds for the whole block, or None; ParallelTimeoutError after that. A thread can't be stopped: what it
        returns later is ignored.

    Raises ValueError without a branch, TypeError for one that can't be in a chain."""
    if not branches:
        raise ValueError("parallel() needs at least one branch")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"a block's timeout is a positive number of seconds, not {timeout!r}")
    return Parallel(tuple(_branches(branches)), max_concurrent, timeout)


def _branches(branches: Iterable[Any]) -> Iterable[tuple[Stage, ...]]:
    for branch in branches:
        yield stages_of(as_stage(branch))
