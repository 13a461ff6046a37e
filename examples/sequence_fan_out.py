"""Fan-out, fan-in: fetch several things at the same time, and put them together.

You learn:
- `parallel(a, b, c)` runs its branches at the same time, sync nodes in threads, async ones on an event loop;
- each branch gets the value before the block; a parameter that asks for an `int` and would get a dict gets what an
  earlier node was given under the same name: here `user_id`;
- the block's result is a dict by branch, which also knows the nodes before the block.

    python -m examples.sequence_fan_out
"""

import asyncio
import time
from typing import Any

from tenuto.sequence import Sequence, node, parallel


@node("fetch_user")
def fetch_user(user_id: int) -> dict[str, Any]:
    return {"id": user_id, "name": "Ada"}


@node("fetch_orders")
def fetch_orders(user_id: int) -> list[str]:
    time.sleep(0.1)
    return [f"order {user_id}-{number}" for number in (1, 2)]


@node("fetch_settings")
def fetch_settings(user: dict[str, Any]) -> dict[str, str]:
    time.sleep(0.1)
    return {"theme": "dark", "greeting": f"Hello {user['name']}"}


@node("fetch_visits")
async def fetch_visits(user_id: int) -> int:
    await asyncio.sleep(0.1)
    return 7


@node("profile")
def profile(results: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": results["fetch_user"]["name"],
        "orders": len(results["fetch_orders"]),
        "greeting": results["fetch_settings"]["greeting"],
        "visits": results["fetch_visits"],
    }


workflow = Sequence(fetch_user >> parallel(fetch_orders, fetch_settings, fetch_visits) >> profile, name="profile")


def main() -> None:
    began = time.perf_counter()
    print(workflow.execute(123))
    print(f"three times 0.1 s took {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
