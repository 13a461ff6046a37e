"""Whether what one node returns is what the next one expects, as far as their annotations say."""

from __future__ import annotations

import types
import typing
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tenuto.sequence.nodes import BaseNode
from tenuto.sequence.stages import Chain, Stage

__all__ = [
    "TypeMismatchWarning",
    "WorkflowTypeChecker",
    "check_join",
    "check_node_chain_types",
    "get_type_checker",
    "set_type_checking_mode",
    "type_checking_mode",
]

#: Nothing is known about a type.
_ANYTHING = (None, Any, object)
_UNIONS = (typing.Union, types.UnionType)
_SEVERAL = (tuple, list, dict)


class TypeMismatchWarning(UserWarning):
    """Two nodes were chained whose annotations don't fit; an error in the strict mode."""


class WorkflowTypeChecker:
    """Checks chains while they are built. `strict`: a mismatch is a TypeError, not a warning."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict

    def mismatches(self, stage: Stage) -> list[str]:
        """All mismatches within a stage, however it is nested."""
        return list(_within(_stages_of(stage)))

    def is_compatible(self, returned: Any, expected: Any) -> bool:
        """True if a value of the one type is good where the other is expected."""
        return _fits(returned, expected)


_checker = WorkflowTypeChecker()


def get_type_checker() -> WorkflowTypeChecker:
    """The checker of this process; `get_type_checker().strict` is the mode."""
    return _checker


def set_type_checking_mode(strict: bool = False) -> None:
    """With `strict`, nodes whose types don't fit raise TypeError when they are chained; else they are warned about."""
    _checker.strict = strict


@contextmanager
def type_checking_mode(strict: bool) -> Iterator[None]:
    """The mode within a `with` block."""
    before = _checker.strict
    _checker.strict = strict
    try:
        yield
    finally:
        _checker.strict = before


def check_node_chain_types(chain: Stage) -> list[str]:
    """The mismatches of a chain; none if all fits."""
    return _checker.mismatches(chain)


def check_join(left: Stage, right: Stage) -> None:
    """Check `left >> right` where they meet. Raises TypeError in the strict mode, else warns."""
    before = left.stages if isinstance(left, Chain) else (left,)
    after = right.stages if isinstance(right, Chain) else (right,)
    for problem in _between(before[-1], after[0], before):
        if _checker.strict:
            raise TypeError(problem)
        warnings.warn(problem, TypeMismatchWarning, stacklevel=4)  # where `>>` stands


def _stages_of(stage: Stage) -> tuple[Stage, ...]:
    if isinstance(stage, Chain):
        return stage.stages
    return stage.stages if stage.kind == "sequence" else (stage,)  # type: ignore[attr-defined]


def _inside(stage: Stage) -> tuple[tuple[Stage, ...], ...]:
    """The chains within a stage."""
    if stage.kind == "block":
        return stage.branches  # type: ignore[attr-defined, no-any-return]
    if stage.kind == "decision":
        return tuple(branch.stages for branch in stage.branches)  # type: ignore[attr-defined]
    return (_stages_of(stage),) if not stage.is_node else ()


def _within(stages: tuple[Stage, ...]) -> Iterator[str]:
    for index, stage in enumerate(stages):
        if index:
            yield from _between(stages[index - 1], stage, stages[:index])
        for inner in _inside(stage):
            yield from _within(inner)


def _between(left: Stage, right: Stage, earlier: tuple[Stage, ...]) -> Iterator[str]:
    last = _last(left)
    if last is None:
        return
    name, returned = last
    for node in _first(right):
        expected = _expected(node, returned)
        scattered = right.kind == "block" and right.scatters and _fits(_element(returned), expected)  # type: ignore[attr-defined]
        if not scattered and not _fits(returned, expected) and not _is_remembered(node, earlier):
            yield f"Type mismatch: {name} returns {_shown(returned)} but {node.name} expects {_shown(expected)}"


def _last(stage: Stage) -> tuple[str, Any] | None:
    """Name and type of a stage's result; None where nothing can be said."""
    if isinstance(stage, BaseNode):
        return stage.name, stage.parameters.result
    if stage.kind == "block":
        return stage.name, dict
    inner = () if stage.kind == "decision" else _stages_of(stage)
    return _last(inner[-1]) if inner else None


def _first(stage: Stage) -> Iterator[BaseNode]:
    """The nodes that get what comes before a stage."""
    if isinstance(stage, BaseNode):
        yield stage
    elif stage.kind != "decision":
        for inner in _inside(stage):
            if inner:
                yield from _first(inner[0])


def _expected(node: BaseNode, returned: Any) -> Any:
    """What a node expects of `returned`; Any where the rules for several parameters take it as it is."""
    parameters = node.parameters
    if not parameters.readable or not parameters.inputs:
        return Any
    several = len(parameters.inputs) > 1 and (typing.get_origin(returned) or returned) in _SEVERAL
    return Any if several else parameters.inputs[0].hint


def _is_remembered(node: BaseNode, earlier: tuple[Stage, ...]) -> bool:
    """Whether an earlier node was given a value for the same parameter, which this one will get (rule 8)."""
    if node.parameters.memory is None:
        return False
    name, kind = node.parameters.memory
    return any(
        parameter.name == name and _fits(parameter.hint, kind)
        for other in _all_nodes(earlier)
        for parameter in other.parameters.inputs
    )


def _all_nodes(stages: tuple[Stage, ...]) -> Iterator[BaseNode]:
    for stage in stages:
        if isinstance(stage, BaseNode):
            yield stage
        for inner in _inside(stage) if stage.kind != "sequence" else ():  # which is one node to the outside
            yield from _all_nodes(inner)


def _element(hint: Any) -> Any:
    kind = typing.get_origin(hint) or hint
    if kind not in (list, tuple):
        return hint
    return next(iter(typing.get_args(hint)), Any)


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _fits(returned: Any, expected: Any) -> bool:
    returned, expected = _plain(returned), _plain(expected)
    if returned in _ANYTHING or expected in _ANYTHING or returned == expected:
        return True
    if typing.get_origin(returned) in _UNIONS:
        return all(_fits(member, expected) for member in typing.get_args(returned))
    if typing.get_origin(expected) in _UNIONS:
        return any(_fits(returned, member) for member in typing.get_args(expected))
    if typing.get_origin(returned) is typing.Literal:
        return all(_fits(type(value), expected) for value in typing.get_args(returned))
    if typing.get_origin(expected) is typing.Literal:
        return any(_fits(returned, type(value)) for value in typing.get_args(expected))
    return _classes_fit(returned, expected)


def _classes_fit(returned: Any, expected: Any) -> bool:
    source, target = typing.get_origin(returned) or returned, typing.get_origin(expected) or expected
    if not isinstance(source, type) or not isinstance(target, type):
        return True
    if typing.is_typeddict(source) or typing.is_typeddict(target):
        return dict in (source, target)
    try:
        related = issubclass(source, target) or (issubclass(source, int) and target is float)
    except TypeError:  # a protocol that can't be asked
        return True
    arguments = typing.get_args(returned), typing.get_args(expected)
    if not related or source is not target or not all(arguments):
        return related
    return _fits(arguments[0][0], arguments[1][0])


def _plain(hint: Any) -> Any:
    """Without what says nothing about the value."""
    if isinstance(hint, str | typing.TypeVar | typing.ForwardRef):
        return Any
    if typing.get_origin(hint) is typing.Annotated:
        return _plain(typing.get_args(hint)[0])
    supertype = getattr(hint, "__supertype__", None)
    return _plain(supertype) if supertype is not None else hint
