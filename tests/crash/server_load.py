"""Workflows of many kinds with their clients: starters, workers, somebody who signals. The clients outlive the server:
they ask again until they are answered, and note what they were answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.conductor import fork, inline, loop, node, simple, sub_workflow, switch, task_def, workflow

Json = Any

#: Seconds in which a worker has to answer before its task is handed out again.
RESPONSE_TIMEOUT = 3
#: Requests for starts at a time.
STARTERS = 6
#: The part of tasks with which a worker disappears.
DROPPED = 0.02


def worked(n: int) -> int:
    """What a worker makes of a number."""
    return n * 2 + 1


def served(n: int) -> int:
    """What the service that HTTP tasks call makes of a number."""
    return n + 7


def _work(reference: str, n: str, name: str = "work") -> Json:
    return simple(reference, {"n": n}, name=name)


def _definitions(service: str) -> list[Json]:
    n = "${workflow.input.n}"
    chain = [_work("a", n), _work("b", "${a.output.value}"), _work("c", "${b.output.value}")]
    script = inline("script", "$.n + 1", input={"n": n})
    # The service is in the process of the test, which may have much else to do.
    request = {"uri": f"{service}/?n={n}", "method": "GET", "connectionTimeOut": 60_000, "readTimeOut": 60_000}
    branches = {"left": {"n": n}, "right": {"n": n}}
    dynamic = node(
        "FORK_JOIN_DYNAMIC",
        "fork",
        {"tasks": [simple(name, name="work") for name in branches], "inputs": branches},
        dynamicForkTasksParam="tasks",
        dynamicForkTasksInputParamName="inputs",
    )
    jq = node(
        "JSON_JQ_TRANSFORM",
        "sum",
        {"both": "${join.output}", "queryExpression": ".both.left.value + .both.right.value"},
    )
    return [
        _named("sequence", chain, "${c.output.value}"),
        _named(
            "forks",
            fork("fork", [_work("x", n)], [_work("y", n), _work("z", "${y.output.value}")]),
            ["${x.output.value}", "${z.output.value}"],
        ),
        _named(
            "loops",
            [loop("loop", "$.loop['iteration'] < 3", script, _work("step", "${script.output.result}"))],
            ["${loop.output.iteration}", "${loop.output.3.step.value}"],
        ),
        _named(
            "parents",
            [sub_workflow("child", "sequence", {"n": n}), _work("last", "${child.output.value}")],
            "${last.output.value}",
        ),
        _named("waits", [node("WAIT", "wait", {"duration": "1 seconds"}), _work("a", n)], "${a.output.value}"),
        _named("signals", [node("WAIT", "wait"), _work("a", "${wait.output.n}")], "${a.output.value}"),
        _named(
            "calls",
            [
                node("HTTP", "call", {"http_request": request}),
                inline("script", "$.value * 2", input={"value": "${call.output.response.body.value}"}),
            ],
            "${script.output.result}",
        ),
        _named("retries", [_work("a", n, "flaky")], "${a.output.value}"),
        _named(
            "dynamic",
            [dynamic, node("JOIN", "join"), jq, switch("way", "${sum.output.result}", {}, [_work("a", n)])],
            ["${sum.output.result}", "${a.output.value}"],
        ),
    ]


def _named(name: str, tasks: list[Json], value: Json) -> Json:
    return workflow(name, *tasks, outputParameters={"value": value})


def expected(name: str, n: int) -> Json:
    """The output of a workflow."""
    return {
        "sequence": lambda: worked(worked(worked(n))),
        "forks": lambda: [worked(n), worked(worked(n))],
        "loops": lambda: [3, worked(n + 1)],
        "parents": lambda: worked(worked(worked(worked(n)))),
        "waits": lambda: worked(n),
        "signals": lambda: worked(n),
        "calls": lambda: served(n) * 2,
        "retries": lambda: worked(n),
        "dynamic": lambda: [worked(n) * 2, worked(n)],
    }[name]()


NAMES = ["sequence", "forks", "loops", "parents", "waits", "signals", "calls", "retries", "dynamic"]


class Load:
    """The clients of one server. `permits` says how many workflows may be started."""

    def __init__(self, url: str, service: str, seed: int) -> None:
        self.permits = asyncio.Semaphore(0)
        #: What polls were answered, in that order.
        self.handed_out: list[Json] = []
        #: Updates that were answered 200, by task id.
        self.updates: dict[str, Json] = {}
        #: Name, number and id of each workflow.
        self.started: list[tuple[str, int, str]] = []
        self._client = httpx.AsyncClient(base_url=f"{url}/api", timeout=30)
        self._service = service
        self._random = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []

    async def call(self, method: str, path: str, body: Json = None, **query: Any) -> Json:
        """Ask until there is an answer, over any number of deaths of the server."""
        while True:
            try:
                response = await self._client.request(method, path, json=body, params=query or None)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if response.status_code == 503:
                await asyncio.sleep(0.05)
                continue
            assert response.status_code in (200, 204), f"{method} {path}: {response.status_code} {response.text}"
            return response.json() if response.content[:1] in (b"{", b"[") else response.text

    @asynccontextmanager
    async def at_work(self, count: int) -> AsyncIterator[None]:
        """Definitions are registered; starters and workers are at work in the block."""
        retry = {"retryCount": 50, "responseTimeoutSeconds": RESPONSE_TIMEOUT, "timeoutPolicy": "RETRY"}
        await self.call("POST", "/metadata/taskdefs", [task_def("work", **retry), task_def("flaky", **retry)])
        await self.call("PUT", "/metadata/workflow", _definitions(self._service))
        try:
            async with asyncio.TaskGroup() as group:
                numbers = iter(range(count))
                self._tasks = [group.create_task(self._start_all(numbers)) for _ in range(STARTERS)]
                self._tasks.append(group.create_task(self._signal_all()))
                self._tasks += [group.create_task(self._work("work", f"worker-{number}")) for number in range(3)]
                self._tasks.append(group.create_task(self._work("flaky", "worker-f")))
                yield
                for task in self._tasks:
                    task.cancel()
        finally:
            await self._client.aclose()

    async def _start_all(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self.permits.acquire()
            name = NAMES[number % len(NAMES)]
            request = {
                "name": name,
                "input": {"n": number},
                "correlationId": "load",
                "idempotencyKey": f"load-{number}",
                "idempotencyStrategy": "RETURN_EXISTING",
            }
            self.started.append((name, number, await self.call("POST", "/workflow", request)))

    async def _signal_all(self) -> None:
        """Tell each workflow that waits for it its number."""
        told = 0
        while True:
            waiting = [each for each in self.started if each[0] == "signals"]
            for _, number, workflow_id in waiting[told:]:
                await self.call("POST", f"/tasks/{workflow_id}/wait/COMPLETED", {"n": number})
            told = len(waiting)
            await asyncio.sleep(0.02)

    async def _work(self, kind: str, worker: str) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                path = f"/tasks/poll/batch/{kind}"
                for task in await self.call("GET", path, count=20, timeout=300, workerid=worker):
                    self.handed_out.append(task)
                    group.create_task(self._do(task))

    async def _do(self, task: Json) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.05))
        if self._random.random() < DROPPED:
            return  # this worker is never heard of again
        fails = task["taskType"] == "flaky" and task["retryCount"] == 0
        update = {
            "workflowInstanceId": task["workflowInstanceId"],
            "taskId": task["taskId"],
            "status": "FAILED" if fails else "COMPLETED",
            "outputData": {} if fails else {"value": worked(task["inputData"]["n"])},
            "workerId": task["workerId"],
        }
        await self.call("POST", "/tasks", update)
        self.updates[task["taskId"]] = update


@asynccontextmanager
async def service() -> AsyncIterator[str]:
    """What HTTP tasks call; it lives as long as the block, whatever becomes of the server."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            n = int(request.split(b" ", 2)[1].rpartition(b"=")[2])
            body = json.dumps({"value": served(n)}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server was killed
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
