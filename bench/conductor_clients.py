"""The clients of the server's benchmark: a process that starts workflows and works on their tasks over HTTP.

    python -m bench.conductor_clients PORT WORKLOAD SCALE

Prints one JSON object. The workloads are described in `bench/conductor.py`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from bench.http_client import Connection

Result = dict[str, float]
TYPES = [f"step_{number}" for number in range(5)]
#: Connections that start workflows, that poll each task type, and that measure requests a second.
STARTERS, POLLERS, ASKERS = 8, 4, 64


def definition(name: str, types: list[str]) -> dict[str, Any]:
    tasks = [
        {"name": kind, "taskReferenceName": kind, "type": "SIMPLE", "inputParameters": {"n": "${workflow.input.n}"}}
        for kind in types
    ]
    return {"name": name, "version": 1, "tasks": tasks}


class Clients:
    def __init__(self, port: int, scale: int) -> None:
        self.port = port
        self.scale = scale

    async def connect(self) -> Connection:
        return await Connection("127.0.0.1", self.port).open()

    async def register(self, name: str, types: list[str]) -> None:
        connection = await self.connect()
        status, body = await connection.request("PUT", "/api/metadata/workflow", [definition(name, types)])
        assert status == 200, body

    async def start_all(self, name: str) -> None:
        numbers = iter(range(self.scale))

        async def start() -> None:
            connection = await self.connect()
            for number in numbers:
                request = {"name": name, "version": 1, "input": {"n": number}}
                status, body = await connection.request("POST", "/api/workflow", request)
                assert status == 200, body

        await asyncio.gather(*(start() for _ in range(STARTERS)))

    async def throughput(self) -> Result:
        """Workflows of 5 SIMPLE tasks: all are started while workers take them; until the last one has ended."""
        await self.register("five", TYPES)
        ended, over = 0, asyncio.Event()

        async def work(kind: str) -> None:
            nonlocal ended
            connection = await self.connect()
            while not over.is_set():
                path = f"/api/tasks/poll/batch/{kind}?count=20&timeout=200&workerid=bench"
                for task in msgspec.json.decode((await connection.request("GET", path))[1]):
                    while task is not None:
                        status, body = await connection.request("POST", "/api/tasks/update-v2", done(task))
                        task = msgspec.json.decode(body) if status == 200 else None
                        assert status in (200, 204), body
                        if kind == TYPES[-1]:
                            ended += 1
                            if ended == self.scale:
                                over.set()

        workers = [asyncio.create_task(work(kind)) for kind in TYPES for _ in range(POLLERS)]
        began = time.perf_counter()
        await self.start_all("five")
        await over.wait()
        seconds = time.perf_counter() - began
        for worker in workers:
            worker.cancel()
        return {"seconds": seconds, "workflows_per_second": self.scale / seconds}

    async def latency(self) -> Result:
        """One workflow of two tasks after another: from the sending of the update that ends the first to the arrival
        of the second at a poller that waits for it."""
        await self.register("two", ["first", "second"])
        updater, poller, starter = [await self.connect() for _ in range(3)]
        times: list[float] = []
        for number in range(self.scale):
            request = {"name": "two", "version": 1, "input": {"n": number}}
            await starter.request("POST", "/api/workflow", request)
            first = msgspec.json.decode((await updater.request("GET", "/api/tasks/poll/batch/first?timeout=5000"))[1])[
                0
            ]
            waiting = asyncio.create_task(poller.request("GET", "/api/tasks/poll/batch/second?timeout=5000"))
            await asyncio.sleep(0.003)
            began = time.perf_counter()
            updating = asyncio.create_task(updater.request("POST", "/api/tasks", done(first)))
            second = msgspec.json.decode((await waiting)[1])[0]
            times.append(time.perf_counter() - began)
            await updating
            await updater.request("POST", "/api/tasks", done(second))
        return {"p50_seconds": statistics.median(times), "p99_seconds": statistics.quantiles(times, n=100)[98]}

    async def endpoints(self) -> Result:
        """Requests a second over 64 connections: polls that find nothing, and updates that end tasks."""
        await self.register("one", ["only"])
        await self.start_all("one")
        connection = await self.connect()
        tasks: list[Any] = []
        while len(tasks) < self.scale:
            tasks += msgspec.json.decode((await connection.request("GET", "/api/tasks/poll/batch/only?count=500"))[1])

        async def poll(connection: Connection, number: int) -> None:
            await connection.request("GET", "/api/tasks/poll/batch/nothing?timeout=0&workerid=bench")

        async def update(connection: Connection, number: int) -> None:
            status, body = await connection.request("POST", "/api/tasks", done(tasks[number]))
            assert status == 200, body

        return {"polls_per_second": await self.rate(poll), "updates_per_second": await self.rate(update)}

    async def bare(self) -> Result:
        """The same for a handler that does nothing: it reads the body and answers a small one."""

        async def poll(connection: Connection, number: int) -> None:
            await connection.request("GET", "/poll?timeout=0&workerid=bench")

        async def update(connection: Connection, number: int) -> None:
            await connection.request("POST", "/update", done({"taskId": "x" * 36, "workflowInstanceId": "y" * 36}))

        return {"polls_per_second": await self.rate(poll), "updates_per_second": await self.rate(update)}

    async def rate(self, request: Callable[[Connection, int], Awaitable[None]]) -> float:
        numbers = iter(range(self.scale))

        async def go() -> None:
            connection = await self.connect()
            for number in numbers:
                await request(connection, number)

        began = time.perf_counter()
        await asyncio.gather(*(go() for _ in range(ASKERS)))
        return self.scale / (time.perf_counter() - began)


def done(task: Any) -> dict[str, Any]:
    return {
        "taskId": task["taskId"],
        "workflowInstanceId": task["workflowInstanceId"],
        "status": "COMPLETED",
        "outputData": {"ok": True},
        "workerId": "bench",
    }


def main() -> None:
    port, workload, scale = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    work: Callable[[], Awaitable[Result]] = getattr(Clients(port, scale), workload)

    async def run() -> Result:
        return await work()

    try:
        from uvloop import run as run_loop
    except ImportError:
        from asyncio import run as run_loop
    result = run_loop(run())
    result["client_cpu_seconds"] = time.process_time()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
