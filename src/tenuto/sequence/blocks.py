"""Parallel blocks."""

from __future__ import annotations

from typing import Any

from tenuto.sequence.stages import Stage

__all__ = ["Parallel"]


class Parallel(Stage):
    """Branches that run at the same time; made by `parallel(...)`. Each branch is a tuple of stages."""

    kind = "block"

    def __init__(
        self, branches: tuple[tuple[Stage, ...], ...], max_concurrent: int | None = None, timeout: float | None = None
    ) -> None:
        super().__init__("parallel")
        self.branches = branches
        self.max_concurrent = max_concurrent
        #: Seconds, or None.
        self.timeout = timeout

    @property
    def scatters(self) -> bool:
        """All branches are one and the same node: a list is distributed over them."""
        first = self.branches[0] if self.branches else ()
        return len(first) == 1 and first[0].is_node and all(branch == first for branch in self.branches)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block by itself, at once: its result."""
        from tenuto.sequence.workflow import Sequence  # which is made of blocks

        return Sequence(self).execute(*args, **kwargs)
