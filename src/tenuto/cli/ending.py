"""`tenuto cancel`, `terminate`: end a workflow."""

from __future__ import annotations

import typer

from tenuto.cli import options
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import print_json

CANCEL_EXAMPLES = """
tenuto cancel order-42 --reason "the customer changed her mind"
"""
TERMINATE_EXAMPLES = """
tenuto terminate order-42 --reason "stuck since the last deploy"
"""


def register(app: typer.Typer) -> None:
    @options.command(app, "cancel", CANCEL_EXAMPLES)
    def cancel(
        id: options.WorkflowId,
        reason: options.Reason = "",
        run_id: options.RunId = None,
        timeout: options.Timeout = None,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """Ask a workflow to stop. Its code may clean up first; when this returns the request is on record."""
        run_async(_end(db, id, run_id, "cancel", reason, timeout))
        _tell(id, "cancel requested", as_json)

    @options.command(app, "terminate", TERMINATE_EXAMPLES)
    def terminate(
        id: options.WorkflowId,
        reason: options.Reason = "",
        run_id: options.RunId = None,
        timeout: options.Timeout = None,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """End a workflow at once. Its code gets no say, nothing is cleaned up."""
        run_async(_end(db, id, run_id, "terminate", reason, timeout))
        _tell(id, "terminated", as_json)


async def _end(db: str, id: str, run_id: str | None, method: str, reason: str, timeout: float | None) -> None:
    async with connected(db) as client:
        handle = client.get_workflow_handle(id, run_id=run_id)
        await getattr(handle, method)(reason=reason, rpc_timeout=timeout)


def _tell(id: str, outcome: str, as_json: bool) -> None:
    if as_json:
        print_json({"workflow_id": id, "outcome": outcome.replace(" ", "_")})
    else:
        print(f"{id}: {outcome}")
