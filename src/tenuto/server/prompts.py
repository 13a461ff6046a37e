"""Prompt templates: texts with variables, in versions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct, field

from tenuto.engine.clock import Clock
from tenuto.server.collection import SEPARATOR, Collection, versioned
from tenuto.store.protocol import Store

_VARIABLE = re.compile(r"\$\{\s*([^${}]+?)\s*\}")


class Prompt(Struct, rename="camel", kw_only=True):
    """One version of a prompt template."""

    name: str
    version: int
    template: str
    description: str = ""
    variables: list[str] = field(default_factory=list)
    integrations: list[str] = field(default_factory=list)
    """The models that it is meant for, as provider:model."""
    created_by: str = ""
    create_time: int = 0
    updated_by: str = ""
    update_time: int = 0


class Prompts(Collection[Prompt]):
    """All versions of all prompts."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "prompts", Prompt)

    def versions(self, name: str) -> list[Prompt]:
        """The versions of a prompt, oldest first; none if there is no such prompt."""
        return self.all(name + SEPARATOR)

    def latest(self, name: str) -> Prompt | None:
        versions = self.versions(name)
        return versions[-1] if versions else None

    def latest_of_all(self) -> list[Prompt]:
        return list({prompt.name: prompt for prompt in self.all()}.values())

    async def save(self, prompt: Prompt) -> None:
        prompt.variables = variables_of(prompt.template)
        await self.put(versioned(prompt.name, prompt.version), prompt)

    async def remove(self, name: str) -> bool:
        """Delete all versions; False if there are none."""
        prompts = self.versions(name)
        for prompt in prompts:
            await self.delete(versioned(name, prompt.version))
        return bool(prompts)


def variables_of(template: str) -> list[str]:
    """The names in `${...}`, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(template)))


def models_of(values: Sequence[str]) -> list[str]:
    """The models of a query string: repeated, or separated by commas."""
    return [model.strip() for value in values for model in value.split(",") if model.strip()]
