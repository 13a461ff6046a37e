import pytest

from examples import fan_out
from examples.fan_out import Book, Page, Report, count_words
from tenuto.client import Client
from tenuto.worker import Worker


async def test_a_thousand_children(url: str) -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Book, Page], activities=[count_words]):
        report = await client.execute_workflow(Book.run, args=[1000, 250], id="book")
        assert report == Report(words=sum(100 + n % 7 for n in range(1000) if n not in (499, 999)), failed=[499, 999])
        assert (await client.count_workflows()).count == 1001


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await fan_out.main(pages=20)
    assert "words on 20 pages" in capsys.readouterr().out
