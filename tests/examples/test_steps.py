"""The lessons about steps."""

from typing import Any

import pytest

from examples import steps_chain, steps_fan_out, steps_parent, steps_publish, steps_race
from tenuto.client import Client
from tenuto.steps import Workflow
from tenuto.worker import Worker
from tests.examples.conftest import Until


async def published(url: str, until: Until, *, yes: bool, key: str = "k") -> tuple[Any, list[str]]:
    env: dict[str, Any] = {"BUCKET": {"k": "a cat"}, "PAGES": []}
    async with await Client.connect(url) as client, Worker(client, workflows=[steps_publish.Publish], env=env):
        instance = await Workflow(client, steps_publish.Publish).create(params={"key": key})
        if key == "k":
            await instance.send_event("approved", {"by": "Ada", "yes": yes})

        async def ended() -> Any:
            status = await instance.status()
            return status if status.is_final else None

        return await until(ended), env["PAGES"]


async def test_what_is_approved_is_published(url: str, until: Until) -> None:
    status, pages = await published(url, until, yes=True)
    assert (status.status, status.output) == ("complete", "published: a cat, described at attempt 1")
    assert pages == [status.output]


async def test_the_draft_of_what_is_refused_is_removed(url: str, until: Until) -> None:
    status, pages = await published(url, until, yes=False)
    assert (status.status, status.error.name, status.error.message) == ("errored", "NotApproved", "Ada said no")
    assert pages == ["removed, because Ada said no"]


async def test_without_a_picture_there_is_nothing_to_describe(url: str, until: Until) -> None:
    status, pages = await published(url, until, yes=True, key="unknown")
    assert (status.error.name, pages) == ("NonRetryableError", [])


async def test_the_lessons_run(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    steps_race.stopped.clear()
    await steps_publish.main()
    await steps_fan_out.main(url, pages=100)
    await steps_race.main()
    await steps_parent.main()
    printed = capsys.readouterr().out
    assert "cat-2 errored" in printed
    assert f"{sum(100 + n % 7 for n in range(100))} words, at most 106 on a page" in printed
    assert "quick\ncancelled: ['lazy', 'slow']" in printed
    assert "['a cat at 2048 px', 'a cat at 512 px', 'a cat at 64 px']" in printed


async def test_the_chain_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await steps_chain.main()
    assert "the sum of the night is 12" in capsys.readouterr().out
