"""How recorded work is named: by kind, name, and the how-manieth of that name it is.

do      activity id  "fetch-1"
undo    activity id  "rollback:fetch-1"      the rollback of that step
sleep   timer id     "cool down-1"
event   timer id     "event:approval-1"      the time-out of the wait
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from tenuto.steps.errors import WorkflowFatalError

Kind = Literal["do", "sleep", "event"]

NAME_LENGTH = 256


def check_name(name: object) -> str:
    """Raise WorkflowFatalError for what can't name a step."""
    if not isinstance(name, str) or not name:
        raise WorkflowFatalError(f"a step needs a name, not {name!r}")
    if len(name) > NAME_LENGTH:
        raise WorkflowFatalError(f"the name of a step has at most {NAME_LENGTH} characters, not {len(name)}: {name!r}")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name):
        raise WorkflowFatalError(f"the name of a step can't have control characters, as {name!r} has")
    return name


def key_of(kind: Kind, name: str, count: int) -> str:
    """The key by which an outcome is kept for a later run: the kind, and what names it among its kind."""
    ids = {"do": activity_id, "sleep": sleep_id, "event": event_id}
    return f"{kind}:{ids[kind](name, count)}"


def activity_id(name: str, count: int) -> str:
    return f"{_apart(name, 'step:', 'rollback:')}-{count}"


def rollback_id(name: str, count: int) -> str:
    return f"rollback:{name}-{count}"


def sleep_id(name: str, count: int) -> str:
    return f"{_apart(name, 'sleep:', 'event:')}-{count}"


def event_id(name: str, count: int) -> str:
    return f"event:{name}-{count}"


def _apart(name: str, own: str, others: str) -> str:
    """The name, so that its id is never one of the others': they would be taken for each other."""
    return own + name if name.startswith((own, others)) else name


class Occurrences:
    """Counts how often each name was used by one instance, each kind for itself."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def next(self, kind: Kind, name: str) -> int:
        """The how-manieth this is, from 1."""
        self._counts[kind, name] += 1
        return self._counts[kind, name]
