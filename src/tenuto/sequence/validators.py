"""The default validators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tenuto.sequence.blocks import Parallel
from tenuto.sequence.decisions import Decision
from tenuto.sequence.stages import Chain, Stage
from tenuto.sequence.type_checks import get_type_checker
from tenuto.sequence.validation import (
    BaseValidator,
    ValidationError,
    ValidationIssue,
    ValidationSeverity,
)

__all__ = ["CycleDetectionValidator", "DependencyValidator", "SchemaValidator"]


class CycleDetectionValidator(BaseValidator):
    """Finds a way that leads back to where it has been: the same node twice on one path of a chain, nodes linked to a
    circle by hand, sequences nested in each other. The loop of a decision is none, nor are equal branches of a block;
    an alias is another node."""

    def validate(self, sequence: Any) -> Iterator[ValidationIssue]:
        for cycle in _cycles(tuple(getattr(sequence, "stages", ())), (sequence,)):
            yield ValidationError(
                f"Cycle detected: {' -> '.join(stage.name for stage in cycle)}",
                location=cycle[0].name,
                suggestion="to do a node again on purpose, use its alias(), or a decision that goes back",
            )
            return  # a cycle is found from each of its nodes; one is enough to repair it


def _cycles(stages: tuple[Stage, ...], path: tuple[Stage, ...]) -> Iterator[tuple[Stage, ...]]:
    """Cycles on the way through a chain, `path` being the way to it. Follows links made by hand."""
    remaining = list(stages)
    while remaining:
        stage = remaining.pop(0)
        if any(stage is other for other in path):
            start = next(index for index, other in enumerate(path) if other is stage)
            yield (*path[start:], stage)
            return
        path = (*path, stage)
        for inner in _inner_ways(stage):
            yield from _cycles(_without_loop(stage, inner, path), _path_into(stage, path))
        link = stage.next_node
        if link is not None and not (remaining and remaining[0] is link):
            remaining = _way_after(link, stages)


def _inner_ways(stage: Stage) -> Iterator[tuple[Stage, ...]]:
    """The chains within a stage."""
    if isinstance(stage, Decision):
        yield from (branch.stages for branch in stage.branches)
    elif isinstance(stage, Parallel):
        yield from stage.branches
    elif isinstance(stage, Chain) or stage.kind == "sequence":
        yield tuple(stage.stages)  # type: ignore[attr-defined]


def _without_loop(stage: Stage, inner: tuple[Stage, ...], path: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """A decision's branch, up to where it goes back, if the decision also has a way out."""
    if not isinstance(stage, Decision) or not inner or inner[-1] not in path:
        return inner
    has_exit = stage.max_iter is not None or any(branch.stages[-1] not in path for branch in stage.branches)
    return inner[:-1] if has_exit else inner


def _path_into(stage: Stage, path: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """A nested sequence is a way of its own; only sequences around it count."""
    return tuple(other for other in path if other.kind == "sequence") if stage.kind == "sequence" else path


def _way_after(link: Stage, stages: tuple[Stage, ...]) -> list[Stage]:
    for index, stage in enumerate(stages):
        if stage is link:
            return list(stages[index:])
    return [link]


class DependencyValidator(BaseValidator):
    """Finds blocks and decisions that can't work."""

    def validate(self, sequence: Any) -> Iterator[ValidationIssue]:
        for stage in _all_stages(tuple(getattr(sequence, "stages", ())), set()):
            if isinstance(stage, Parallel):
                if not stage.branches:
                    yield ValidationError("a parallel block has no branches", location=stage.name)
                if stage.max_concurrent is not None and stage.max_concurrent <= 0:
                    yield ValidationError(
                        f"max_concurrent of a parallel block is {stage.max_concurrent}, so no branch could run",
                        location=stage.name,
                        suggestion="give 1 or more, or None for no limit",
                    )
            elif isinstance(stage, Decision) and len(stage.branches) < 2:
                yield ValidationError(
                    f"decision {stage.name!r} has {len(stage.branches)} branches, fewer than 2", location=stage.name
                )


def _all_stages(stages: tuple[Stage, ...], seen: set[int]) -> Iterator[Stage]:
    for stage in stages:
        if id(stage) in seen:
            continue
        seen.add(id(stage))
        yield stage
        for inner in _inner_ways(stage):
            yield from _all_stages(inner, seen)


class SchemaValidator(BaseValidator):
    """Finds sequences without nodes, and neighbours whose types don't fit: errors in the strict mode of type checking,
    suggestions else."""

    def validate(self, sequence: Any) -> Iterator[ValidationIssue]:
        if getattr(sequence, "kind", None) != "sequence":
            yield ValidationError(f"{sequence!r} is no Sequence", suggestion="wrap it: Sequence(...)")
            return
        if not sequence.stages:
            yield ValidationError(f"sequence {sequence.name!r} has no nodes", location=sequence.name)
            return
        if next(_cycles(tuple(sequence.stages), (sequence,)), None):
            return  # there would be no end to it
        checker = get_type_checker()
        severity = ValidationSeverity.ERROR if checker.strict else ValidationSeverity.INFO
        for problem in checker.mismatches(sequence):
            yield ValidationIssue(problem, severity, location=sequence.name)
