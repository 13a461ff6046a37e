"""Logs of tasks: lines that workers add, kept in order and as long as the workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from tenuto.model.json_values import decode_json, encode_json
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.server.services import Services

COLLECTION = "task_log"
#: Below this a time is taken for seconds instead of milliseconds, which one client sends.
_SECONDS = 100_000_000_000


class LogEntry(Struct, rename="camel", omit_defaults=True):
    """One line; `created_time` is milliseconds since the epoch."""

    log: str = ""
    task_id: str = ""
    created_time: float = 0


async def write_logs(services: Services, workflow_id: str, task_id: str, entries: Sequence[LogEntry]) -> None:
    """Add lines to the log of a task; they are on record when this returns."""
    documents = [
        Document(
            COLLECTION,
            f"{task_id}/{services.next_log_number():024d}",
            encode_json({"log": entry.log, "createdTime": _milliseconds(entry.created_time, services.now_ms())}),
            updated=services.clock.now(),
            workflow_id=workflow_id,
        )
        for entry in entries
    ]
    await services.graphs.write(documents)


def _milliseconds(given: float, now: int) -> int:
    if given <= 0:
        return now
    return int(given * 1000) if given < _SECONDS else int(given)


async def read_logs(services: Services, task_id: str) -> list[dict[str, object]]:
    """The lines of a task's log, oldest first."""
    entries: list[dict[str, object]] = []
    after = ""
    while True:
        page = await services.store.documents(COLLECTION, prefix=f"{task_id}/", after=after, limit=1000)
        entries += [decode_json(document.data) | {"taskId": task_id} for document in page]
        if len(page) < 1000:
            return entries
        after = page[-1].key
