"""Executions that live elsewhere, read from the store for somebody who looks at them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tenuto.model.events import ExecutionRef
from tenuto.store.protocol import StoredExecution

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Executions that are read at one go.
CHUNK = 64

Looker = Callable[[StoredExecution | None], None]


class GraphReader:
    """What is asked for within one turn of the loop is read together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: dict[str, list[Looker]] = {}

    def read(self, workflow_id: str, look: Looker) -> None:
        """Call `look` with the execution as it is on record, open or closed; with None if there is none."""
        if not self._asked:
            self._engine.spawn(self._read(), "read executions of others")
        self._asked.setdefault(workflow_id, []).append(look)

    async def _read(self) -> None:
        asked, self._asked = self._asked, {}
        ids = list(asked)
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            refs = [ExecutionRef(workflow_id) for workflow_id in some]
            load = partial(self._engine.store.load, refs, closed_history=True)
            for workflow_id, stored in zip(some, await self._engine.patiently(load), strict=True):
                for look in asked[workflow_id]:
                    look(stored)
