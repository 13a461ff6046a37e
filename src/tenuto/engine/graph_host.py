"""Who does the work of graphs in the engine's process: scripts, and tasks that need the world outside."""

from __future__ import annotations

from typing import Protocol

from tenuto.graph.effects import Evaluate
from tenuto.model.json_values import Json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult


class ScriptFailed(Exception):
    """A script came to no value. `fatal`: it would not the next time either."""

    def __init__(self, message: str, *, fatal: bool = True) -> None:
        super().__init__(message)
        self.fatal = fatal


class GraphHost(Protocol):
    """Runs system tasks and scripts."""

    types: frozenset[str]
    """The task types that it runs."""

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """Run a system task. Raises nothing but CancelledError."""
        ...

    async def evaluate(self, request: Evaluate) -> Json:
        """The value of a script. Raises ScriptFailed."""
        ...

    def with_secrets(self, input: dict[str, Json], template: dict[str, Json]) -> tuple[dict[str, Json], frozenset[str]]:
        """`input` with its secrets put in where `template`, from which it was made, names them; and their values."""
        ...


class NoHost:
    """An engine that no server uses: nobody runs system tasks here, so they wait like those of workers."""

    types: frozenset[str] = frozenset()

    async def run(self, task: SystemTask) -> SystemTaskResult:
        raise NotImplementedError

    async def evaluate(self, request: Evaluate) -> Json:
        raise ScriptFailed("no server runs in this process, so scripts can't be evaluated", fatal=False)

    def with_secrets(self, input: dict[str, Json], template: dict[str, Json]) -> tuple[dict[str, Json], frozenset[str]]:
        return input, frozenset()
