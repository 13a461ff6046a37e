"""What happened when, how soon it was got over, and what was done meanwhile: as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from tests.chaos.faults import Fault
from tests.chaos.witness import Write

#: Seconds of a line of the table of throughput.
SLICE = 5.0


def report(began: float, faults: Sequence[Fault], writes: Sequence[Write], finished: Sequence[float]) -> str:
    return "\n\n".join(
        [_timeline(began, faults, writes), _recovery(faults, writes), _throughput(began, faults, writes, finished)]
    )


def _timeline(began: float, faults: Sequence[Fault], writes: Sequence[Write]) -> str:
    lines = ["   at s  what             whom             partitions   lasted     moved   tasks    commit  answered"]
    for fault in faults:
        seconds = (fault.over - fault.at, fault.moved, fault.reclaimed, fault.recovery(writes), fault.answered)
        lasted, moved, reclaimed, first, answered = map(_seconds, seconds)
        lines.append(
            f"{fault.at - began:7.1f}  {fault.kind:15}  {fault.victim:15}  {len(fault.affected):10}"
            f"  {lasted:>7}  {moved:>8}  {reclaimed:>8}  {first:>8}  {answered:>8}"
        )
    return "\n".join(lines)


def _recovery(faults: Sequence[Fault], writes: Sequence[Write]) -> str:
    """By kind: from the fault to the first commit in the partitions that it affected, and to the last of some answers
    from there."""
    commits: dict[str, list[float]] = defaultdict(list)
    answers: dict[str, list[float]] = defaultdict(list)
    for fault in faults:
        kind = f"{fault.kind} {fault.victim.partition('-')[0] if fault.ordeal else ''}".strip()
        seconds = fault.recovery(writes)
        if seconds is not None and fault.answered is not None:
            commits[kind].append(seconds)
            answers[kind].append(fault.answered)
    lines = ["recovery after            times  first commit: median, worst  answers: median, worst"]
    lines += [
        f"{kind:24}  {len(times):5}  {median(times):17.2f} s {max(times):6.2f} s"
        f"  {median(answers[kind]):11.2f} s {max(answers[kind]):6.2f} s"
        for kind, times in sorted(commits.items())
    ]
    return "\n".join(lines)


def _throughput(began: float, faults: Sequence[Fault], writes: Sequence[Write], finished: Sequence[float]) -> str:
    last = max([write.at for write in writes] + list(finished), default=began)
    lines = ["   from s  commits/s  histories/s  runs ended/s"]
    for number in range(int((last - began) / SLICE) + 1):
        start = began + number * SLICE
        inside = [write for write in writes if start <= write.at < start + SLICE]
        ended = sum(start <= at < start + SLICE for at in finished)
        kinds = ", ".join(fault.kind for fault in faults if start <= fault.at < start + SLICE)
        lines.append(
            f"{number * SLICE:9.0f}  {len(inside) / SLICE:9.1f}  {sum(w.histories for w in inside) / SLICE:11.1f}"
            f"  {ended / SLICE:12.1f}  {kinds}".rstrip()
        )
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
