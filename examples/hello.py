"""A workflow, an activity, and one SQLite file: all that it takes.

You learn: a workflow is a class with an async `run` method, an activity is a function that does the real work, a worker
runs both, and a client starts them. Run it twice: the file remembers, and an id can be used again once its run is over.

    python -m examples.hello
"""

import asyncio

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.worker import Worker


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await greet(name)


async def main(url: str = "sqlite:///hello.db") -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Greeting], activities=[greet]):
        print(await client.execute_workflow(Greeting.run, "World", id="greeting-1"))


if __name__ == "__main__":
    asyncio.run(main())
