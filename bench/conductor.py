"""The benchmark of the server: `tenuto server` in one process, its clients in another, HTTP over loopback, batch
polling, full durability. Beside it, in the same run, a bare Starlette handler on uvicorn.

What the published figure for Conductor on PostgreSQL is, and what must come out here: docs/performance.md.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.processes import cpu_seconds, load, running, until

Result = dict[str, float]
#: What servers on one database must share, to read each other's secrets; these have none.
SECRETS_KEY = base64.urlsafe_b64encode(bytes(32)).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: list[str], port: int, ready: str, workdir: Path) -> Iterator[int]:
    """A server process that answers at `ready`; gives its pid."""
    log = workdir / f"server-{port}.log"
    with running(*command, log=log, env={"TENUTO_SECRETS_KEY": SECRETS_KEY}) as pid:
        until(lambda: _answers(f"http://127.0.0.1:{port}{ready}"), f"the server answers (see {log})", 30)
        yield pid


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def tenuto_server(store: str, workdir: Path) -> Iterator[tuple[int, int]]:
    """Port and pid of a server on a store."""
    port = free_port()
    with serving(["-m", "tenuto", "server", "--db", store, "--port", str(port)], port, "/health", workdir) as pid:
        yield port, pid


@contextmanager
def bare_server(workdir: Path) -> Iterator[int]:
    """Port of the bare handler."""
    port = free_port()
    with serving(["-m", "bench.conductor", str(port)], port, "/poll", workdir):
        yield port


def clients(port: int, workload: str, scale: int) -> Result:
    """What a client process measured."""
    command = [sys.executable, "-m", "bench.conductor_clients", str(port), workload, str(scale)]
    result: Result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def lines(name: str, store: str, goal: str, database_cpu: Callable[[], float], workdir: Path, quick: bool) -> list[str]:
    """The rows of the table, on the store of that name and URL."""
    print(f"{name}: server ...", file=sys.stderr, flush=True)
    count = 500 if quick else 5_000
    with tenuto_server(store, workdir) as (port, pid):
        clients(port, "throughput", 50)
        before, database = cpu_seconds(pid), database_cpu()
        throughput = clients(port, "throughput", count)
        cpu, database = (cpu_seconds(pid) - before) / count, (database_cpu() - database) / count
        latency = clients(port, "latency", 100 if quick else 500)
        endpoints = clients(port, "endpoints", count)
    with bare_server(workdir) as port:
        bare = clients(port, "bare", count)
    polls = endpoints["polls_per_second"] / bare["polls_per_second"]
    updates = endpoints["updates_per_second"] / bare["updates_per_second"]
    return [
        f"| Server on {name}; {load()} | Tenuto | beside it | ratio | goal |",
        "|---|--:|--:|--:|---|",
        f"| Workflows of 5 SIMPLE tasks | {throughput['workflows_per_second']:.0f} 1/s | | | {goal} |",
        f"| CPU a workflow: server; clients; database apart | {cpu * 1e3:.2f}; "
        f"{throughput['client_cpu_seconds'] / count * 1e3:.2f}; {database * 1e3:.2f} ms | | | |",
        f"| Update to next task at a waiting poller, p50 | {latency['p50_seconds'] * 1e3:.2f} ms | | | <= 5, aim 2 |",
        f"| the same, p99 | {latency['p99_seconds'] * 1e3:.2f} ms | | | |",
        f"| Empty polls | {endpoints['polls_per_second']:.0f} 1/s | bare handler {bare['polls_per_second']:.0f} 1/s "
        f"| {polls:.2f}x | >= 0.5x |",
        f"| Updates that end a task and a workflow | {endpoints['updates_per_second']:.0f} 1/s | "
        f"bare handler {bare['updates_per_second']:.0f} 1/s | {updates:.2f}x | >= 0.5x |",
    ]


async def _poll(request: Request) -> Response:
    return JSONResponse([])


async def _update(request: Request) -> Response:
    await request.json()
    return Response(b"x" * 36, media_type="text/plain")


def _serve(port: int) -> None:
    import uvicorn

    app = Starlette(routes=[Route("/poll", _poll), Route("/update", _update, methods=["POST"])])
    uvicorn.run(app, port=port, http="httptools", log_level="error", access_log=False)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
