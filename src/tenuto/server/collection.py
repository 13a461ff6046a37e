"""Stored configuration: documents of one type, with a copy in memory that is read without waiting.

The copy shows what this process wrote at once, and what other servers on the same store wrote after the next
`refresh`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from tenuto.engine.clock import Clock
from tenuto.model.errors import ConflictError
from tenuto.model.json_values import encode_json
from tenuto.server.errors import ApiError, bad_request
from tenuto.store.protocol import Document, Store

T = TypeVar("T")

#: Between the parts of a key that is made of several names.
SEPARATOR = "\x1f"

#: The document whose revision grows with every change of any collection.
CHANGES = ("server", "configuration")

MAX_NAME = 255
#: How often a change is tried anew when others change the same document.
ATTEMPTS = 20


class Collection(Generic[T]):
    """The documents of one collection, each a value of `kind`. `changed` is called whenever the copy has changed."""

    def __init__(self, store: Store, clock: Clock, name: str, kind: type[T]) -> None:
        self.name = name
        self.changed: Callable[[], None] = _nothing
        self._store = store
        self._clock = clock
        self._decoder = msgspec.json.Decoder(kind)
        self._values: dict[str, T] = {}
        self._revisions: dict[str, int] = {}
        self._writes = 0

    def get(self, key: str) -> T | None:
        return self._values.get(key)

    def all(self, prefix: str = "") -> list[T]:
        """The values whose key starts with `prefix`, by key."""
        return [value for _, value in self.items(prefix)]

    def items(self, prefix: str = "") -> Iterator[tuple[str, T]]:
        for key in sorted(self._values):
            if key.startswith(prefix):
                yield key, self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    async def put(self, key: str, value: T) -> None:
        """Create or replace a value; it is on record when this returns."""
        self._writes += 1
        revision = await self._store.put_document(self._document(key, value))
        await self._learn(key, value, revision)

    async def create(self, key: str, value: T) -> bool:
        """Create a value; False if there is one already."""
        self._writes += 1
        try:
            revision = await self._store.put_document(self._document(key, value), expected=0)
        except ConflictError:
            return False
        await self._learn(key, value, revision)
        return True

    async def change(self, key: str, change: Callable[[T | None], T], *, announce: bool = True) -> T:
        """Replace a value by what `change` makes of it (None: there is none yet), with no change of others lost.
        `change` may be called several times. Without `announce`, other servers see it only with their next refresh.
        Raises ApiError (503) if others change it all the time."""
        for _ in range(ATTEMPTS):
            found = await self._store.document(self.name, key)
            value = change(None if found is None else self._decoder.decode(found.data))
            self._writes += 1
            try:
                revision = await self._store.put_document(
                    self._document(key, value), expected=0 if found is None else found.revision
                )
            except ConflictError:
                continue
            await self._learn(key, value, revision, announce=announce)
            return value
        raise ApiError(503, f"others change {key!r} all the time; try again", retryable=True)

    async def delete(self, key: str) -> bool:
        """Delete a value; False if there is none."""
        self._writes += 1
        there = await self._store.delete_document(self.name, key)
        self._revisions.pop(key, None)
        if self._values.pop(key, None) is not None:
            self.changed()
        await self._announce()
        return there

    async def refresh(self) -> None:
        """Read what others have changed."""
        before = self._writes
        documents: list[Document] = []
        while True:
            page = await self._store.documents(self.name, after=documents[-1].key if documents else "", limit=500)
            documents += page
            if len(page) < 500:
                break
        revisions = {document.key: document.revision for document in documents}
        # What was written meanwhile is newer than what was read; the next refresh sees all of it.
        if self._writes != before or revisions == self._revisions:
            return
        self._values = {document.key: self._decoder.decode(document.data) for document in documents}
        self._revisions = revisions
        self.changed()

    def _document(self, key: str, value: T) -> Document:
        return Document(self.name, key, encode_json(value), updated=self._clock.now())

    async def _learn(self, key: str, value: T, revision: int, *, announce: bool = True) -> None:
        """Take a value that was written into the copy, and tell other servers."""
        self._writes += 1
        if revision >= self._revisions.get(key, 0):
            self._values[key] = value
            self._revisions[key] = revision
            self.changed()
        if announce:
            await self._announce()

    async def _announce(self) -> None:
        collection, key = CHANGES
        await self._store.put_document(Document(collection, key, b"", updated=self._clock.now()))


def key_of(*parts: str) -> str:
    """The key that is made of several names."""
    return SEPARATOR.join(parts)


def versioned(name: str, version: int) -> str:
    """The key of one version of something: versions sort as numbers do."""
    return key_of(name, f"{version:010d}")


def checked_name(name: str, what: str) -> str:
    """`name`, if something stored can have it. Raises ApiError (400) otherwise."""
    if not name.strip():
        raise bad_request(f"{what} must have a name")
    if len(name) > MAX_NAME:
        raise bad_request(f"the name of {what} has {len(name)} characters; at most {MAX_NAME} are possible")
    if not name.isprintable():
        raise bad_request(f"the name of {what} has characters that can't be printed: {name!r}")
    return name


def _nothing() -> None:
    pass
