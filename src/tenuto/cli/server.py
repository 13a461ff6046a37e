"""`tenuto server`: serve the REST API until told to stop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from tenuto.cli import options
from tenuto.cli.faults import bad_input
from tenuto.cli.interrupts import stop_event
from tenuto.cli.session import run_async

if TYPE_CHECKING:
    from tenuto.server.run import MakeWorker
    from tenuto.server.settings import Settings

EXAMPLES = """
tenuto server
tenuto server --db sqlite:////var/lib/tenuto.db --host 0.0.0.0 --port 8080
tenuto server --config /etc/tenuto.toml --log-format json
tenuto server --code shop.py --code billing.flows
"""


def register(app: typer.Typer) -> None:
    @options.command(app, "server", EXAMPLES)
    def server(
        db: Annotated[
            str | None,
            typer.Option("--db", metavar="URL", help="The store. [env: TENUTO_DB; default: sqlite:///tenuto.db]"),
        ] = None,
        host: Annotated[
            str | None, typer.Option("--host", metavar="ADDRESS", help="Where to listen. [default: 127.0.0.1]")
        ] = None,
        port: Annotated[
            int | None,
            typer.Option("--port", "-p", metavar="N", min=0, max=65535, help="0 takes a free one. [default: 8080]"),
        ] = None,
        config: Annotated[
            str | None,
            typer.Option("--config", metavar="FILE", envvar="TENUTO_CONFIG", help="More settings, as TOML."),
        ] = None,
        code: Annotated[
            list[str] | None,
            typer.Option("--code", metavar="FILE", help="Also serve the durable code of a Python file or module."),
        ] = None,
        task_queue: Annotated[
            str, typer.Option("--task-queue", metavar="NAME", help="The queue that --code serves.")
        ] = "default",
        log_format: Annotated[
            str | None, typer.Option("--log-format", metavar="FORMAT", help="text or json. [default: text]")
        ] = None,
        log_level: Annotated[
            str | None, typer.Option("--log-level", metavar="LEVEL", help="DEBUG, INFO ... [default: INFO]")
        ] = None,
    ) -> None:
        """Serve the Conductor-compatible REST API until Ctrl-C or SIGTERM.

        Workers in any language poll it for tasks; its documentation is at /docs. Takes up what was going on when the
        last server ended, however it ended. With --code the same process runs the workflows and activities of Python
        files too, so that graphs can call them as sub-workflows, and they can start graphs as children.

        Nearly every setting has a name, such as body_limit; it can be set in the TOML file of --config, or as
        TENUTO_BODY_LIMIT in the environment. A flag wins over the environment, the environment over the file.
        """
        from tenuto.server.logs import configure_logs
        from tenuto.server.settings import SettingsError, load_settings

        flags = {"db": db, "host": host, "port": port, "log_format": log_format}
        flags["log_level"] = log_level.upper() if log_level else None
        try:
            settings = load_settings(flags, os.environ, config)
        except SettingsError as error:
            raise bad_input(error) from None
        configure_logs(settings.log_format, settings.log_level)
        run_async(_serve(settings, _worker_of(code or [], task_queue, settings)))


def _worker_of(places: list[str], task_queue: str, settings: Settings) -> MakeWorker | None:
    """What makes the worker for the code in `places`. Raises CommandError for code that can't be loaded."""
    if not places:
        return None
    from tenuto.cli.code import load
    from tenuto.cli.worker import worker_for

    codes = [load(place) for place in places]
    limits = {
        "max_cached_workflows": settings.cached_workflows,
        "graceful_shutdown_timeout": settings.shutdown_grace,
    }
    return lambda client: worker_for(client, codes, task_queue, limits)


async def _serve(settings: Settings, make_worker: MakeWorker | None) -> None:
    from tenuto.server.run import bound_socket, serve
    from tenuto.server.settings import SettingsError

    with stop_event() as stop:
        try:
            with bound_socket(settings.host, settings.port) as listener:
                await serve(settings, listener, stop, make_worker)
        except SettingsError as error:
            raise bad_input(error) from None
