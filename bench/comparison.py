"""Tenuto beside DBOS on the same kind of store, workload by workload, as rows of a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.peers.runner import run_dbos
from bench.processes import Result, load, report

#: Scales of a quick run: (ours, DBOS's).
QUICK = {"w2": (500, 100), "w3": (200, 50), "w4": (500, 500), "w5": (300, 300), "w6": (2000, 300)}


class Line(NamedTuple):
    """One row of the table: what is compared, how it is read out of a result, and what has to come out."""

    workload: str
    title: str
    read: Callable[[Result], float]
    unit: str
    must_on_sqlite: str
    must_on_postgres: str
    more_is_better: bool = False


LINES = [
    Line("w1", "W1 sequential activity", lambda r: r["seconds_per_step"] * 1e3, "ms", "4x, aim 8x", "4x, aim 8x"),
    Line(
        "w2",
        "W2 workflows of 5 activities",
        lambda r: r["workflows_per_second"],
        "1/s",
        "20x, aim 50x",
        "15x, aim 50x",
        True,
    ),
    Line(
        "w2",
        "W2 CPU an activity",
        lambda r: r["cpu_seconds_per_step"] * 1e6,
        "us",
        "<= 200, aim 50 us",
        "aim 60 us",
    ),
    Line("w3", "W3 one small workflow, p50", lambda r: r["p50_seconds"] * 1e3, "ms", "8x, aim 15x", "4x, aim 8x"),
    Line(
        "w3",
        "W3 one small workflow, p99",
        lambda r: r["p99_seconds"] * 1e3,
        "ms",
        "<= 10 x p50, aim 6 x",
        "",
    ),
    Line("w4", "W4 1,000 parallel activities", lambda r: r["seconds"], "s", "25x, aim 60x", "15x, aim 35x"),
    Line(
        "w5",
        "W5 recovery of 1,000 workflows",
        lambda r: r["seconds"],
        "s",
        "10x and <= 2 s, aim 20x, 1 s",
        "10x, aim 25x",
    ),
    Line(
        "w6",
        "W6 memory of a sleeping workflow",
        lambda r: r["bytes_per_workflow"] / 1024,
        "KB",
        "<= 4 KB",
        "<= 4 KB",
    ),
]


class Sides:
    """Where either side keeps its data: each call names a new place. Ours is a store's URL, DBOS's a database's."""

    def __init__(self, name: str, ours: Callable[[], str], dbos: Callable[[], str], workdir: Path) -> None:
        self.name = name
        self.ours = ours
        self.dbos = dbos
        self.workdir = workdir


def ours(sides: Sides, workload: str, scale: int | None = None, options: str = "") -> Result:
    """Run one workload on Tenuto in a process of its own; `options` are added to the store's URL."""
    marker = sides.workdir / f"tenuto-{time.monotonic_ns()}.go"
    common = ["--store", sides.ours() + options, "--marker", str(marker)] + (["--scale", str(scale)] if scale else [])
    if workload != "w5":
        return report("bench.tenuto_runs", workload, *common)
    report("bench.tenuto_runs", "w5-fill", *common)
    marker.touch()
    return report("bench.tenuto_runs", "w5-recover", *common, "--started-at", repr(time.monotonic()))


def table(sides: Sides, workloads: list[str], quick: bool, rounds: int) -> list[str]:
    """The table of the chosen workloads. Either side runs each so many times, in turns, and counts with its best: what
    else the machine does spoils a figure and never betters it."""
    lines = [line for line in LINES if line.workload in workloads]
    if not lines:
        return []
    rows, results = [], {}
    for line in lines:
        if line.workload not in results:
            results[line.workload] = [_both(sides, line.workload, quick) for _ in range(rounds)]
        best = max if line.more_is_better else min
        mine, theirs = (best(line.read(round[side]) for round in results[line.workload]) for side in (0, 1))
        ratio = mine / theirs if line.more_is_better else theirs / mine
        must = line.must_on_sqlite if sides.name == "SQLite" else line.must_on_postgres
        figures = f"{mine:.4g} {line.unit} | {theirs:.4g} {line.unit} | {ratio:.1f}x"
        peer = results[line.workload][0][1]
        rows.append(f"| {line.title} | {figures} | {must} | {peer['durability']}, {peer['api']} |")
    return [
        f"| {sides.name}; {load()} | Tenuto | DBOS | ratio | goal | DBOS's durability, API |",
        "|---|--:|--:|--:|---|---|",
        *rows,
    ]


def _both(sides: Sides, workload: str, quick: bool) -> tuple[Result, Result]:
    scales = QUICK.get(workload, (None, None)) if quick else (None, None)
    print(f"{sides.name} {workload}: Tenuto ...", file=sys.stderr, flush=True)
    our = ours(sides, workload, scales[0])
    print(f"{sides.name} {workload}: DBOS ...", file=sys.stderr, flush=True)
    return our, run_dbos(workload, database=sides.dbos(), scale=scales[1], workdir=sides.workdir)


def own_lines(sides: Sides, quick: bool) -> list[str]:
    """What has no counterpart: how the figures of a store on SQLite relate to each other."""
    count, normal = 500 if quick else None, "?synchronous=NORMAL"
    full, lax = ours(sides, "mixed", count), ours(sides, "mixed", count, normal)
    share = full["workflows_per_second"] / lax["workflows_per_second"]
    many = ours(sides, "long", 2000 if quick else None)
    parked = ours(sides, "parked", 5000 if quick else None)
    once = ours(sides, "w1", None, normal)
    return [
        f"- Steps of 0-5 ms, 200 workflows in flight: {full['workflows_per_second']:.0f} workflows/s with FULL, "
        f"{lax['workflows_per_second']:.0f} with NORMAL: {share:.0%} (must 60 %, aim 75 %).",
        f"- A sequential activity with NORMAL: {once['seconds_per_step'] * 1e3:.3f} ms.",
        f"- CPU of a step in a workflow of {many['steps']:,} steps against one of 100: {many['ratio']:.2f}x.",
        f"- W3's p50 beside {parked['parked']:,} sleeping workflows against without: {parked['ratio']:.2f}x.",
    ]
