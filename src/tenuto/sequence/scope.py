"""What one line of a run knows: the main line, a branch of a block, or the inside of a nested sequence.

Branches run at the same time, in any order. What a node is given, and which occurrence of its name it is, may depend
only on its own line and what came before it; else a run could not be taken up again in another process."""

from __future__ import annotations

from typing import Any

from tenuto.sequence.errors import MaxStepsExceededError
from tenuto.sequence.history import NodeExecution
from tenuto.sequence.stages import Stage

__all__ = ["Scope"]

#: Steps of one line, all rounds of its loops together, unless `max_steps` is more.
MOST_STEPS = 10_000


class Scope:
    """One line of a run. `path` names it: empty for the main line."""

    __slots__ = (
        "abandoned",
        "blocks",
        "counts",
        "executions",
        "last_name",
        "max_steps",
        "outputs",
        "parent",
        "path",
        "recorded",
        "rounds",
        "steps",
        "total",
    )

    def __init__(self, max_steps: int, path: str = "", parent: Scope | None = None, recorded: bool = True) -> None:
        self.path = path
        self.parent = parent
        self.max_steps = max_steps
        #: Whether its nodes are entries of the history and the metrics.
        self.recorded = recorded
        #: Nobody waits for its outcome any more: no further node of it shall begin.
        self.abandoned = False
        self.outputs: dict[str, Any] = {}
        self.executions: list[NodeExecution] = []
        self.counts: dict[str, int] = {}
        self.blocks = 0
        self.last_name: str | None = None
        #: Steps since the last jump back, and before it.
        self.steps = 0
        self.total = 0
        #: How often each decision has gone back.
        self.rounds: dict[Stage, int] = {}

    def occurrence(self, name: str) -> int:
        """How many times the name has come up now, from 1."""
        count = self.counts[name] = self.counts.get(name, 0) + 1
        return count

    def branches(self, count: int) -> list[Scope]:
        """Lines for the branches of the next block."""
        self.blocks += 1
        path = f"{self.path}{self.blocks}."
        return [Scope(self.max_steps, f"{path}{index}/", self, self.recorded) for index in range(1, count + 1)]

    def inside(self, name: str, max_steps: int) -> Scope:
        """The line inside of a nested sequence: to the outside it is one node."""
        return Scope(max_steps, f"{self.path}{name}-{self.occurrence(name)}/", self, recorded=False)

    def check_steps(self) -> None:
        """Raise MaxStepsExceededError: called when `steps` exceeds `max_steps`."""
        raise MaxStepsExceededError(
            f"the run took more than {self.max_steps} steps without an end; if that is no circle of nodes linked by "
            "hand, give the Sequence a larger max_steps"
        )

    def jump_back(self) -> None:
        """A decision goes back: count anew. Raises MaxStepsExceededError if this goes on for too long."""
        self.total += self.steps
        self.steps = 0
        if self.total > max(MOST_STEPS, self.max_steps):
            raise MaxStepsExceededError(f"the loops of the run took more than {MOST_STEPS} steps without an end")

    def earlier_outputs(self) -> dict[str, Any]:
        """All outputs by name that this line can see, as a dict of its own."""
        return {**self.parent.earlier_outputs(), **self.outputs} if self.parent else dict(self.outputs)

    def absorb(self, branch: Scope) -> None:
        """Take over what a finished branch has done."""
        self.executions += branch.executions
        self.outputs.update(branch.outputs)

    def forget_values(self) -> None:
        """The run is over, and nobody will ask for its outputs here."""
        self.outputs, self.executions = {}, []

    def remembered(self, name: str, kind: type, otherwise: Any) -> Any:
        """What the latest node that had a parameter of this name was given for it, if it is of this kind."""
        for execution in reversed(self.executions):
            try:
                value = execution.node.parameters.value_of(name, (execution.args, execution.kwargs))
            except KeyError:
                continue
            if isinstance(value, kind):
                return value
        return self.parent.remembered(name, kind, otherwise) if self.parent else otherwise
