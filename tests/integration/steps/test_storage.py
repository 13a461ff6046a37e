"""Large values beside the history: what was put is what comes back, or there is a clear error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto.model.errors import PayloadError
from tenuto.storage import Storage, StorageError
from tests.integration.system_tasks.brokers import sqs_server


@dataclass
class Page:
    title: str
    words: int


@asynccontextmanager
async def bucket() -> AsyncIterator[Storage]:
    """An S3 of our own; moto serves all of its services at one address."""
    async with sqs_server() as address:
        async with httpx.AsyncClient() as http:
            (await http.put(f"{address}/bucket")).raise_for_status()
        yield Storage("s3://bucket/prefix", key="key", secret="secret", endpoint_url=address, skip_instance_cache=True)


def folder(tmp_path: Path) -> Storage:
    return Storage(f"file://{tmp_path}/objects")


@pytest.mark.parametrize("value", [b"\0bytes" * 1000, "text", {"a": [1, 2.5, None]}, None, []])
async def test_what_was_put_comes_back(tmp_path: Path, value: Any) -> None:
    storage = folder(tmp_path)
    reference = await storage.put(value)
    assert await storage.get(reference) == value
    assert await folder(tmp_path).get(dict(reference)) == value
    assert sys.getsizeof(str(reference)) < 400


async def test_a_type_comes_back_with_its_hint(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    reference = await storage.put(Page("one", 1))
    assert await storage.get(reference, Page) == Page("one", 1)
    assert await storage.get(reference) == {"title": "one", "words": 1}
    with pytest.raises(PayloadError):
        await storage.get(reference, int)


async def test_putting_again_writes_the_same_object(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    references = await asyncio.gather(*(storage.put("a" * 100_000) for _ in range(5)))
    assert all(reference == references[0] for reference in references)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


async def test_a_key_of_ones_own_is_replaced_and_older_references_say_so(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    older = await storage.put("one", key="reports/latest.json")
    newer = await storage.put("two", key="reports/latest.json")
    assert await storage.get(newer) == "two"
    with pytest.raises(StorageError, match=r"reports/latest\.json has 5 bytes that are not"):
        await storage.get(older)


@pytest.mark.parametrize("key", ["../out", "/etc/passwd", "", "a//b", "a/../b", ".hidden", "a" * 600, 5])
async def test_a_key_stays_below_the_address(tmp_path: Path, key: Any) -> None:
    storage = folder(tmp_path)
    with pytest.raises(ValueError, match="can't be the name of an object"):
        await storage.put("x", key=key)
    reference = await storage.put("x")
    with pytest.raises(ValueError, match="can't be the name of an object"):
        await storage.get({**reference, "key": key})


async def test_errors_say_what_to_do(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    reference = await storage.put("x")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(StorageError, match="there is no object file://"):
        await storage.get(reference)
    with pytest.raises(TypeError, match="pass on what put"):
        await storage.get({"some": "thing"})
    with pytest.raises(PayloadError):
        await storage.put(object())
    with pytest.raises(ValueError, match="file:///folder"):
        Storage("folder")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be reached"):
        await Storage(f"file://{tmp_path}/file").put("x")


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(StorageError, match=r"pip install 'tenuto\[storage\]'"):
        Storage("file:///folder")


async def test_a_bucket_keeps_objects_too() -> None:
    async with bucket() as storage:
        reference = await storage.put(b"x" * 2_000_000)
        assert len(await storage.get(reference)) == 2_000_000
        assert await storage.put(b"x" * 2_000_000) == reference
        with pytest.raises(StorageError, match="there is no object s3://bucket/prefix/none"):
            await storage.get({**reference, "key": "none"})
