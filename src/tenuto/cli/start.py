"""`tenuto start`: put a workflow on record, for a worker to run."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated, Any

import typer

from tenuto.cli import options
from tenuto.cli.faults import say
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import arguments, print_json
from tenuto.plain_values import plain

EXAMPLES = """
tenuto start Checkout --id order-42 --input @order.json
tenuto start Checkout --id order-42 --input '{"item": "book"}' --wait --timeout 60
tenuto start Checkout --id order-42 --id-conflict use-existing --json
"""


class Conflict(StrEnum):
    """What to do about a running workflow of the id."""

    FAIL = "fail"
    USE_EXISTING = "use-existing"
    TERMINATE_EXISTING = "terminate-existing"


class Reuse(StrEnum):
    """What to do about a closed workflow of the id."""

    ALLOW = "allow"
    FAILED_ONLY = "failed-only"
    REJECT = "reject"


def register(app: typer.Typer) -> None:
    @options.command(app, "start", EXAMPLES)
    def start(
        type: Annotated[str, typer.Argument(metavar="TYPE", help="The workflow's type: its class's name, or its own.")],
        id: Annotated[
            str | None, typer.Option("--id", metavar="ID", help="The workflow's id. Default: made up.")
        ] = None,
        input: options.Input = None,
        args: options.Arguments = None,
        db: options.Db = options.DEFAULT_DB,
        task_queue: options.TaskQueue = "default",
        wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and print it.")] = False,
        timeout: options.Timeout = None,
        id_conflict: Annotated[
            Conflict, typer.Option("--id-conflict", help="If a workflow of this id is running.")
        ] = Conflict.FAIL,
        id_reuse: Annotated[
            Reuse, typer.Option("--id-reuse", help="If one has ended: start another, only if it failed, or refuse.")
        ] = Reuse.ALLOW,
        as_json: options.AsJson = False,
    ) -> None:
        """Start a workflow and go on; a worker runs it.

        When this returns the start is on record, whether or not a worker is there. With --wait, prints the result.
        """
        values = arguments(input, args)
        policies = _policies(id_conflict, id_reuse)
        run_async(
            begin(db, type, values, wait, timeout, as_json, id=id or _made_up(type), task_queue=task_queue, **policies)
        )


async def begin(
    db: str, type: str, values: list[Any], wait: bool, timeout: float | None, as_json: bool, **options: Any
) -> None:
    """Start it, and print what there is to know: the run, or with `wait` its result."""
    from tenuto.common import RawValue

    async with connected(db, create=True) as client:
        # A start is on record at once, so the time-out is for the result, if that is waited for.
        handle = await client.start_workflow(
            type, args=values, result_type=RawValue, rpc_timeout=None if wait else timeout, **options
        )
        started = {"workflow_id": handle.id, "run_id": handle.result_run_id, "workflow_type": type}
        if not wait:
            print_json(started) if as_json else print(f"started {type} {handle.id} (run {handle.result_run_id})")
            return
        say(f"started {type} {handle.id} (run {handle.result_run_id}); waiting for its result")
        value = await handle.result(rpc_timeout=timeout)
        result = None if value is None else plain(value.payload)
        print_json({**started, "result": result} if as_json else result)


def _policies(conflict: Conflict, reuse: Reuse) -> dict[str, Any]:
    from tenuto.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

    closed = {
        Reuse.ALLOW: WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        Reuse.FAILED_ONLY: WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        Reuse.REJECT: WorkflowIDReusePolicy.REJECT_DUPLICATE,
    }
    return {"id_conflict_policy": WorkflowIDConflictPolicy[conflict.name], "id_reuse_policy": closed[reuse]}


def _made_up(type: str) -> str:
    return f"{type}-{secrets.token_hex(4)}"
