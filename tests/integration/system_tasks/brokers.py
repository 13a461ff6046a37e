"""Real brokers on loopback, one process each."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
        *command,
        env=os.environ | (env or {}),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # start scripts have children; all of the group are killed
    )
    try:
        async with asyncio.timeout(_START):
            while not await _listens(port):
                assert running.returncode is None, f"{command[0]} ended with {running.returncode}"
                await asyncio.sleep(0.02)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
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


def rabbitmq_script() -> str | None:
    """RabbitMQ's own start script. What distributions put on PATH wants root and a user of its own."""
    return shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin" + os.pathsep + os.environ["PATH"])


@asynccontextmanager
async def rabbitmq_server(directory: Path) -> AsyncIterator[str]:
    """RabbitMQ with all its files in `directory`, and an Erlang port mapper of its own."""
    script, mapper = rabbitmq_script(), installed("epmd")
    assert script is not None
    assert mapper is not None
    port, mapper_port, distribution = free_port(), free_port(), free_port()
    env = {
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"tenuto{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "config"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    async with (
        process(mapper, "-port", str(mapper_port), port=mapper_port, env=env),
        process(script, port=port, env=env),
    ):
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
