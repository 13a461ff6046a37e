"""Decisions: which branch a run takes, and whether it goes back."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

from tenuto.sequence.conditions import NodeMapper
from tenuto.sequence.stages import Stage
from tenuto.sequence.state import SharedState

if TYPE_CHECKING:
    from tenuto.sequence.history import NodeExecution

__all__ = ["Decision", "carried_value", "decision"]

#: Jumps back that a decision may make when it is given no `max_iter`.
MOST_ROUNDS = 1000


class Decision(Stage):
    """Branches with conditions; made by `decision(...)`."""

    kind = "decision"

    def __init__(
        self, branches: tuple[NodeMapper, ...], max_iter: int | None, name: str, raise_on_max_iter: bool
    ) -> None:
        super().__init__(name)
        self.branches = branches
        self.max_iter = max_iter
        self.raise_on_max_iter = raise_on_max_iter
        self._ranked = sorted(branches, key=lambda branch: branch.priority)

    def choose(self, value: Any, state: SharedState) -> NodeMapper | None:
        """The branch for a value; None if no condition holds."""
        for branch in self._ranked:
            if branch.matches(value, state):
                return branch
        return None


def decision(
    *branches: Any, max_iter: int | None = None, name: str | None = None, raise_on_max_iter: bool = False
) -> Decision:
    """A choice of what comes next, by the value before it: `router >> decision("even" >> halve, _ >> triple)`.

    If no condition holds, the value goes on unchanged. After the branch, the chain after the decision goes on with the
    branch's result. A branch that names an earlier node of the chain goes back to it; `max_iter` is how many times,
    1000 unless it is given. Then the current value goes on, or, with `raise_on_max_iter` or without `max_iter`,
    MaxIterationsExceededError is raised.

    The branch is given the router's *input* if the router only classifies (its result is a Literal, or of another
    type than its input), and its *output* if it transforms (same type), or has no input.

    Raises ValueError for fewer than two branches, TypeError for one without a condition."""
    mappers = []
    for branch in branches:
        if not isinstance(branch, NodeMapper):
            raise TypeError(
                f"a branch of a decision is 'condition >> node', not {branch!r}; the default is '_ >> node'"
            )
        mappers.append(branch)
    if len(mappers) < 2:
        raise ValueError(f"a decision has at least 2 branches, not {len(mappers)}")
    if max_iter is not None and (type(max_iter) is not int or max_iter < 0):
        raise ValueError(f"max_iter is a number of jumps back, 0 or more, not {max_iter!r}")
    return Decision(tuple(mappers), max_iter, name or "decision", raise_on_max_iter)


def carried_value(router: NodeExecution | None, value: Any) -> Any:
    """What the branch is given, if `router` was the node before the decision and `value` its output."""
    if router is None or not router.node.parameters.inputs:
        return value
    parameters = router.node.parameters
    before, after = parameters.inputs[0].hint, parameters.result
    if typing.get_origin(after) is typing.Literal:
        return router.input_value
    kinds = (_kind(before), _kind(after))
    if None in kinds:
        kinds = (type(router.input_value), type(value))
    return value if kinds[0] is kinds[1] else router.input_value


def _kind(hint: Any) -> Any:
    """The class of a hint, None if it says nothing that could be compared."""
    if hint is None or isinstance(hint, str) or hint is Any:
        return None
    kind = typing.get_origin(hint) or hint
    return kind if isinstance(kind, type) and kind is not types.UnionType else None
