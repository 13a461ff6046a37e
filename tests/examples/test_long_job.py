import pytest

from examples import long_job
from examples.long_job import Import, import_rows
from tenuto.client import Client
from tenuto.worker import Worker
from tests.examples.conftest import Until


@pytest.fixture(autouse=True)
def _empty_world() -> None:
    long_job.imported.clear()


async def test_the_next_worker_goes_on_where_the_first_was(url: str, until: Until) -> None:
    async with await Client.connect(url) as client:
        async with Worker(client, workflows=[Import], activities=[import_rows]):
            handle = await client.start_workflow(Import.run, args=[200, 0.002], id="import")
            await until(lambda: len(long_job.imported) >= 100)
        done = len(long_job.imported)
        async with Worker(client, workflows=[Import], activities=[import_rows]):
            assert await handle.result() == f"attempt 2 imported the rows from {done} on"
    attempts = list(long_job.imported.values())
    assert attempts == [1] * done + [2] * (200 - done)


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await long_job.main()
    assert "attempt 2 imported the rows from" in capsys.readouterr().out
