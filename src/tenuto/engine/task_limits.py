"""How many tasks of one definition may be out at a time (`concurrentExecLimit`) and go out in a time
(`rateLimitPerFrequency`)."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from tenuto.engine.permits import Permits
from tenuto.engine.rate_tokens import RateTokens
from tenuto.graph.definitions import TaskDef

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


class TaskLimits:
    """Counts hand-outs by definition. `room_again` is called when a limit that was reached allows more."""

    def __init__(
        self,
        engine: Engine,
        is_shared: Callable[[], bool],
        is_alive: Callable[[str], bool],
        room_again: Callable[[str], None],
    ) -> None:
        self._definitions: dict[str, TaskDef] = {}
        self._permits = Permits(engine, "task_permits", is_shared, is_alive, room_again)
        self._rates = RateTokens(engine, is_shared, room_again)

    def learn(self, def_name: str, definition: TaskDef) -> None:
        """What the definition of that name says now."""
        if definition.concurrent_exec_limit or definition.rate_limit_per_frequency:
            self._definitions[def_name] = definition
        else:
            self._definitions.pop(def_name, None)

    def enter(self, def_name: str, task_id: str, workflow_id: str, *, again: bool = False) -> bool:
        """The task goes out, if the limits allow it; `again`: it is out already, whatever they say."""
        definition = self._definitions.get(def_name)
        if definition is None:
            return True
        rate, limit = definition.rate_limit_per_frequency, definition.concurrent_exec_limit
        if rate and not again and not self._rates.room(def_name, rate, _seconds(definition)):
            return False
        if limit and not self._permits.enter(def_name, limit, task_id, workflow_id, again=again):
            return False
        if rate and not again:
            self._rates.use(def_name)
        return True

    def room(self, def_name: str, *, beside: int) -> bool:
        """Might another task go out now, beside so many that may go out at any moment?"""
        definition = self._definitions.get(def_name)
        if definition is None:
            return True
        # One is worth asking for; how many more, the tokens tell.
        if definition.rate_limit_per_frequency and beside >= max(1, self._rates.tokens(def_name)):
            return False
        limit = definition.concurrent_exec_limit
        return not limit or self._permits.room(def_name, limit, beside)

    def leave(self, def_name: str, task_id: str) -> None:
        """The task is not out any more."""
        self._permits.leave(def_name, task_id)

    def leave_partitions(self, partitions: Set[int]) -> None:
        """The tasks of these partitions are no longer ours."""
        self._permits.leave_partitions(partitions)

    def clear(self) -> None:
        """Forget who is out; what went out lately still counts."""
        self._permits.clear()

    async def share(self) -> None:
        """Others are about to come: put on record what counts."""
        await self._rates.settle()
        await self._permits.settle()


def _seconds(definition: TaskDef) -> float:
    return definition.rate_limit_frequency_in_seconds or 1
