"""`tenuto replay`: does the code of today go on with what was recorded? To be asked before it is deployed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenuto.cli import options
from tenuto.cli.faults import CommandError, Exit, bad_input, leave, one_line, say
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import print_json

if TYPE_CHECKING:
    from tenuto.client import WorkflowHistory
    from tenuto.testing import Replayer

EXAMPLES = """
tenuto replay shop.py --history histories/
tenuto replay shop.flows --store postgresql://shop@db/tenuto
tenuto replay shop.py --store sqlite:///shop.db --query "WorkflowType = 'Checkout'"
"""

#: What is replayed of a store: what will go on with the new code.
OPEN = "ExecutionStatus = 'Running'"


@dataclass
class Verdict:
    """What came of one history. `outcome` is ok, failed or skipped; `reason` says why it isn't ok."""

    source: str
    workflow_id: str
    run_id: str
    workflow_type: str
    events: int
    outcome: str
    reason: str | None = None


def register(app: typer.Typer) -> None:
    @options.command(app, "replay", EXAMPLES)
    def replay(
        place: Annotated[str, typer.Argument(metavar="MODULE", help="The workflows: a Python file, or a module.")],
        history: Annotated[
            list[Path] | None,
            typer.Option("--history", metavar="PATH", help="Files that `tenuto history` wrote, or folders of them."),
        ] = None,
        store: Annotated[str | None, typer.Option("--store", metavar="URL", help="Replay the runs of a store.")] = None,
        query: Annotated[
            str, typer.Option("--query", metavar="QUERY", help="Which runs of the store; as for `tenuto list`.")
        ] = OPEN,
        as_json: options.AsJson = False,
    ) -> None:
        """Replay recorded histories with the code in MODULE, and say which of them it does not fit.

        Nothing is executed or changed. Exits with 0 if every history is replayed, with 1 if one can't be; runs of a
        store for whose type MODULE has no code are skipped, and files of such types count as failed."""
        if (store is None) == (not history):
            raise CommandError("say what to replay: --history PATH or --store URL")
        verdicts = run_async(_judge(place, history or [], store, query, as_json))
        if as_json:
            print_json([vars(verdict) for verdict in verdicts])
        leave(_conclude(verdicts))


async def _judge(place: str, paths: list[Path], store: str | None, query: str, quiet: bool) -> list[Verdict]:
    from tenuto.cli.code import load
    from tenuto.testing import Replayer

    code = load(place)
    if not code.workflows:
        raise CommandError(f"{place} has no workflows (@workflow.defn)")
    try:
        replayer = Replayer(workflows=code.workflows)
    except ValueError as error:
        raise bad_input(error) from None
    verdicts = []
    async for verdict in _of_files(replayer, paths) if store is None else _of_store(replayer, store, query):
        verdicts.append(verdict)
        if not quiet:
            _print(verdict)
    return verdicts


async def _of_files(replayer: Replayer, paths: list[Path]) -> AsyncIterator[Verdict]:
    from tenuto.testing.histories import history_files, read_history

    try:
        files = list(history_files(paths))
    except OSError as error:
        raise bad_input(error) from None
    for path in files:
        try:
            found = read_history(path)
        except (ValueError, OSError) as error:
            yield Verdict(str(path), "", "", "", 0, "failed", one_line(str(error)))
            continue
        yield await _replayed(replayer, str(path), found)


async def _of_store(replayer: Replayer, store: str, query: str) -> AsyncIterator[Verdict]:
    from tenuto.model.errors import RPCError

    async with connected(store) as client:
        try:
            rows = [row async for row in client.list_workflows(query)]
        except ValueError as error:
            raise bad_input(error) from None
        for row in rows:
            try:
                found = await client.get_workflow_handle(row.id, run_id=row.run_id).fetch_history()
            except RPCError as error:  # a graph, or gone meanwhile
                reason = one_line(error.message)
                yield Verdict(store, row.id, row.run_id, row.workflow_type, 0, "skipped", reason)
                continue
            yield await _replayed(replayer, store, found, skip_missing=True)


async def _replayed(
    replayer: Replayer, source: str, history: WorkflowHistory, *, skip_missing: bool = False
) -> Verdict:
    from tenuto.model.events import WorkflowExecutionStarted
    from tenuto.testing import MissingCodeError

    error = (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure
    started = history.events[0] if history.events else None
    run_id, kind = "", ""
    if isinstance(started, WorkflowExecutionStarted):
        run_id, kind = started.run_id, started.workflow_type
    outcome, reason = "ok", None
    if error is not None:
        outcome = "skipped" if skip_missing and isinstance(error, MissingCodeError) else "failed"
        reason = one_line(f"{type(error).__name__}: {error}")
    return Verdict(source, history.workflow_id, run_id, kind, len(history.events), outcome, reason)


def _print(verdict: Verdict) -> None:
    """One line a history, and one more with what is wrong with it."""
    name = verdict.workflow_id or verdict.source
    about = f"{verdict.workflow_type}, {verdict.events:,} events, run {verdict.run_id}" if verdict.run_id else ""
    print(f"{verdict.outcome:<8} {name}  {about}".rstrip())
    if verdict.reason is not None:
        print(f"         {verdict.reason}")


def _conclude(verdicts: list[Verdict]) -> Exit:
    count = {
        outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in ("ok", "failed", "skipped")
    }
    say(f"{count['ok']:,} replayed, {count['failed']:,} can't be, {count['skipped']:,} skipped")
    if count["failed"]:
        return Exit.FAILED
    if not count["ok"]:
        say("tenuto: there was nothing to replay")
        return Exit.NOT_FOUND
    return Exit.OK
