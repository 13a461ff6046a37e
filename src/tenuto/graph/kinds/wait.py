"""WAIT: for a duration, until a moment, or for an update or signal from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.graph.waiting import parse_duration, parse_until
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Wait(Kind):
    quiet = True

    def begin(self, decision: Decision, task: Task) -> None:
        duration = task.input.get("duration")
        until = task.input.get("until") or task.input.get("wait_until")
        if duration and until:
            reason = "the input has both `duration` and `until`; only one can be meant"
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
            return
        memory: dict[str, Json] = {}
        try:
            if duration:
                memory["until"] = decision.now + int(parse_duration(str(duration)) * 1_000_000_000)
            elif until:
                memory["until"] = parse_until(str(until))
        except ValueError as error:
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=str(error))
            return
        decision.start(task, memory=memory)

    def advance(self, decision: Decision, task: Task) -> None:
        until = task.memory.get("until")
        if until is not None and decision.now >= until:
            decision.end(task, "COMPLETED")
