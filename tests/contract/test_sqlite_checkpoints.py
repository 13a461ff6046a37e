"""The write-ahead log of a SQLite store stays short, whoever writes."""

from pathlib import Path

from tenuto.store import sqlite_checkpoints
from tenuto.store.sqlite import SqliteStore
from tests.contract.rows import Engine, history, run


async def test_the_log_is_begun_anew_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SqliteStore("sqlite", str(path), synchronous="NORMAL")
    await store.open()
    engine = await Engine(store).lease()
    await engine.commit(started=[run("r1")])
    for number in range(8_000):
        await engine.commit(history=[history("r1", 1 + number)])
        if number % 100 == 0:
            # On a busy machine the checkpoints would fall behind these commits, which nothing else slows down.
            await store._checkpoints.stop()
    longest = Path(f"{path}-wal").stat().st_size
    await store.close()
    assert longest < 4 * 4096 * sqlite_checkpoints.PAGES


async def test_a_reader_that_never_ends_does_not_stop_commits(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SqliteStore("sqlite", str(path), synchronous="NORMAL", patience=1)
    await store.open()
    await store._reader.submit(lambda connection: connection.execute("BEGIN").fetchone())
    await store._reader.submit(lambda connection: connection.execute("SELECT count(*) FROM inbox").fetchone())
    for _ in range(100):
        await store.send([(1, b"x" * 1_000_000)])
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 64 * 1024 * 1024
    await store._reader.submit(lambda connection: connection.execute("COMMIT").fetchone())
    for _ in range(20):
        await store.send([(1, b"x" * 1_000_000)])
    await store.close()
    assert not log.exists()
