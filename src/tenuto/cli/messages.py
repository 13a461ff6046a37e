"""`tenuto signal`, `query`, `update`: talk to a workflow's code."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tenuto.cli import options
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import arguments, print_json
from tenuto.plain_values import plain

SIGNAL_EXAMPLES = """
tenuto signal order-42 approve
tenuto signal order-42 add_item --input '{"item": "book", "count": 2}'
"""
QUERY_EXAMPLES = """
tenuto query order-42 status
tenuto query order-42 item --input '"book"' --timeout 2
"""
UPDATE_EXAMPLES = """
tenuto update order-42 set_address --input @address.json
tenuto update order-42 add_item --args '["book", 2]' --update-id add-1
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The handler's name.")]


def register(app: typer.Typer) -> None:
    @options.command(app, "signal", SIGNAL_EXAMPLES)
    def signal(
        id: options.WorkflowId,
        name: Name,
        input: options.Input = None,
        args: options.Arguments = None,
        run_id: options.RunId = None,
        timeout: options.Timeout = None,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """Send a signal. When this returns it is on record, whether or not a worker is there."""
        run_async(_ask(db, id, run_id, "signal", name, args=arguments(input, args), rpc_timeout=timeout))
        if as_json:
            print_json({"workflow_id": id, "signal": name})
        else:
            print(f"sent {name} to {id}")

    @options.command(app, "query", QUERY_EXAMPLES)
    def query(
        id: options.WorkflowId,
        name: Name,
        input: options.Input = None,
        args: options.Arguments = None,
        run_id: options.RunId = None,
        timeout: options.Timeout = None,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """Ask a workflow something and print the answer as JSON. Needs a worker; works on closed workflows too."""
        print_json(run_async(_ask(db, id, run_id, "query", name, args=arguments(input, args), rpc_timeout=timeout)))

    @options.command(app, "update", UPDATE_EXAMPLES)
    def update(
        id: options.WorkflowId,
        name: Name,
        input: options.Input = None,
        args: options.Arguments = None,
        update_id: Annotated[
            str | None, typer.Option("--update-id", metavar="ID", help="Repeating it gives the same outcome.")
        ] = None,
        run_id: options.RunId = None,
        timeout: options.Timeout = None,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """Send an update, wait for its outcome and print that as JSON. Needs a worker."""
        values = arguments(input, args)
        asked = _ask(db, id, run_id, "execute_update", name, args=values, id=update_id, rpc_timeout=timeout)
        print_json(run_async(asked))


async def _ask(db: str, workflow_id: str, run_id: str | None, method: str, name: str, **options: Any) -> Any:
    """Call `method` of the workflow's handle; the answer, if there is one, as JSON knows it."""
    from tenuto.common import RawValue

    if method != "signal":
        options["result_type"] = RawValue
    async with connected(db) as client:
        answer = await getattr(client.get_workflow_handle(workflow_id, run_id=run_id), method)(name, **options)
    return plain(answer.payload) if isinstance(answer, RawValue) else None
