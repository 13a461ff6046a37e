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
    from tenuto.server.settings import Settings

EXAMPLES = """
tenuto server
tenuto server --db sqlite:////var/lib/tenuto.db --host 0.0.0.0 --port 8080
tenuto server --config /etc/tenuto.toml --log-format json
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
        log_format: Annotated[
            str | None, typer.Option("--log-format", metavar="FORMAT", help="text or json. [default: text]")
        ] = None,
        log_level: Annotated[
            str | None, typer.Option("--log-level", metavar="LEVEL", help="DEBUG, INFO ... [default: INFO]")
        ] = None,
    ) -> None:
        """Serve the Conductor-compatible REST API until Ctrl-C or SIGTERM.

        Everything that a flag can set, and more, can be set as TENUTO_NAME in the environment or as name in the file
        that --config names; flags win over the environment, the environment over the file.
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
        run_async(_serve(settings))


async def _serve(settings: Settings) -> None:
    from tenuto.server.run import bound_socket, serve
    from tenuto.server.settings import SettingsError

    with stop_event() as stop:
        try:
            with bound_socket(settings.host, settings.port) as listener:
                await serve(settings, listener, stop)
        except SettingsError as error:
            raise bad_input(error) from None
