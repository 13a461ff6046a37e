"""When does nothing happen in an engine unless time passes, and until when?

This looks at the parts of a live engine, which nobody else may: what it finds is only good for deciding whether a test
has to wait. Work off the event loop (attempts in threads, commits of a file or a database) is seen by its counters.
Work on the loop hops from one of these counters to the next within a few turns of the loop, so there is nothing under
way if all of them are at rest for `QUIET` turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tenuto.engine import graph_rows
from tenuto.engine.engine import Engine
from tenuto.store.protocol import Due
from tenuto.testing.faults import FaultyStore

#: Turns of the loop in which everything has to be at rest; the longest way from one counter to the next takes about 5.
QUIET = 20
CHUNK = 256
#: Behind every row that is to be looked at after a restart: those are in memory.
_BEHIND = Due("", "~", 0)
_FOR_EVER = 2**62


def busy(engine: Engine, store: FaultyStore, resting: int) -> bool:
    """Is something under way? `resting` attempts of activities do nothing but wait for time to pass."""
    return bool(
        store.under_way
        or engine.ready
        or engine.offspring
        or engine._flush_planned
        or engine._later
        or engine._outgoing
        or engine.pipeline.batch
        or not engine.pipeline._idle.is_set()
        or engine.residents._waiting
        or engine.outbox._waiting
        or engine.inbox._on_the_way
        or engine.graphs.work.running
        or _attempts(engine) > resting
    )


def leaves_tasks(engine: Engine) -> bool:
    """Do tasks wait in the store that a worker of this process is about to take?"""
    for resident in engine.residents._residents.values():
        for key, parked in resident.parked.items():
            server = engine.dispatch if key else engine.turns
            if not parked.row.claimed_by and server.serves(parked.row.task_queue):
                return True
    return False


def _attempts(engine: Engine) -> int:
    """Attempts that run, or whose outcome is on its way. One that has just begun counts twice: its time-outs are not
    watched yet."""
    dispatch = engine.dispatch
    young = sum(dispatch._running.get(each.key) is each for each in dispatch._young)
    return len(dispatch._running) + len(dispatch.reported) + len(dispatch._postponed) + young


async def next_moment(engine: Engine, store: FaultyStore) -> int | None:
    """When something happens by itself: a timer fires, an attempt is due, something times out. None if nothing will.

    Nanoseconds since the epoch. A workflow whose code fails is not waited for: it fails again."""
    now = engine.clock.now()
    moments = [at for at in _moments(engine, now) if at > now]
    after = _BEHIND
    while True:
        due = partial(store.inner.due, engine.ownership.partitions, _FOR_EVER, after, CHUNK)
        rows = await engine.patiently(due)
        asleep = [row.wake_at for row in rows if row.workflow_id not in engine.residents._residents]
        moments += [at for at in asleep[:1] if at > now]
        if asleep or len(rows) < CHUNK:
            return min(moments, default=None)
        after = rows[-1]


def _moments(engine: Engine, now: int) -> Iterator[int]:
    for resident in engine.residents._residents.values():
        if resident.execution is not None and resident.execution.task_failure is None:
            yield from (deadline.at for deadline in resident.execution.deadlines())
        elif resident.graph is not None:
            at = graph_rows.wake_time(resident.graph, now)
            if at:
                yield at
