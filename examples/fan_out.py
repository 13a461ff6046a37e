"""Fan-out: one workflow starts a thousand children and gathers what they bring.

You learn:
- children are executions of their own: each has its id, its history, its retries, and is found by `list_workflows`;
- `asyncio.gather` runs them at once, and `asyncio.Semaphore` limits how many are in flight;
- with `return_exceptions=True` one that fails doesn't end the rest. Without it the failure of one fails the parent, and
  the others are terminated with it (parent_close_policy).

    python -m examples.fan_out
"""

import asyncio
import time
from dataclasses import dataclass

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.exceptions import ApplicationError, ChildWorkflowError
from tenuto.worker import Worker


@dataclass
class Report:
    words: int
    failed: list[int]


@activity.defn
async def count_words(page: int) -> int:
    if page % 500 == 499:
        raise ApplicationError(f"page {page} is torn", non_retryable=True)
    return 100 + page % 7


@workflow.defn
class Page:
    @workflow.run
    async def run(self, page: int) -> int:
        return await count_words(page)


@workflow.defn
class Book:
    @workflow.run
    async def run(self, pages: int, at_once: int) -> Report:
        window = asyncio.Semaphore(at_once)

        async def read(page: int) -> int:
            async with window:
                words: int = await workflow.execute_child_workflow(
                    Page.run, page, id=f"{workflow.info().workflow_id}/{page}"
                )
                return words

        results = await asyncio.gather(*(read(page) for page in range(pages)), return_exceptions=True)
        report = Report(0, [])
        for page, result in enumerate(results):
            if isinstance(result, int):
                report.words += result
            elif isinstance(result, ChildWorkflowError):
                report.failed.append(page)
            else:
                raise result  # a cancellation, or a bug
        return report


async def main(url: str = "memory://", pages: int = 1000) -> None:
    async with (
        await Client.connect(url) as client,
        Worker(client, workflows=[Book, Page], activities=[count_words]),
    ):
        began = time.perf_counter()
        report = await client.execute_workflow(Book.run, args=[pages, 200], id="book")
        print(f"{report.words} words on {pages} pages, unreadable: {report.failed}", end=" ")
        print(f"({time.perf_counter() - began:.1f} s)")


if __name__ == "__main__":
    asyncio.run(main())
