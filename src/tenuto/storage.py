"""A place for values that are too large for a history: a step puts them there and returns a small reference.

    storage = Storage("s3://bucket/publish")                # or file:///folder, or what else fsspec knows

    reference = await step.do("render", lambda: storage.put(render()))
    image = await storage.get(reference)

An object is named after what it holds, so a step that is tried again writes the same object again. Nothing is ever
deleted here: what is old goes by the rules of the bucket, or by a job of yours.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypedDict

from tenuto.converter import DataConverter
from tenuto.model.errors import TenutoError
from tenuto.model.payloads import Payload

__all__ = ["Reference", "Storage", "StorageError"]

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=@+-]*(/[A-Za-z0-9_][A-Za-z0-9_.=@+-]*)*")
_LONGEST_KEY = 512


class StorageError(TenutoError):
    """An object could not be written or read, or is not what its reference says."""


class Reference(TypedDict):
    """Where a value is: plain data, the same before and after it has been through a history."""

    key: str
    size: int
    """Bytes."""
    encoding: str
    sha256: str


class Storage:
    """Objects below one address. May be used by any number of processes at a time."""

    def __init__(self, url: str, **options: Any) -> None:
        """`url` is `file:///folder`, `s3://bucket/prefix` or another address that fsspec knows; `options` go to fsspec
        (for S3 `key`, `secret`, `endpoint_url`, ...). Raises StorageError if what it takes is not installed, ValueError
        for an address that can't be understood."""
        if "://" not in url:
            raise ValueError(f"{url!r} is no address of a storage; write file:///folder or s3://bucket/prefix")
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            self._files, self._root = url_to_fs(url, **options)
        except ImportError as error:
            raise StorageError(f"{url} needs the extra storage: pip install 'tenuto[storage]' ({error})") from None
        self.url = url.rstrip("/")
        self._converter = DataConverter(payload_size_limit=sys.maxsize)

    def __repr__(self) -> str:
        return f"Storage({self.url!r})"

    async def put(self, value: Any, key: str | None = None) -> Reference:
        """Write `value` and return where it is. Bytes are kept as they are, everything else as JSON, as in histories.
        With a `key` of your own an object of that name is replaced, and references to what it held are void.

        Raises PayloadError for a value that can't be stored, ValueError for a key that can't be a name, StorageError if
        it could not be written."""
        payload = self._converter.encode(value)
        digest = hashlib.sha256(payload.data).hexdigest()
        name = f"{digest[:2]}/{digest}" if key is None else _checked(key)
        await self._attempt(self._write, name, payload.data)
        return Reference(key=name, size=len(payload.data), encoding=payload.encoding, sha256=digest)

    async def get(self, reference: Mapping[str, Any], type_hint: Any = None) -> Any:
        """Read a value back, as `type_hint` if one is given. Raises StorageError if it isn't there or not as it was,
        TypeError for what is no reference, PayloadError if it is not of that type."""
        try:
            name, size, encoding, digest = (reference[field] for field in Reference.__annotations__)
        except (KeyError, TypeError):
            raise TypeError(f"{reference!r} is no reference to an object; pass on what put() returned") from None
        data: bytes = await self._attempt(self._files.cat_file, _checked(name))
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise StorageError(
                f"{self.url}/{name} has {len(data)} bytes that are not the {size} bytes that were put there; somebody "
                "has replaced or damaged the object"
            )
        return self._converter.decode(Payload(data, encoding), type_hint)

    async def _attempt(self, action: Any, name: str, *args: Any) -> Any:
        """Reading and writing take a thread, so that nothing else has to wait."""
        try:
            return await asyncio.to_thread(action, f"{self._root}/{name}", *args)
        except FileNotFoundError:
            raise StorageError(
                f"there is no object {self.url}/{name}; it was deleted, or the reference is of another storage"
            ) from None
        except Exception as error:
            raise StorageError(f"{self.url}/{name} can't be reached: {type(error).__name__}: {error}") from error

    def _write(self, path: str, data: bytes) -> None:
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        with self._files.open(path, "wb") as file:
            file.write(data)
            file.flush()
            with suppress(OSError, AttributeError):  # a bucket's object has no number, and is safe once it is closed
                os.fsync(file.fileno())


def _checked(key: object) -> str:
    if not isinstance(key, str) or len(key) > _LONGEST_KEY or _KEY.fullmatch(key) is None:
        raise ValueError(
            f"{key!r} can't be the name of an object: use up to {_LONGEST_KEY} letters, digits and . _ = @ + - in "
            "parts divided by /, none of which begins with a dot"
        )
    return key
