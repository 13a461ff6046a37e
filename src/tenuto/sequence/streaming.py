"""Giving a run's outputs as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tenuto.sequence.carrying import carry_out_steps

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["stream"]


def stream(
    sequence: Sequence, args: tuple[Any, ...], kwargs: dict[str, Any], config: Mapping[str, Any] | None
) -> Iterator[tuple[str, Any]]:
    """Run a sequence; name and output of each node in the order in which they finish."""
    with sequence.running(args, kwargs, config) as (run, steps, scope):
        shown = 0
        for result in carry_out_steps(run, steps, scope, sequence.controller.gate):
            while shown < len(run.log):
                execution = run.log[shown]
                shown += 1
                if execution.status == "completed":
                    yield execution.effective_name, execution.output_value
            run.state.final_output = result
