"""Forgetting what is over: whole slots at once, and run by run only what would have to wait too long for that."""

from __future__ import annotations

from tenuto.store.postgres.members import deployment
from tenuto.store.postgres.sessions import Session
from tenuto.store.postgres.statements import Statements

ANSWERS_KEPT = 3600 * 1_000_000_000
"""How long an answer waits for its client, in nanoseconds."""

ERAS_WAITED = 1
"""How long a run that has expired may wait for others that started in its days, so that all go together. One that runs
on and on would keep them for ever otherwise."""

_PATIENCE = "200ms"  # for a lock that keeps everybody from reading
_SLOT_TABLES = ("closed_executions", "history", "workflow_index", "task_index")


async def purge(session: Session, statements: Statements, era: int, closed_before: int, now: int, limit: int) -> int:
    """`Store.purge`. `limit` bounds what is deleted run by run; a slot takes as long however many runs it holds."""
    key = {"deployment": deployment(f"purge {statements.schema}")}
    async with session.transaction():
        if not (await session.fetch(statements["try_purge"], key))[0][0]:
            return 0
        await session.fetch(statements["purge_answers"], {"before": now - ANSWERS_KEPT})
    gone = 0
    for (slot,) in await session.fetch(statements["expired_slots"], {"closed_before": closed_before}):
        gone += await _empty(session, statements, slot, closed_before)
    left = max(0, limit - gone)
    return gone + await _forget_expired(session, statements, closed_before - ERAS_WAITED * era, left)


async def _empty(session: Session, statements: Statements, slot: int, closed_before: int) -> int:
    """Forget all runs of a slot, if it still can be; returns how many there were. Somebody who reads just now is not
    made to wait: another time will do."""
    tables = ", ".join(f"{statements.schema}.{table}_{slot}" for table in _SLOT_TABLES)
    async with session.transaction({"lock_timeout": _PATIENCE}):
        try:
            await session.execute(statements.source("lock_slot", slot_tables=tables))
        except Exception as error:
            if getattr(error, "sqlstate", "") == "55P03":
                return 0
            raise
        named: dict[str, object] = {"slot": slot, "closed_before": closed_before}
        if not (await session.fetch(statements["slot_is_expired"], named))[0][0]:
            return 0
        ((runs,),) = await session.fetch(statements["forget_leftovers_of_slot"], named)
        await session.execute(statements.source("empty_slot", slot_tables=tables))
    return int(runs)


async def _forget_expired(session: Session, statements: Statements, closed_before: int, limit: int) -> int:
    if limit == 0:
        return 0
    rows = await session.fetch(statements["expired_runs"], {"closed_before": closed_before, "limit": limit})
    return await forget(session, statements, [(partition, run_id) for partition, run_id in rows])


async def forget(session: Session, statements: Statements, runs: list[tuple[int, str]]) -> int:
    """Forget these runs, given by partition and stored run id, with all that belongs to them."""
    if not runs:
        return 0
    named: dict[str, object] = {"partition": [p for p, _ in runs], "run_id": [run_id for _, run_id in runs]}
    ((number,),) = await session.fetch(statements["forget_runs"], named)
    return int(number)
