"""A scheduled chain: the clock starts an instance, which starts the next workflow when it is done, and so on.

You learn:
- `Workflow(..., schedules=[...])` starts instances by cron expressions; they are made once, whatever crashes;
- the last step of a link starts the following one, under an id that is made of its own: tried again, it starts nothing
  twice;
- each link is an instance of its own, with its own history, retries and status.

    python -m examples.steps_chain
"""

import asyncio
from typing import Any

from tenuto.client import Client
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker

#: Where reports go.
sent: asyncio.Queue[str] = asyncio.Queue()


class Collect(WorkflowEntrypoint):
    """Started every night."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        figures = await step.do("collect", lambda: [3, 4, 5])

        async def go_on() -> None:
            await self.env.REPORT.create_batch([{"id": f"{event.instance_id}-report", "params": figures}])

        await step.do("start the report", go_on)


class Report(WorkflowEntrypoint):
    """Started by each collection."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        total = await step.do("add up", lambda: sum(event.payload))
        await step.do("send", lambda: sent.put(f"the sum of the night is {total}"))
        return total


async def main(url: str = "memory://", schedule: str = "* * * * * *") -> None:
    """`schedule` has a field for seconds first; "0 3 * * *" is every night at three."""
    async with await Client.connect(url) as client:
        env = {"REPORT": Workflow(client, Report)}
        collect = Workflow(client, Collect, schedules=[schedule])
        async with Worker(client, workflows=[Collect, Report], env=env):
            await collect.schedule()
            print(await sent.get())


if __name__ == "__main__":
    asyncio.run(main())
