"""What a function of a Hamilton graph costs: a chain that adds one, executed again and again by one driver.

    python hamilton_runs.py chain --scale 100 --rounds 200

Prints one line of JSON; `seconds` is the quickest execution of the chain, `nodes` how many functions it has.
"""

import argparse
import json
import time
from typing import Any

from hamilton import ad_hoc_utils, driver


def link(number: int) -> Any:
    """The function of this number, which takes the result of the one before it."""
    before = f"n{number - 1}" if number else "x"
    names: dict[str, Any] = {}
    exec(f"def n{number}({before}: int) -> int:\n    return {before} + 1", names)
    return names[f"n{number}"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=["chain"])
    parser.add_argument("--scale", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    module = ad_hoc_utils.create_temporary_module(*map(link, range(options.scale)), module_name="chain")
    made = driver.Builder().with_modules(module).build()
    last = f"n{options.scale - 1}"
    times = []
    for _ in range(options.rounds):
        began = time.perf_counter()
        result = made.execute([last], inputs={"x": 0})
        times.append(time.perf_counter() - began)
    assert result[last] == options.scale, result
    print(json.dumps({"seconds": min(times), "nodes": options.scale}), flush=True)


if __name__ == "__main__":
    main()
