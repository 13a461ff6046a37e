"""Real brokers on loopback, one process each."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_START = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed(program: str) -> str | None:
    """The path of a program, beside this Python or on PATH."""
    return shutil.which(program, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@asynccontextmanager
async def process(*command: str, port: int, env: dict[str, str] | None = None) -> AsyncIterator[None]:
    """A process that is up once it takes connections on `port`, and killed at the end."""
    running = await asyncio.create_subprocess_exec(
        *command, env=os.environ | (env or {}), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_START):
            while not await _listens(port):
                assert running.returncode is None, f"{command[0]} ended with {running.returncode}"
                await asyncio.sleep(0.02)
        yield
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def nats_server(directory: Path, port: int) -> AsyncIterator[str]:
    """With JetStream, whose streams are in `directory`."""
    program = installed("nats-server")
    assert program is not None
    async with process(program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(directory), port=port):
        yield f"nats://127.0.0.1:{port}"


@asynccontextmanager
async def sqs_server() -> AsyncIterator[str]:
    """moto's SQS over HTTP."""
    program, port = installed("moto_server"), free_port()
    assert program is not None
    async with process(program, "-H", "127.0.0.1", "-p", str(port), port=port):
        yield f"http://127.0.0.1:{port}"
