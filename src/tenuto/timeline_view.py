"""Timelines for people: lines of text with rich's colours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from tenuto.plain_values import plain_all
from tenuto.timeline import Kind, Span, State, Timeline

if TYPE_CHECKING:
    from tenuto.model.failures import Failure

#: Lines of closed, faultless spans that are shown unless all are asked for.
FOLD = 60

_MARKS = {
    State.WAITING: ("…", "cyan"),
    State.RUNNING: ("▶", "cyan"),
    State.BACKING_OFF: ("↻", "yellow"),
    State.COMPLETED: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.TIMED_OUT: ("✗", "red"),
    State.CANCELED: ("–", "yellow"),
    State.TERMINATED: ("✗", "red"),
}
_MOMENTS = (Kind.SIGNAL, Kind.CANCEL_REQUEST)
_STYLES = ("magenta", "blue", "cyan", "green")


def render_timeline(
    timeline: Timeline,
    *,
    now: int,
    processes: Mapping[str, str] | None = None,
    console: Console | None = None,
    everything: bool = False,
) -> None:
    """Print `timeline` (by default on stdout). `now` is the time in nanoseconds since the epoch.

    `processes` names the processes of the run, from the identity that events have to what people call them, in the
    order in which they took it up, such as `{"41@host": "before the kill", "57@host": "after it"}`. With it, each line
    says in which process its work ran, and what the last one replayed, that is, read from the history instead of doing
    it again."""
    console = console or Console(highlight=False)
    for line in timeline_lines(timeline, now=now, processes=processes, everything=everything):
        console.print(line, soft_wrap=True, highlight=False)


def timeline_lines(
    timeline: Timeline, *, now: int, processes: Mapping[str, str] | None = None, everything: bool = False
) -> list[Text]:
    """What `render_timeline` prints."""
    lines = [header(timeline, now)]
    shown = _shown(timeline.spans, everything)
    widths = _widths(span for span in shown if span is not None)
    for span in shown:
        if span is None:
            hidden = len(timeline.spans) - sum(one is not None for one in shown)
            lines.append(Text(f"  ... {hidden:,} more that went well (--all shows them)", "dim"))
        else:
            lines.append(_line(timeline, span, now, widths, processes))
            lines.extend(_details(span))
    lines.append(ending(timeline, now))
    return lines


def header(timeline: Timeline, now: int) -> Text:
    """Which run it is, how it stands, since when."""
    mark, style = _MARKS[timeline.state]
    seconds = (now if timeline.ended is None else timeline.ended) - timeline.began
    began = datetime.fromtimestamp(timeline.began / 1e9).astimezone()
    stuck = any(span.kind is Kind.PROBLEM and span.is_open for span in timeline.spans)
    paused = any(span.kind is Kind.PAUSE and span.is_open for span in timeline.spans)
    outcome, style = ("STUCK", "red") if stuck else (timeline.outcome, style)
    outcome, style = ("PAUSED", "yellow") if paused else (outcome, style)
    version = timeline.graph_version
    place = f"queue {timeline.task_queue}, run {timeline.run_id}" if version is None else f"graph, version {version}"
    return Text.assemble(
        (f"{mark} ", style),
        (timeline.workflow_id, "bold"),
        f"  {timeline.workflow_type}  ",
        (outcome.replace("_", " "), style),
        f" {'for' if timeline.ended is None else 'in'} {duration(seconds / 1e9)}",
        (f"   began {began:%Y-%m-%d %H:%M:%S}, {place}", "dim"),
    )


def ending(timeline: Timeline, now: int) -> Text:
    """The result, the failure, or what the run waits for."""
    if timeline.result is not None:
        values = plain_all(timeline.result)
        shown = json.dumps(values[0] if values else None, ensure_ascii=False)
        return Text.assemble(("result   ", "bold"), _cut(shown, 2000))
    if timeline.failure is not None:
        return Text.assemble(("failure  ", "bold red"), _chain(timeline.failure), _goes_on(timeline))
    if timeline.ended is not None:
        reason = f": {timeline.reason}" if timeline.reason else ""
        return Text.assemble((f"{timeline.outcome.replace('_', ' ').lower()}{reason}", "bold"), _goes_on(timeline))
    waits = [_waits_for(span, now) for span in timeline.open_spans()]
    if not waits and timeline.graph_version is not None:
        return Text.assemble(("waits for", "bold"), " a server to go on with it")
    if not waits:
        return Text.assemble(("waits for", "bold"), " a signal, an update, or a worker")
    more = f", and {len(waits) - 5:,} more" if len(waits) > 5 else ""
    return Text.assemble(("waits for ", "bold"), ", ".join(waits[:5]) + more)


def span_line(timeline: Timeline, span: Span, now: int) -> Text:
    """One span, as a line of its own."""
    return _line(timeline, span, now, (0, 0), None)


def duration(seconds: float) -> str:
    """`3 ms`, `1.2 s`, `4 min 5 s`, `2 h 30 min`, `3 d 4 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"


def title(span: Span) -> str:
    """What the span is of, in a few words."""
    match span.kind:
        case Kind.TIMER:
            wanted = f" {duration((span.until - span.began) / 1e9)}" if span.until else ""
            return f"{span.summary or span.name}{wanted}"
        case Kind.CHILD | Kind.SIGNAL_SENT | Kind.CANCEL_SENT:
            return f"{span.name} {span.id}"
        case Kind.ACTIVITY | Kind.TASK if span.summary:
            return f"{span.name} ({span.summary})"
    return span.name


def _line(
    timeline: Timeline, span: Span, now: int, widths: tuple[int, int], processes: Mapping[str, str] | None
) -> Text:
    mark, style = _MARKS[span.state]
    if span.kind is Kind.PROBLEM and span.is_open:
        mark, style = "!", "bold red"
    took = "" if span.kind in _MOMENTS else duration(span.seconds(now))
    line = Text.assemble(
        (f"  +{duration((span.began - timeline.began) / 1e9):<10}", "dim"),
        (f"{mark} ", style),
        (f"{span.kind.value:<{widths[0]}} ", "dim"),
        (f"{title(span):<{widths[1]}} ", "bold" if span.is_open else ""),
        f" {took:>9} ",
    )
    for text, how in _remarks(span, now):
        line.append(f" {text}", how)
    if processes is not None:
        line.append(*_process(timeline, span, processes))
    line.rstrip()
    return line


def _remarks(span: Span, now: int) -> Iterable[tuple[str, str]]:
    """How it stands where that is not simply: done, at the first attempt."""
    if span.kind is Kind.PROBLEM:
        if span.is_open:
            yield "stuck: it is tried again, and goes on once the code is put right", "red"
        else:
            yield "mended", "green"
    elif span.is_open or span.state is not State.COMPLETED:
        yield span.state.value, _MARKS[span.state][1]
    if span.until is not None and span.is_open:
        verb = "next attempt" if span.state is State.BACKING_OFF else "until"
        at = datetime.fromtimestamp(span.until / 1e9).astimezone()
        left = (span.until - now) / 1e9
        yield f"{verb} {at:%Y-%m-%d %H:%M:%S}" + (f" (in {duration(left)})" if left > 0 else ""), "cyan"
    if span.kind in (Kind.ACTIVITY, Kind.TASK) and span.attempts > 1:
        yield f"{span.attempts} attempts" if not span.is_open else f"attempt {span.attempts}", "yellow"
    if span.cancel_requested and span.is_open:
        yield "cancellation requested", "yellow"


def _details(span: Span) -> list[Text]:
    """The last failure, below the line."""
    if span.failure is None:
        return []
    indent = " " * 15
    style = "yellow" if span.state is State.COMPLETED or span.state is State.BACKING_OFF else "red"
    last = "last failure: " if span.state in (State.COMPLETED, State.RUNNING, State.BACKING_OFF) else ""
    if span.kind is Kind.PROBLEM:
        last = ""
    lines = [Text(f"{indent}{last}{_cut(' '.join(span.failure.split()), 1000)}", style)]
    if span.where:
        lines.append(Text(f"{indent}at {span.where}", style))
    return lines


def _process(timeline: Timeline, span: Span, processes: Mapping[str, str]) -> tuple[str, str]:
    """In which process it ran; if the last one only read of it, that it was replayed."""
    names = list(processes)
    last = names[-1] if names else ""
    style = _STYLES[names.index(span.identity) % len(_STYLES)] if span.identity in processes else "dim"
    ran = f"ran {processes[span.identity]}" if span.identity in processes else ""
    if len(names) > 1 and timeline.replayed_by(span, last):
        return f"  {ran + ', ' if ran else ''}replayed {processes[last]}", style
    return f"  {ran}", style


def _shown(spans: list[Span], everything: bool) -> list[Span | None]:
    """The spans to show; None stands for those left out."""
    if everything or len(spans) <= FOLD:
        return list(spans)
    head, tail = spans[: FOLD // 3], spans[-(FOLD - FOLD // 3) :]
    middle = [span for span in spans[len(head) : -len(tail)] if span.state is not State.COMPLETED]
    return [*head, None, *middle[:FOLD], *tail]


def _widths(spans: Iterable[Span]) -> tuple[int, int]:
    kinds, titles = 0, 0
    for span in spans:
        kinds, titles = max(kinds, len(span.kind.value)), max(titles, len(title(span)))
    return kinds, min(titles, 40)


def _waits_for(span: Span, now: int) -> str:
    if span.kind is Kind.PROBLEM:
        return "its code to be put right"
    left = "" if span.until is None else f" ({duration(max(0.0, (span.until - now) / 1e9))} more)"
    return f"{span.kind.value} {title(span)}{left}"


def _goes_on(timeline: Timeline) -> str:
    return f" (goes on in run {timeline.next_run_id})" if timeline.next_run_id else ""


def _chain(failure: Failure) -> str:
    texts, here = [], failure
    while True:
        texts.append(" ".join(here.brief().split()))
        if here.cause is None:
            return _cut(" <- ".join(texts), 4000)
        here = here.cause


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
