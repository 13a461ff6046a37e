"""`tenuto worker`: serve the workflows and activities of some files until told to stop."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenuto.cli import options
from tenuto.cli.faults import bad_input, say
from tenuto.cli.interrupts import stop_event
from tenuto.cli.session import connected, run_async

if TYPE_CHECKING:
    from tenuto.cli.code import Code
    from tenuto.client import Client
    from tenuto.worker import Worker

EXAMPLES = """
tenuto worker shop.py
tenuto worker orders.py billing.py --task-queue shop --db sqlite:////var/lib/shop.db
tenuto worker shop.flows --max-concurrent-activities 50
"""


def register(app: typer.Typer) -> None:
    @options.command(app, "worker", EXAMPLES)
    def worker(
        files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Python files, or names of modules.")],
        db: options.Db = options.DEFAULT_DB,
        task_queue: options.TaskQueue = "default",
        max_concurrent_activities: Annotated[
            int, typer.Option(min=1, metavar="N", help="Activities that run at a time.")
        ] = 1000,
        max_cached_workflows: Annotated[
            int, typer.Option(min=0, metavar="N", help="Waiting workflows that stay in memory.")
        ] = 1000,
        grace: options.Grace = 10.0,
    ) -> None:
        """Serve all workflows and activities of some files until Ctrl-C or SIGTERM.

        Also takes up what was going on when the last worker ended, however it ended.
        """
        from tenuto.cli.code import load

        codes = [load(file) for file in files]
        limits = {
            "max_concurrent_activities": max_concurrent_activities,
            "max_cached_workflows": max_cached_workflows,
            "graceful_shutdown_timeout": grace,
        }
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
        run_async(serve(codes, db, task_queue, limits))


async def serve(codes: list[Code], db: str, task_queue: str, limits: dict[str, Any]) -> None:
    """Serve until a signal comes. Raises what stops the engine."""
    async with connected(db, create=True) as client:
        with stop_event() as stop:
            async with worker_for(client, codes, task_queue, limits):
                workflows, activities = everything(codes)
                store = client.gateway.store.url  # other than `db`, it has no password in it
                say(
                    f"worker {client.identity} (pid {os.getpid()}) serves {len(workflows)} workflows and "
                    f"{len(activities)} activities on task queue {task_queue!r} of {store}; Ctrl-C stops it"
                )
                await stop.wait()
                grace = limits["graceful_shutdown_timeout"]
                say(f"stopping: activities may run on for {grace:g} s; Ctrl-C again exits at once")
    say("stopped; what is unfinished goes on with the next worker")


def worker_for(client: Client, codes: list[Code], task_queue: str, limits: dict[str, Any]) -> Worker:
    """A worker for all of `codes`. Raises CommandError if they don't go together."""
    from tenuto.worker import Worker

    workflows, activities = everything(codes)
    try:
        return Worker(client, task_queue=task_queue, workflows=workflows, activities=activities, **limits)
    except (ValueError, TypeError) as error:
        raise bad_input(error) from None


def everything(codes: list[Code]) -> tuple[list[Any], list[Any]]:
    """The workflows and the activities of `codes`, each once."""
    workflows = _unique([cls for code in codes for cls in code.workflows])
    return workflows, _unique([function for code in codes for function in code.activities])


def _unique(things: list[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things}.values())
