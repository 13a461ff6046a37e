"""Steps: a class whose `run` does named steps. Fetch a picture, describe it, wait for approval, publish it or undo all.

You learn:
- `step.do` runs a function (plain or async) and records what it returns; what is recorded is never done again;
- options of a step say how often and after which delays it is tried again, and how long an attempt may take;
- `step.wait_for_event` waits for what `instance.send_event` sends; an event that comes early is kept;
- `rollback=` undoes a step if the instance fails later on;
- `env` holds what the steps need: buckets, databases, other workflows.

    python -m examples.steps_publish
"""

import asyncio
from contextlib import suppress
from typing import Any

from tenuto.client import Client, WorkflowFailureError
from tenuto.steps import NonRetryableError, Workflow, WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker

PATIENT = {"retries": {"limit": 10, "delay": "30 seconds", "backoff": "exponential"}, "timeout": "5 minutes"}


class Publish(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        key = event.payload["key"]
        image = await step.do("fetch", lambda: self.fetch(key))

        async def describe(ctx: Any) -> str:
            return f"{image}, described at attempt {ctx.attempt}"

        text = await step.do("describe", PATIENT, describe)
        draft = await step.do("draft", lambda: self.draft(text), rollback=self.remove)
        approval = await step.wait_for_event("await approval", type="approved", timeout="24h")
        if not approval.payload["yes"]:
            raise NonRetryableError(f"{approval.payload['by']} said no", name="NotApproved")
        await step.sleep("cool down", "0.1 seconds")
        return await step.do("publish", lambda: self.publish(draft))

    def fetch(self, key: str) -> str:
        if key not in self.env.BUCKET:
            raise NonRetryableError(f"there is no picture {key!r}")
        return str(self.env.BUCKET[key])

    async def draft(self, text: str) -> int:
        self.env.PAGES.append(f"draft: {text}")
        return len(self.env.PAGES) - 1

    async def remove(self, undone: Any) -> None:
        self.env.PAGES[undone.output] = f"removed, because {undone.error}"

    async def publish(self, page: int) -> str:
        self.env.PAGES[page] = self.env.PAGES[page].replace("draft", "published")
        return str(self.env.PAGES[page])


async def main(url: str = "memory://") -> None:
    env: dict[str, Any] = {"BUCKET": {"cat.png": "a cat on a piano"}, "PAGES": []}
    async with await Client.connect(url) as client, Worker(client, workflows=[Publish], env=env):
        workflow = Workflow(client, Publish)
        for id, yes in (("cat-1", True), ("cat-2", False)):
            instance = await workflow.create(id=id, params={"key": "cat.png"})
            await instance.send_event("approved", {"by": "Ada", "yes": yes})
            with suppress(WorkflowFailureError):
                await client.get_workflow_handle(id).result()
            status = await instance.status()
            print(id, status.status, status.output or status.error)
        print(env["PAGES"])


if __name__ == "__main__":
    asyncio.run(main())
