"""`tenuto run`: one workflow of a file, from start or resumption to its end, in this process."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenuto.cli import options
from tenuto.cli.faults import CommandError, Exit, bad_input, leave, say
from tenuto.cli.interrupts import stop_event
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import arguments, print_json
from tenuto.plain_values import plain

if TYPE_CHECKING:
    from tenuto.cli.code import Code
    from tenuto.client import Client, WorkflowHandle
    from tenuto.replay.definition import WorkflowDefinition
    from tenuto.timeline import Timeline
    from tenuto.worker import Worker

EXAMPLES = """
tenuto run greeting.py --input '"world"'
tenuto run shop.py:Checkout --input @order.json --id order-42 --db sqlite:///shop.db
tenuto run shop.flows:Checkout --args '["book", 2]' --id order-43
"""


@dataclass
class Job:
    """What is to be run. `named` says that the user chose the id."""

    code: Code
    definition: WorkflowDefinition
    arguments: list[Any]
    id: str
    named: bool
    task_queue: str
    grace: float


def register(app: typer.Typer) -> None:
    @options.command(app, "run", EXAMPLES)
    def run(
        target: Annotated[str, typer.Argument(metavar="FILE[:WORKFLOW]", help="A Python file, or a module's name.")],
        input: options.Input = None,
        args: options.Arguments = None,
        id: Annotated[
            str | None, typer.Option("--id", metavar="ID", help="The workflow's id. Default: made up.")
        ] = None,
        db: options.Db = options.DEFAULT_DB,
        task_queue: options.TaskQueue = "default",
        grace: options.Grace = 10.0,
    ) -> None:
        """Run a workflow to its end and print its result.

        Starts the workflow, or goes on with the one of this id, and serves it with the code in FILE. Shows on stderr
        what happens, prints the result as JSON on stdout. Ctrl-C stops it; the same command goes on, and nothing that
        was finished is repeated. If it is completed already, its result is printed again; if it failed, it is run anew.
        """
        job = prepare(target, arguments(input, args), id, task_queue, grace)
        leave(run_async(execute(job, target, db)))


def prepare(target: str, values: list[Any], id: str | None, task_queue: str, grace: float) -> Job:
    """Load the code and check that the workflow can take the arguments. Raises CommandError."""
    from tenuto.cli.code import choose, load, split
    from tenuto.converter import DataConverter
    from tenuto.model.errors import PayloadError

    place, name = split(target)
    code = load(place)
    definition = choose(code, place, name)
    converter = DataConverter.default
    try:
        definition.signature.check(values)
        for number, (value, hint) in enumerate(zip(values, definition.signature.hints, strict=False), 1):
            try:
                converter.decode(converter.encode(value), hint)
            except PayloadError as error:
                raise CommandError(f"argument {number} does not fit {definition.name}: {error}") from None
    except TypeError as error:
        raise bad_input(error) from None
    made_up = f"{definition.name}-{secrets.token_hex(4)}"
    return Job(code, definition, values, id or made_up, id is not None, task_queue, grace)


async def execute(job: Job, target: str, db: str) -> Exit:
    """Run the job and print its result. Returns the exit code, or raises what the workflow failed with."""
    async with connected(db, create=True) as client:
        before = await _known(client, job)
        if before is not None and before.outcome == "COMPLETED":
            say(f"{job.id} is completed already (run {before.run_id}); this is its result")
            print_json(await _result(client.get_workflow_handle(job.id, result_type=_raw())))
            return Exit.OK
        with stop_event() as stop:
            outcome = await _serve(client, job, before, stop)
    if not outcome:
        say(f"stopped; {_how_to_go_on(job, target, client.gateway.store.url)}")
        return Exit.INTERRUPTED
    print_json(outcome[0])
    return Exit.OK


async def _known(client: Client, job: Job) -> Timeline | None:
    """The latest run of the id, if there is one. Raises CommandError if it is a running one that is not the job's."""
    from tenuto.cli.snapshot import look
    from tenuto.model.errors import RPCError, RPCStatusCode

    try:
        _, before = await look(client, job.id)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None
    if before.workflow_type != job.definition.name:
        raise CommandError(f"the id {job.id!r} belongs to a {before.workflow_type}, not to a {job.definition.name}")
    if before.ended is None and before.task_queue != job.task_queue:
        raise CommandError(f"{job.id!r} is on another task queue; add --task-queue {shlex.quote(before.task_queue)}")
    return before


async def _serve(client: Client, job: Job, before: Timeline | None, stop: asyncio.Event) -> tuple[Any, ...]:
    """Start the workflow, or attach to the one that runs, and serve it. Returns (result,), or () if stopped before."""
    from tenuto.cli.progress import Progress

    progress: Progress | None = None
    try:
        async with _worker(client, job):
            handle = await _start(client, job)
            progress = Progress(client, job.id, handle.result_run_id, before)
            progress.say(_welcome(client, job, before))
            await progress.begin()
            result = asyncio.create_task(_result(handle))
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({result, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if result.done():
                return (result.result(),)
            result.cancel()
            progress.say(f"stopping: activities may run on for {job.grace:g} s; Ctrl-C again exits at once")
            return ()
    finally:
        if progress is not None:
            await progress.end()


async def _start(client: Client, job: Job) -> WorkflowHandle[Any]:
    from tenuto.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

    return await client.start_workflow(
        job.definition.name,
        args=job.arguments,
        id=job.id,
        task_queue=job.task_queue,
        result_type=_raw(),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    )


def _worker(client: Client, job: Job) -> Worker:
    from tenuto.worker import Worker

    try:
        return Worker(
            client,
            task_queue=job.task_queue,
            workflows=job.code.workflows,
            activities=job.code.activities,
            graceful_shutdown_timeout=job.grace,
        )
    except (ValueError, TypeError) as error:
        raise bad_input(error) from None


async def _result(handle: WorkflowHandle[Any]) -> Any:
    value = await handle.result()
    return None if value is None else plain(value.payload)


def _welcome(client: Client, job: Job, before: Timeline | None) -> str:
    """What happens now: a start, a resumption, or another run after a failure."""
    name = f"{job.definition.name} {job.id}"
    if before is None:
        return f"{name} is started"
    if before.ended is not None:
        return f"{name} is run anew; the last run ended {before.outcome}"
    over = sum(not span.is_open and span.kind.value == "activity" for span in before.spans)
    kept = f"{over} finished {'activity is' if over == 1 else 'activities are'} not repeated"
    same = client.data_converter.encode_all(job.arguments) == before.input
    return f"{name} goes on; {kept}" + ("" if same else "; it keeps the input that it was started with")


def _raw() -> Any:
    from tenuto.common import RawValue

    return RawValue


def _how_to_go_on(job: Job, target: str, db: str) -> str:
    if db.startswith("memory:"):
        return f"{db} keeps nothing, so the next run begins anew"
    if job.named:
        return "run the same command to go on"
    words = ["tenuto", "run", target, "--id", job.id, "--db", db]
    if job.task_queue != "default":
        words += ["--task-queue", job.task_queue]
    return f"to go on: {shlex.join(words)}"
