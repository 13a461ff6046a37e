"""Who wrote what when, as PostgreSQL itself saw it: a trigger on the table of histories notes every commit that adds to
one, with the process that made it and the epochs that were current. So it is seen from outside whether each epoch of a
partition had one writer, and how long partitions had none."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tests.chaos.database import Database

_SET_UP = """
CREATE SCHEMA witness;
CREATE TABLE witness.commits (
    id bigserial PRIMARY KEY, at double precision, application text, partitions smallint[], epochs bigint[],
    histories integer
);
CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.commits (at, application, partitions, epochs, histories)
    SELECT extract(epoch FROM clock_timestamp()), current_setting('application_name'),
        array_agg(p.partition ORDER BY p.partition), array_agg(p.epoch ORDER BY p.partition),
        (SELECT count(*) FROM added)
    FROM tenuto.partitions AS p
    WHERE p.partition IN (SELECT partition FROM added)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER witness AFTER INSERT ON tenuto.history
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION witness.note();
"""
_OWNED = """
SELECT FROM tenuto.partitions WHERE partition = ANY ($2::smallint[]) AND (member IS NULL OR member = $1) LIMIT 1
"""
_CLAIMED = "SELECT FROM tenuto.tasks WHERE claimed_by = $1 LIMIT 1"


@dataclass
class Write:
    """One commit that added to histories."""

    at: float
    application: str
    partitions: list[int]
    epochs: list[int]
    histories: int


class Witness:
    """Asks PostgreSQL, over connections that don't count among Tenuto's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_up(self) -> None:
        """The tables of the store must be there."""
        connection = await self._database.connect()
        try:
            await connection.execute(_SET_UP)
        finally:
            await connection.close()

    async def member(self, pid: int) -> str:
        """The name under which a process takes part; empty if it doesn't (yet)."""
        rows = await self._database.ask(
            "SELECT name FROM tenuto.members WHERE description LIKE $1", f"%: pid {pid} on %"
        )
        return rows[0]["name"] if rows else ""

    async def owned_by(self, member: str) -> set[int]:
        rows = await self._database.ask("SELECT partition FROM tenuto.partitions WHERE member = $1", member)
        return {row["partition"] for row in rows}

    async def owners(self) -> dict[str, int]:
        """How many partitions each member owns; '' stands for nobody."""
        rows = await self._database.ask(
            "SELECT coalesce(member, '') AS member, count(*) FROM tenuto.partitions GROUP BY 1"
        )
        return {row["member"]: row["count"] for row in rows}

    async def moved(self, partitions: Collection[int], member: str, limit: float) -> float:
        """When others had these partitions, which were of this member."""
        return await self._gone(limit, _OWNED, member, list(partitions))

    async def reclaimed(self, member: str, limit: float) -> float:
        """When all tasks that this member had claimed were off its hands."""
        return await self._gone(limit, _CLAIMED, member)

    async def _gone(self, limit: float, statement: str, *arguments: Any) -> float:
        """When the statement returned nothing any more, or the limit (in seconds) was reached."""
        deadline = time.time() + limit
        while await self._database.ask(statement, *arguments) and time.time() < deadline:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.1)
        return time.time()

    async def writes(self, since: float = 0.0) -> list[Write]:
        rows = await self._database.ask(
            "SELECT at, application, partitions, epochs, histories FROM witness.commits WHERE at >= $1 ORDER BY id",
            since,
        )
        return [Write(*row.values()) for row in rows]

    async def rows(self, table: str) -> list[str]:
        """What is in a table of the store, for people."""
        return [f"{table}: {dict(row)}"[:300] for row in await self._database.ask(f"SELECT * FROM tenuto.{table}")]


def first_write(writes: list[Write], since: float, counts: Callable[[Write], bool]) -> float | None:
    """Seconds from `since` to the first of these writes; None if there is none."""
    return next((write.at - since for write in writes if write.at >= since and counts(write)), None)


def two_writers(writes: list[Write]) -> list[str]:
    """Epochs of a partition in which more than one process wrote, and those that came again after a later one."""
    writers: dict[tuple[int, int], set[str]] = defaultdict(set)
    latest: dict[int, int] = Counter()
    faults = []
    for write in writes:
        for partition, epoch in zip(write.partitions, write.epochs, strict=True):
            writers[partition, epoch].add(write.application)
            if epoch < latest[partition]:
                faults.append(
                    f"{write.application} wrote to partition {partition} under epoch {epoch} after it was over"
                )
            latest[partition] = max(latest[partition], epoch)
    faults += [
        f"partition {p}, epoch {e}: {sorted(names)} wrote" for (p, e), names in writers.items() if len(names) > 1
    ]
    return faults
