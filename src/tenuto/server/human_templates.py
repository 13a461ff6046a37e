"""Templates of forms for HUMAN tasks, in versions. They are kept for clients; the server does nothing with them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from tenuto.engine.clock import Clock
from tenuto.model.json_values import Json
from tenuto.server.collection import SEPARATOR, Collection, versioned
from tenuto.store.protocol import Store


class HumanTaskTemplate(Struct, rename="camel", kw_only=True):
    """One version of a template; times are milliseconds since the epoch."""

    name: str
    version: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """0 in a request: the first, or the latest that there is."""
    json_schema: dict[str, Json] = {}
    template_ui: dict[str, Json] = field(default_factory=dict, name="templateUI")
    create_time: int | None = None
    update_time: int | None = None
    created_by: str | None = None
    updated_by: str | None = None


class HumanTemplates(Collection[HumanTaskTemplate]):
    """All versions of all templates."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "human_templates", HumanTaskTemplate)

    def versions(self, name: str) -> list[HumanTaskTemplate]:
        """The versions of a template, oldest first."""
        return self.all(name + SEPARATOR)

    def find(self, name: str, version: int) -> HumanTaskTemplate | None:
        """One version of a template; 0 is the latest. None if there is none."""
        if version:
            return self.get(versioned(name, version))
        versions = self.versions(name)
        return versions[-1] if versions else None

    async def save(self, template: HumanTaskTemplate, by: str, now: int, *, new_version: bool) -> HumanTaskTemplate:
        """Create or replace a version, or with `new_version` create one behind all others."""
        while True:
            latest = self.find(template.name, 0)
            if new_version:
                template.version = 1 if latest is None else latest.version + 1
            elif template.version == 0:
                template.version = 1 if latest is None else latest.version
            before = self.find(template.name, template.version)
            template.create_time = before.create_time if before else now
            template.created_by = before.created_by if before else by
            template.update_time, template.updated_by = now, by
            key = versioned(template.name, template.version)
            if not new_version:
                await self.put(key, template)
                return template
            if await self.create(key, template):
                return template
            await self.refresh()
