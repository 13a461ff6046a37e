"""A durable sequence: the same object, and a crash costs nothing that was finished.

You learn:
- `execute(..., durable="sqlite:///file.db", id="...")` records each node's output before the next one begins;
- the same line after a crash goes on where the run was: finished nodes don't run again, the shared state is back;
- once it has succeeded, the line gives the recorded result;
- in a service, a worker serves it: `Worker(client, workflows=[workflow])`.

The lesson starts itself in a second process that is killed in the middle.

    python -m examples.sequence_durable
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tenuto.sequence import Sequence, SharedState, node, parallel


def say(text: str) -> None:
    print(f"    {text}", flush=True)


@node("fetch_user")
def fetch_user(user_id: int, state: SharedState) -> dict[str, Any]:
    say("fetching the user")
    state["asked"] = state.get("asked", 0) + 1
    return {"id": user_id, "name": "Ada"}


@node("fetch_orders")
def fetch_orders(user_id: int, state: SharedState) -> list[str]:
    say("fetching the orders")
    state["asked"] = state.get("asked", 0) + 1
    return [f"order-{user_id}"]


@node("fetch_visits")
async def fetch_visits(user_id: int) -> int:
    say("counting the visits")
    return 7


@node("profile")
def profile(results: dict[str, Any], state: SharedState) -> dict[str, Any]:
    if "DIE_HERE" in os.environ:
        say("... and the power fails")
        os.kill(os.getpid(), signal.SIGKILL)
    say("putting it together")
    return {"name": results["fetch_user"]["name"], "visits": results["fetch_visits"], "asked": state["asked"]}


workflow = Sequence(fetch_user >> parallel(fetch_orders, fetch_visits) >> profile, name="durable-profile")


def run(url: str) -> Any:
    return workflow.execute(123, durable=url, id="profile-123")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'profiles.db'}"
        print("a first process:", flush=True)
        code = "import sys; from examples.sequence_durable import run; run(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, url], env={**os.environ, "DIE_HERE": "1"}, check=False)
        print("this process goes on:", flush=True)
        print(run(url))
        print("once more, from the record:", flush=True)
        print(run(url))


if __name__ == "__main__":
    main()
