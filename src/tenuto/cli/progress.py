"""Live progress of one run on stderr: a picture that changes on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tenuto.cli.snapshot import look
from tenuto.timeline import Span, Timeline
from tenuto.timeline_view import ending, header, span_line, timeline_lines

if TYPE_CHECKING:
    from tenuto.client import Client

#: Seconds between two looks: at least, and as a multiple of what a look at a long history takes.
PAUSE, SHARE = 0.15, 20.0


class ProgressLog(logging.Handler):
    """Warnings, as lines between what is shown. That the run itself is stuck is not said again: it is seen."""

    def __init__(self, progress: Progress, workflow_id: str) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress
        self._id = workflow_id

    def emit(self, record: logging.LogRecord) -> None:
        stuck = getattr(record, "action", "") == "workflow_task_failed"
        if stuck and getattr(record, "workflow_id", "") == self._id:
            return
        self._progress.say(record.getMessage().partition("\n")[0])


class Progress:
    """Shows a run from `begin` to `end`; not what was over already when it was resumed from `before`."""

    def __init__(self, client: Client, workflow_id: str, run_id: str | None, before: Timeline | None) -> None:
        self._client = client
        self._id = workflow_id
        self._run_id = run_id
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._said: dict[tuple[str, int], tuple[object, ...]] = {}
        if before is not None:
            over = [span for span in before.spans if not span.is_open]
            self._said = {(before.run_id, span.event_id): _standing(span) for span in over}
        self._log = ProgressLog(self, workflow_id)
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Show the run from now on."""
        logging.getLogger("tenuto").addHandler(self._log)
        if self._live is not None:
            self._live.start()
        self._task = asyncio.create_task(self._watch())

    async def end(self) -> None:
        """Show how it stands at the end, and stop."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._look()
        finally:
            if self._live is not None:
                self._live.stop()
            logging.getLogger("tenuto").removeHandler(self._log)

    def say(self, text: str) -> None:
        """A line between what is shown."""
        self._print(Text(text))

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await self._look()
            await asyncio.sleep(max(PAUSE, SHARE * (time.monotonic() - began)))

    async def _look(self) -> None:
        _, timeline = await look(self._client, self._id, self._run_id)
        now = time.time_ns()
        if self._live is not None:
            self._live.update(self._picture(timeline, now), refresh=True)
        else:
            self._lines(timeline, now)
        if timeline.next_run_id is not None:
            self._run_id = timeline.next_run_id

    def _picture(self, timeline: Timeline, now: int) -> Group:
        """As much of the timeline as the terminal can hold, its end."""
        lines = timeline_lines(timeline, now=now)
        room = max(3, self._console.height - 3)
        body = lines[1:-1]
        if len(body) > room:
            body = [Text(f"  ... {len(body) - room + 1:,} lines above", "dim"), *body[-(room - 1) :]]
        picture = [header(timeline, now), *body, ending(timeline, now)]
        for line in picture:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*picture)

    def _lines(self, timeline: Timeline, now: int) -> None:
        """Print what is new since the last look."""
        for span in timeline.spans:
            key = (timeline.run_id, span.event_id)
            if self._said.get(key) != _standing(span):
                self._said[key] = _standing(span)
                self._say(timeline, span, now)

    def _say(self, timeline: Timeline, span: Span, now: int) -> None:
        self._print(span_line(timeline, span, now))
        if span.failure is not None:
            where = f" at {span.where}" if span.where else ""
            self._print(Text(f"{' ' * 15}{' '.join(span.failure.split())}{where}"))

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


def _standing(span: Span) -> tuple[object, ...]:
    """What is said again when it changes."""
    return span.state, span.attempts, span.failure
