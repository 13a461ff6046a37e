"""Parent and child: a workflow starts others through bindings, and hears from them by events.

You learn:
- `env` may hold bindings of workflows; their instances are created in the callback of a step, because that is work
  which must not be repeated;
- `create_batch` skips ids that are taken, so a step that is tried again starts nothing twice;
- a child tells its parent with an event; the parent waits for it like for anybody's.

    python -m examples.steps_parent
"""

import asyncio
from typing import Any

from tenuto.client import Client
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker


class Resize(WorkflowEntrypoint):
    """The child: makes one picture of a size, and tells its parent."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        size = event.payload["size"]
        picture = await step.do("resize", lambda: f"{event.payload['picture']} at {size} px")

        async def tell() -> None:
            parent = await self.env.ALBUM.get(event.payload["parent"])
            await parent.send_event("resized", picture)

        await step.do("tell the parent", tell)
        return picture


class Album(WorkflowEntrypoint):
    """The parent: has a picture made in several sizes."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        sizes = event.payload["sizes"]

        async def start() -> None:
            common = {"picture": event.payload["picture"], "parent": event.instance_id}
            await self.env.RESIZE.create_batch(
                [{"id": f"{event.instance_id}-{size}", "params": {"size": size, **common}} for size in sizes]
            )

        await step.do("start the children", start)
        made = [await step.wait_for_event(f"picture {n}", type="resized", timeout="1 hour") for n in range(len(sizes))]
        return sorted(picture.payload for picture in made)


async def main(url: str = "memory://") -> None:
    async with await Client.connect(url) as client:
        env = {"ALBUM": Workflow(client, Album), "RESIZE": Workflow(client, Resize)}
        async with Worker(client, workflows=[Album, Resize], env=env):
            params = {"picture": "a cat", "sizes": [64, 512, 2048]}
            print(await client.execute_workflow(Album, params, id="album-1"))


if __name__ == "__main__":
    asyncio.run(main())
