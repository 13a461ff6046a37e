"""Code of named steps that has changed, however much, goes on with what is recorded and asks for the rest once."""

from __future__ import annotations

import asyncio
import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.client import Client
from tenuto.converter import DataConverter
from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model.tasks import WorkflowTask, WorkflowTaskDone
from tenuto.replay.host import WorkflowCode
from tenuto.steps import WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker

#: One version of the code: groups of steps; those of a group at the same time, one group after the other.
Version = list[list[str]]
NAMES = ["do a", "do a", "do b", "do c", "sleep a", "sleep b", "event a", "do d", "event b"]
BEFORE: Version = [["do a", "do b", "sleep a"], ["event a"], ["do a"], ["do c", "event b"], ["sleep b", "do d"]]


def made(version: Version) -> type[WorkflowEntrypoint]:
    class Flow(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            def do(what: str) -> Any:
                kind, name = what.split()
                if kind == "sleep":
                    return step.sleep(name, 0.001)
                if kind == "event":
                    return step.wait_for_event(name, type=name)
                return step.do(name, lambda: name)

            return [await asyncio.gather(*(do(what) for what in group)) for group in version]

    return Flow


@cache
def recorded() -> list[ev.AnyEvent]:
    """The history of the code before, from its beginning to its end."""

    async def record() -> list[ev.AnyEvent]:
        async with await Client.connect("memory://") as client, Worker(client, workflows=[made(BEFORE)]):
            handle = await client.start_workflow("Flow", id="recorded")
            for type in ("a", "b"):
                await handle.signal(type, type)
            await handle.result()
            return list((await handle.fetch_history()).events)

    return asyncio.run(record())


def begun(commands: list[cmd.Command]) -> list[tuple[str, str]]:
    found = []
    for command in commands:
        if isinstance(command, cmd.ScheduleActivity):
            found.append(("step", command.activity_id))
        elif isinstance(command, cmd.StartTimer):
            found.append(("timer", command.timer_id))
    return found


def under_way(events: list[ev.AnyEvent]) -> tuple[set[tuple[str, str]], set[int]]:
    """What has begun and not ended, by name, and the event ids of those that are steps."""
    names: dict[Any, tuple[str, str]] = {}
    for event in events:
        match event:
            case ev.ActivityTaskScheduled():
                names[event.event_id] = ("step", event.activity_id)
            case ev.ActivityTaskCompleted():
                del names[event.scheduled_event_id]
            case ev.TimerStarted():
                names[event.timer_id] = ("timer", event.timer_id)
            case ev.TimerFired() | ev.TimerCanceled():
                del names[event.timer_id]
    return set(names.values()), {key for key in names if isinstance(key, int)}


def done(events: list[ev.AnyEvent]) -> set[str]:
    ended = {event.scheduled_event_id for event in events if isinstance(event, ev.ActivityTaskCompleted)}
    return {e.activity_id for e in events if isinstance(e, ev.ActivityTaskScheduled) and e.event_id in ended}


versions = st.lists(st.sampled_from([*NAMES, "do new", "sleep new"]), max_size=10).flatmap(
    lambda names: st.lists(st.booleans(), min_size=len(names), max_size=len(names)).map(
        lambda cuts: grouped(names, cuts)
    )
)


def grouped(names: list[str], cuts: list[bool]) -> Version:
    groups: Version = [[]]
    for name, cut in zip(names, cuts, strict=True):
        if cut and groups[-1]:
            groups.append([])
        groups[-1].append(name)
    return groups


@settings(max_examples=300, deadline=None)
@given(version=versions, cut=st.floats(0, 1))
def test_changed_code_never_breaks_and_begins_nothing_that_is_recorded(version: Version, cut: float) -> None:
    history = [event for event in recorded() if not isinstance(event, ev.WorkflowExecutionCompleted)]
    # A process ends anywhere, and the next one has other code: it sees what is on record, in one piece or in several.
    ends = [n for n, event in enumerate(history, 1) if n == len(history) or not _is_command(history[n])]
    events = history[: ends[round(cut * (len(ends) - 1))]]
    instance = WorkflowCode([made(version)], DataConverter(), "replayer").create(events[0])  # type: ignore[arg-type]
    try:
        assert instance.feed(events) is None
        answer = instance.activate(WorkflowTask([], events[-1].time, len(events), 0, False))
        assert isinstance(answer, WorkflowTaskDone)
        pending, steps = under_way(events)
        given = begun(answer.commands)
        assert len(set(given)) == len(given)
        assert not set(given) & pending
        assert not {name for kind, name in given if kind == "step"} & done(events)
        cancelled = {c.scheduled_event_id for c in answer.commands if isinstance(c, cmd.RequestCancelActivity)}
        assert cancelled <= steps
    finally:
        instance.discard()


def _is_command(event: ev.AnyEvent) -> bool:
    return type(event) in ev.COMMAND_EVENTS


@pytest.mark.parametrize("seed", range(20))
def test_the_same_code_asks_for_nothing_new(seed: int) -> None:
    """In whatever pieces it is shown the history."""
    events = recorded()
    draw = random.Random(seed)
    instance = WorkflowCode([made(BEFORE)], DataConverter(), "replayer").create(events[0])  # type: ignore[arg-type]
    position = 0
    while position < len(events):
        following = position + draw.randint(1, 6)
        assert instance.feed(events[position:following]) is None
        position = following
    answer = instance.activate(WorkflowTask([], events[-1].time, len(events), 0, False))
    assert isinstance(answer, WorkflowTaskDone)
    assert [type(command) for command in answer.commands] == [cmd.CompleteWorkflow]
    instance.discard()
