"""The benchmark: Tenuto beside others on the same store, in one run.

    python -m bench [--quick] [--rounds N] [--store sqlite|postgresql] [--only w1,w3,server,queue] [--markdown FILE]

On SQLite and on PostgreSQL: W1 to W5 beside DBOS, W6 on SQLite, and the server. On SQLite also `sequences` (beside
Hamilton, and beside durable code). On PostgreSQL also `queue` (remote
activities beside procrastinate), `scaling` (1 to 4 engines) and `size` (10 thousand and 1 million executions stored).
Prints tables with absolute figures and ratios, after the machine and how durable either side is. Each peer gets a
virtual environment of its own on the first run; PostgreSQL is started here. A full run takes about half an hour, much
of it the peers'; `--quick` a third.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import comparison, conductor, remote, scaling, sequences, size
from bench.comparison import Sides
from bench.postgres import Server, postgres
from bench.processes import load

STORES = ("sqlite", "postgresql")
#: What is measured on each, besides the rows of comparison.LINES; `own` is SQLite's figures beside each other.
PARTS = {
    "sqlite": ("w1", "w2", "w3", "w4", "w5", "w6", "own", "server", "sequences"),
    "postgresql": ("w1", "w2", "w3", "w4", "w5", "queue", "server", "scaling", "size"),
}


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} (ours)"
    )


def on_sqlite(parts: list[str], workdir: Path, quick: bool, rounds: int) -> Iterator[list[str]]:
    def file(name: str) -> str:
        return f"sqlite:///{workdir}/{name}-{time.monotonic_ns()}.db"

    sides = Sides("SQLite", lambda: file("tenuto"), lambda: file("dbos"), workdir)
    yield ["Tenuto on SQLite: journal WAL, synchronous FULL. DBOS 3.4: as shipped, its settings in the last column."]
    yield comparison.table(sides, parts, quick, rounds)
    if "own" in parts:
        yield comparison.own_lines(sides, quick)
    if "server" in parts:
        yield conductor.lines("SQLite", file("server"), ">= 150, aim 600 1/s", lambda: 0.0, workdir, quick)
    if "sequences" in parts:
        yield sequences.lines(file("sequences"), workdir, quick)


def on_postgres(parts: list[str], server: Server, workdir: Path, quick: bool, rounds: int) -> Iterator[list[str]]:
    sides = Sides("PostgreSQL", server.database, server.database, workdir)
    yield [f"One {server.settings()}; for each measurement a new database."]
    yield [f"- A bare commit of one row on it, p50: {server.bare_commit() * 1e3:.2f} ms ({load()})."]
    yield comparison.table(sides, parts, quick, rounds)
    if "queue" in parts:
        yield remote.lines(server, workdir, quick)
    if "server" in parts:
        yield conductor.lines(
            "PostgreSQL", server.database(), ">= 100, aim 300 1/s", server.cpu_seconds, workdir, quick
        )
    if "scaling" in parts:
        yield scaling.lines(server, workdir, quick)
    if "size" in parts:
        yield size.lines(server, workdir, quick)


@contextmanager
def folder() -> Iterator[Path]:
    """For files of SQLite and logs, on the disk of the checkout."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller scales, for a first look")
    parser.add_argument("--store", choices=STORES, help="on this store only")
    parser.add_argument("--only", help="parts to run, such as w1,w3,server")
    parser.add_argument(
        "--rounds", type=int, default=1, help="of W1 to W6, the best of which counts; for a busy machine"
    )
    parser.add_argument("--markdown", type=Path, help="write the tables to this file too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the database server is stopped then, too
    written: list[str] = []

    def tell(lines: list[str]) -> None:
        print("\n".join([*lines, ""]), flush=True)
        written.extend([*lines, ""])

    def chosen(store: str) -> list[str]:
        parts = list(PARTS[store]) if options.store in (None, store) else []
        return [part for part in parts if options.only is None or part in options.only.split(",")]

    tell([f"Machine: {machine()}; {datetime.now(UTC):%Y-%m-%d}{'; quick' if options.quick else ''}."])
    with folder() as workdir:
        if parts := chosen("sqlite"):
            for lines in on_sqlite(parts, workdir, options.quick, options.rounds):
                tell(lines)
        if parts := chosen("postgresql"):
            with postgres() as server:
                for lines in on_postgres(parts, server, workdir, options.quick, options.rounds):
                    tell(lines)
    if options.markdown:
        options.markdown.write_text("\n".join(written))


if __name__ == "__main__":
    main()
