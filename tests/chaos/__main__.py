"""The long form: `make chaos`, or `python -m tests.chaos [--seed N] [--workflows N] [--rounds N]`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.plans import long_plan
from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--workflows", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=4, help="how often each fault is done")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tenuto-chaos-logs-"))
    print(f"seed {options.seed}; logs in {folder}", flush=True)
    told, faults = asyncio.run(run(long_plan(options.workflows, options.rounds, options.seed), options.seed, folder))
    print(told)
    print("\n".join(["", f"{len(faults)} faults", *faults[:50]]) if faults else "\nall as it must be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
