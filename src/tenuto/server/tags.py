"""Tags: keys with values on definitions, secrets, schedules and whatever else is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tenuto.engine.clock import Clock
from tenuto.model.json_values import encode_json
from tenuto.server.collection import Collection, key_of
from tenuto.store.protocol import Store

RATE_LIMIT = "RATE_LIMIT"


class Tag(Struct, frozen=True):
    """One tag; `value` may be any JSON and keeps its type."""

    key: str
    value: Any = None
    type: str = "METADATA"


class Tags(Collection[list[Tag]]):
    """The tags of everything, by kind (WORKFLOW_DEF, TASK_DEF, SECRET_NAME ...) and name."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "tags", list[Tag])

    def of(self, kind: str, name: str) -> list[Tag]:
        return self.get(key_of(kind, name)) or []

    async def set(self, kind: str, name: str, tags: Sequence[Tag]) -> None:
        """Give a thing exactly these tags."""
        await self.put(key_of(kind, name), _distinct(tags))

    async def add(self, kind: str, name: str, tags: Sequence[Tag]) -> None:
        """Give a thing these tags too."""
        await self.change(key_of(kind, name), lambda before: _distinct([*(before or []), *tags]))

    async def remove(self, kind: str, name: str, tags: Sequence[Tag]) -> None:
        """Take these tags away; the ones it has not make no difference."""
        await self.change(
            key_of(kind, name),
            lambda before: [tag for tag in before or [] if not any(_same(tag, gone) for gone in tags)],
        )

    async def forget(self, kind: str, name: str) -> None:
        """The thing is deleted."""
        await self.delete(key_of(kind, name))

    def rate_limit(self, workflow: str) -> int | None:
        """How many executions of a workflow may run at a time, if a tag says so."""
        for tag in self.of("WORKFLOW_DEF", workflow):
            if tag.type == RATE_LIMIT and tag.key == workflow and str(tag.value).isdigit():
                return int(tag.value)
        return None


def _distinct(tags: Sequence[Tag]) -> list[Tag]:
    """Each tag once; the place of the first, the value of the last."""
    return list({(tag.type, tag.key, encode_json(tag.value)): tag for tag in tags}.values())


def _same(tag: Tag, other: Tag) -> bool:
    # Clients turn values into text before they delete.
    return (tag.type, tag.key, str(tag.value)) == (other.type, other.key, str(other.value))
