"""The demo: an order is half done when its worker process is killed with SIGKILL; a second one finishes it.

You see: which steps the second process replays from the history, which step it runs again, and that the card was
charged once. Then an order that fails in its last step, and how it is undone.

    make demo                    (or: python -m examples.demo)

Three processes share one SQLite file: two workers, one after the other, and this one as a client. What the activities
do to the world outside is written to a ledger file that no engine knows of, so that it can bear witness.
"""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.order_saga import Saga
from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError, WorkflowHandle
from tenuto.common import RetryPolicy
from tenuto.exceptions import ApplicationError
from tenuto.timeline import Timeline, build_timeline
from tenuto.timeline_view import render_timeline
from tenuto.worker import Worker

# -- the order ---------------------------------------------------------------------------------------------------------


@dataclass
class Order:
    id: str
    item: str
    price: str
    address: str


class Ledger:
    """What happened outside, one line of JSON each. Appending a line is atomic, so several processes may write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, order: Order, what: str) -> None:
        entry = {"order": order.id, "what": what, "pid": os.getpid(), "attempt": activity.info().attempt}
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def entries(self, order_id: str) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        lines = self._path.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["order"] == order_id]


FAST = RetryPolicy(initial_interval=timedelta(milliseconds=200))


class Shop:
    """The activities, with what they need from outside."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @activity.defn(retry_policy=FAST)
    async def reserve_stock(self, order: Order) -> None:
        self.ledger.add(order, f"{order.item} reserved")

    @activity.defn(retry_policy=FAST)
    async def charge_card(self, order: Order) -> None:
        self.ledger.add(order, f"{order.price} charged")

    @activity.defn(retry_policy=FAST)
    async def pack(self, order: Order) -> None:
        self.ledger.add(order, "packing begins")
        await asyncio.sleep(1.0)
        self.ledger.add(order, "packed")

    @activity.defn(retry_policy=FAST)
    async def ship(self, order: Order) -> str:
        if not order.address:
            raise ApplicationError("there is no address", type="NoAddress", non_retryable=True)
        self.ledger.add(order, "shipped")
        return f"parcel-{order.id}"

    @activity.defn(retry_policy=FAST)
    async def unpack(self, order: Order) -> None:
        self.ledger.add(order, "unpacked")

    @activity.defn(retry_policy=FAST)
    async def refund_card(self, order: Order) -> None:
        self.ledger.add(order, f"{order.price} refunded")

    @activity.defn(retry_policy=FAST)
    async def release_stock(self, order: Order) -> None:
        self.ledger.add(order, f"{order.item} released")


@workflow.defn
class DemoOrder:
    @workflow.run
    async def run(self, order: Order) -> str:
        saga = Saga()
        try:
            saga.push(Shop.release_stock, order)
            await workflow.execute_activity(Shop.reserve_stock, order)
            saga.push(Shop.refund_card, order)
            await workflow.execute_activity(Shop.charge_card, order)
            saga.push(Shop.unpack, order)
            await workflow.execute_activity(Shop.pack, order)
            parcel: str = await workflow.execute_activity(Shop.ship, order)
            return parcel
        except (Exception, asyncio.CancelledError):
            await saga.compensate()
            raise


# -- the processes -----------------------------------------------------------------------------------------------------


@dataclass
class Files:
    """Where the demo keeps what it writes."""

    directory: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory / 'orders.db'}"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.directory / "ledger.jsonl")


async def serve(files: Files) -> None:
    """What a worker process does, until it is killed."""
    shop = Shop(files.ledger)
    activities = [
        shop.reserve_stock,
        shop.charge_card,
        shop.pack,
        shop.ship,
        shop.unpack,
        shop.refund_card,
        shop.release_stock,
    ]
    async with await Client.connect(files.url) as client:
        await Worker(client, workflows=[DemoOrder], activities=activities).run()


class WorkerProcess:
    """A child process that runs `serve`."""

    def __init__(self, name: str, files: Files) -> None:
        self.name = name
        command = [sys.executable, "-m", "examples.demo", "worker", str(files.directory)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).resolve().parent.parent)
        self.pid = self._process.pid

    def kill(self) -> None:
        """SIGKILL: no handler, no clean-up, no last words."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()


# -- the demo ----------------------------------------------------------------------------------------------------------


class Demo:
    """Tells the story on the terminal, and checks it."""

    def __init__(self, console: Console, files: Files, client: Client) -> None:
        self.console = console
        self.files = files
        self.client = client
        self.workers: list[WorkerProcess] = []
        self.broken: list[str] = []
        self._told = 0

    def say(self, text: str = "") -> None:
        self.console.print(text, soft_wrap=True)

    def check(self, promise: str, kept: bool) -> None:
        self.say(f"  {'[green]kept[/]  ' if kept else '[bold red]BROKEN[/]'} {promise}")
        if not kept:
            self.broken.append(promise)

    def start_worker(self) -> WorkerProcess:
        worker = WorkerProcess("AB"[len(self.workers)], self.files)
        self.workers.append(worker)
        self.say(f"[bold]worker {worker.name}[/] started, pid {worker.pid}")
        return worker

    def name_of(self, pid: int | str) -> str:
        return next((worker.name for worker in self.workers if str(worker.pid) == str(pid)), f"pid {pid}")

    def tell(self, order_id: str) -> list[str]:
        """Print what is new in the ledger; returns all that is in it of this order."""
        entries = self.files.ledger.entries(order_id)
        for entry in entries[self._told :]:
            attempt = f" (attempt {entry['attempt']})" if entry["attempt"] > 1 else ""
            self.say(f"    {self.name_of(entry['pid'])}: {entry['what']}{attempt}")
        self._told = len(entries)
        return [entry["what"] for entry in entries]

    async def until(self, order_id: str, what: str) -> None:
        """Wait until `what` is in the ledger."""
        deadline = time.monotonic() + 20
        while what not in self.tell(order_id):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what!r} did not happen within 20 s")
            await asyncio.sleep(0.02)

    async def start(self, order: Order) -> WorkflowHandle[Any]:
        self._told = 0
        handle = await self.client.start_workflow(DemoOrder.run, order, id=f"order-{order.id}")
        self.say(f"order-{order.id}: {order.item} for {order.price} to {order.address or '[red](no address)[/]'}")
        return handle

    async def timeline(self, handle: WorkflowHandle[Any]) -> Timeline:
        return build_timeline((await handle.fetch_history()).events)

    async def survive_a_kill(self) -> None:
        self.say("[bold]1. A worker is killed in the middle of an order[/]\n")
        first = self.start_worker()
        handle = await self.start(Order("1", "grand piano", "4200.00", "Abbey Road 3"))
        await self.until("1", "packing begins")
        await asyncio.sleep(0.3)
        first.kill()
        self.say(f"[bold red]kill -9 {first.pid}[/]: worker {first.name} is dead, while it was packing\n")

        second = self.start_worker()
        result = await handle.result(rpc_timeout=20)
        ledger = self.tell("1")
        self.say(f"order-1 is done: {result}\n")

        timeline = await self.timeline(handle)
        self.show(timeline)
        spans = {span.name: span for span in timeline.spans}
        replayed = [span.name for span in timeline.spans if timeline.replayed_by(span, self.identity(timeline, second))]
        self.check("the order was finished after the crash", result == "parcel-1")
        self.check("what was done before it was replayed, not repeated", replayed == ["reserve_stock", "charge_card"])
        self.check("the card was charged once", ledger.count("4200.00 charged") == 1)
        self.check(
            "the step that was cut off ran again, as attempt 2",
            spans["pack"].attempts == 2 and ledger.count("packing begins") == 2 and ledger.count("packed") == 1,
        )
        self.check("what came after ran once", spans["ship"].attempts == 1 and ledger.count("shipped") == 1)

    async def undo(self) -> None:
        self.say("\n[bold]2. An order fails, and what was done is undone[/]\n")
        handle = await self.start(Order("2", "harp", "900.00", address=""))
        failure: BaseException | None = None
        try:
            await handle.result(rpc_timeout=20)
        except WorkflowFailureError as error:
            failure = error.cause.__cause__
        ledger = self.tell("2")
        self.say(f"order-2 failed: {failure}\n")
        self.show(await self.timeline(handle))
        self.check(
            "the workflow reports the failure that began it",
            isinstance(failure, ApplicationError) and failure.type == "NoAddress",
        )
        self.check(
            "compensations ran, the last step's first", ledger[-3:] == ["unpacked", "900.00 refunded", "harp released"]
        )

    def identity(self, timeline: Timeline, worker: WorkerProcess) -> str:
        return next((name for name in timeline.processes if name.startswith(f"{worker.pid}@")), "")

    def show(self, timeline: Timeline) -> None:
        """What `tenuto show` prints, with the processes by their names."""
        names = {identity: f"in {self.name_of(identity.split('@')[0])}" for identity in timeline.processes}
        render_timeline(timeline, now=time.time_ns(), processes=names, console=self.console)
        self.say()


async def main() -> int:
    """Run the demo. Returns the exit code: 0 if all was as promised."""
    console = Console(highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tenuto-demo-") as directory:
        files = Files(Path(directory))
        async with await Client.connect(files.url) as client:
            demo = Demo(console, files, client)
            demo.say(f"The store is one SQLite file: {files.url}\n")
            try:
                await demo.survive_a_kill()
                await demo.undo()
            finally:
                for worker in demo.workers:
                    worker.kill()
    if demo.broken:
        demo.say(f"\n[bold red]{len(demo.broken)} promise(s) broken.[/]")
        return 1
    demo.say(f"\n[bold green]All as promised[/], in {time.monotonic() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(serve(Files(Path(sys.argv[2]))))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that doesn't know a sign shows another
        sys.exit(asyncio.run(main()))
