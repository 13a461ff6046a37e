"""How long executions that have ended are kept."""

from __future__ import annotations

from tests.support.conductor import Conductor, node, simple, workflow

DAY = 86_400


async def forget(conductor: Conductor) -> None:
    """What the engine does every minute: forget what ended more than thirty days ago."""
    now = conductor.services.clock.now()
    await conductor.services.store.purge(now - 30 * DAY * 1_000_000_000, now, 100)


async def test_what_ended_long_ago_is_forgotten(timed: Conductor) -> None:
    ended = await timed.run(workflow("w", simple("work")))
    await timed.work("work")
    archived = await timed.start("w")
    await timed.call("DELETE", f"/workflow/{archived}/remove")
    running = await timed.start("w")
    waiting = await timed.run(workflow("waits", node("WAIT", "wait")))
    task = await timed.task(ended, "work")
    await timed.post(f"/tasks/{task['taskId']}/log", "a line")
    await timed.advance(29 * DAY)
    await forget(timed)
    assert await timed.status(ended) == "COMPLETED"
    await timed.advance(5 * DAY)  # PostgreSQL forgets together what started within three days
    await forget(timed)
    await timed.get(f"/workflow/{ended}", expect=404)
    await timed.get(f"/tasks/{task['taskId']}", expect=404)
    await timed.get(f"/tasks/{task['taskId']}/log", expect=204)
    assert (await timed.get("/tasks/search"))["totalHits"] == 2
    assert [await timed.status(id) for id in (running, waiting)] == ["RUNNING", "RUNNING"]


async def test_what_was_revived_is_kept(timed: Conductor) -> None:
    id = await timed.run(workflow("w", simple("work")))
    other = await timed.start("w")
    for each in (id, other):
        await timed.call("DELETE", f"/workflow/{each}")
    await timed.advance(29 * DAY)
    await timed.post(f"/workflow/{id}/retry", expect=204)
    await timed.advance(5 * DAY)
    await forget(timed)
    assert (await timed.get("/workflow/search"))["totalHits"] == 1
    assert await timed.status(id) == "RUNNING"
    await timed.update_by_reference(id, "work")
    assert await timed.status(id) == "COMPLETED"
