"""What a chain is made of. Stages are descriptions: one may stand in several chains, and in several runs at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

__all__ = ["Chain", "Stage"]


class Stage:
    """Anything that can stand in a chain: nodes, blocks, decisions, chains, sequences."""

    #: What it is to the walk: node, decision, block, chain or sequence.
    kind: ClassVar[str]
    #: A node is carried out; all else is walked through.
    is_node = False

    def __init__(self, name: str) -> None:
        self.name = name
        #: What comes after this stage in every chain, set by hand; usually None: the chain says.
        self.next_node: Stage | None = None

    def connect(self, following: Stage) -> Stage:
        """Put `following` after this stage, wherever it stands; returns `following`. `>>` is the better way."""
        self.next_node = following
        return following

    def __rshift__(self, right: Any) -> Chain:
        # Here, because joining knows all kinds of stages, which are made from this class.
        from tenuto.sequence.joining import join

        return join(self, right)

    def __rrshift__(self, condition: Any) -> Any:
        from tenuto.sequence.conditions import NodeMapper

        return NodeMapper(condition, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Chain(Stage):
    """Stages, one after the other."""

    kind = "chain"

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        super().__init__(" >> ".join(stage.name for stage in stages))
        self.stages = stages

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)
