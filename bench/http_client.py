"""A small HTTP/1.1 client for benchmarks: one connection, one request at a time, so that the client costs little."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec


class Connection:
    """A connection that is kept alive."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        assert self._writer is not None
        assert self._reader is not None
        data = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(data)}\r\n"
        self._writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        at = answer.lower().find(b"content-length:")
        length = 0 if at < 0 else int(answer[at + 15 : answer.index(b"\r\n", at)])
        return status, await self._reader.readexactly(length) if length else b""
