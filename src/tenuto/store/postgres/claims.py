"""Tasks that members claim from each other. Each function does one verb; `fetch` runs a statement by its name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter

from tenuto.store.postgres.reads import Fetch, task_row
from tenuto.store.postgres.texts import escape, unescape
from tenuto.store.protocol import PARTITIONS, Claim, TaskKind, TaskRow


class Claims:
    """Claims tasks, each time from behind the partition of the last one, so that those of no partition starve."""

    def __init__(self) -> None:
        self._first = 0

    async def claim(
        self, fetch: Fetch, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int
    ) -> list[TaskRow]:
        ranges = [(self._first, PARTITIONS - 1), (0, self._first - 1)]
        asked = [(int(kind), first, last) for first, last in ranges if first <= last for kind in kinds]
        named: dict[str, object] = {
            "member": escape(owner),
            "task_queue": escape(task_queue),
            "kind": [kind for kind, _, _ in asked],
            "first": [first for _, first, _ in asked],
            "last": [last for _, _, last in asked],
            "limit": limit,
        }
        records = sorted(await fetch("claim", named), key=itemgetter("id"))
        if len(records) == limit:
            self._first = (max(record["partition"] for record in records) + 1) % PARTITIONS
        return [task_row(record) for record in records]


async def held(fetch: Fetch, owner: str, tasks: Sequence[TaskRow]) -> list[str | None]:
    named: dict[str, object] = {
        "member": escape(owner),
        "partition": [task.partition for task in tasks],
        "run_id": [escape(task.run_id) for task in tasks],
        "key": [task.key for task in tasks],
        "claimed_at": [task.claimed_at for task in tasks],
    }
    found: list[str | None] = [None] * len(tasks)
    for record in await fetch("held", named):
        found[record["place"] - 1] = unescape(record["stop"])
    return found


async def claims(fetch: Fetch, partitions: Sequence[int], since: int, judgement: dict[str, object]) -> list[Claim]:
    """`judgement` says when a member counts as gone; see `Membership.judgement`."""
    named: dict[str, object] = {"partitions": partitions, "since": since, **judgement}
    return [Claim(task_row(record), record["lost"]) for record in await fetch("claims", named)]
