"""Schemas of inputs and outputs, in versions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tenuto.engine.clock import Clock
from tenuto.server.collection import SEPARATOR, Collection, versioned
from tenuto.store.protocol import Store


class Schema(Struct, rename="camel", kw_only=True, omit_defaults=False):
    """One version of a schema; `data` is the document itself for JSON, `external_ref` says where it is otherwise."""

    name: str
    version: Annotated[int, Meta(ge=1)] = 1
    type: Literal["JSON", "AVRO", "PROTOBUF"] = "JSON"
    data: dict[str, Any] | None = None
    external_ref: str | None = None
    owner_app: str | None = None
    create_time: int = 0
    update_time: int = 0
    created_by: str | None = None
    updated_by: str | None = None


class Schemas(Collection[Schema]):
    """All versions of all schemas."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "schemas", Schema)

    def versions(self, name: str) -> list[Schema]:
        """The versions of a schema, oldest first."""
        return self.all(name + SEPARATOR)

    def find(self, name: str, version: int | None = None) -> Schema | None:
        """One version of a schema, the latest if none is named; None if there is no such schema."""
        if version is not None:
            return self.get(versioned(name, version))
        versions = self.versions(name)
        return versions[-1] if versions else None
