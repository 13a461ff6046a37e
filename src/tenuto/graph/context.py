"""What the pure decider is given: time, chance, names, and the definitions it may look up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from tenuto.graph.definitions import TaskDef, WorkflowDef
from tenuto.model.json_values import Json


class Definitions(Protocol):
    """Definitions as they are now. All of it is in memory."""

    def snapshot(self, name: str, version: int | None) -> bytes | None:
        """The encoded snapshot of a workflow definition, the latest without `version`; None if there is none."""
        ...

    def is_settled(self, name: str) -> bool:
        """Is it certain what there is of that name? Another server may have registered something a moment ago."""
        ...

    def latest_version(self, name: str) -> int | None:
        """The highest version of that name that is registered."""
        ...

    def snapshot_of(self, definition: WorkflowDef) -> bytes:
        """The encoded snapshot of a definition that need not be registered."""
        ...

    def task(self, name: str) -> TaskDef | None:
        """A task definition."""
        ...

    @property
    def environment(self) -> Callable[[str], str | None]:
        """Looks up a variable of the environment that is kept on the server."""
        ...

    @property
    def schema(self) -> Callable[[str, int], Json]:
        """Looks up a schema that is kept on the server, by its name and version; None if there is none."""
        ...

    def code(self, workflow_type: str) -> str | None:
        """The task queue on which durable code of this type is served; None if it isn't."""
        ...


class Context(Struct, frozen=True):
    """Of one decision. `now` is nanoseconds since the epoch."""

    now: int
    new_id: Callable[[], str]
    random: Callable[[], float]
    """A number from 0 to 1, for jitter."""
    definitions: Definitions
    system_types: frozenset[str]
    """Task types that the engine's process runs itself."""
    route: Callable[[str, list[str]], str]
    """The domain for a task type, of several in order of preference: the first that is polled, else the last."""
    new_workflow_id: Callable[[], str]
    """A new id for an execution that is started: one that lives in the same process, if possible."""
