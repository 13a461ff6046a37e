"""Fan-out with steps: many at the same time, and steps that depend on each other.

You learn:
- `asyncio.gather` runs steps at the same time; all of one name are told apart by their order;
- `@step.do(...)` makes a step of a function, and `depends` hands results on: each dependency runs once;
- a default argument (`lambda page=page: ...`) binds a loop's variable.

    python -m examples.steps_fan_out
"""

import asyncio
from typing import Any

from tenuto.client import Client
from tenuto.steps import WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker


def words_on(page: int) -> int:
    return 100 + page % 7


class Count(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        pages = range(event.payload["pages"])
        counts = await asyncio.gather(*(step.do("count", lambda page=page: words_on(page)) for page in pages))

        @step.do("sum")
        def total() -> int:
            return sum(counts)

        @step.do("longest")
        def longest() -> int:
            return max(counts)

        @step.do("report", depends=[total, longest], concurrent=True)
        def report(words: int, most: int) -> str:
            return f"{words} words, at most {most} on a page"

        return await report()


async def main(url: str = "memory://", pages: int = 1000) -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Count]):
        print(await client.execute_workflow(Count, {"pages": pages}, id="book"))


if __name__ == "__main__":
    asyncio.run(main())
