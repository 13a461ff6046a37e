"""Other processes use the file while its owner commits without a pause; nobody meets a lock."""

import asyncio
from collections import defaultdict
from pathlib import Path

import pytest

from tenuto.model.errors import StoreBusyError
from tenuto.store.sqlite import SqliteStore
from tests.contract.processes import finish, line_of, python
from tests.contract.rows import ALL, Engine, history, run

CLIENTS, MESSAGES = 50, 20

SENDERS = """
    import asyncio, os, sys, traceback
    from tenuto.model.events import ExecutionRef
    from tenuto.store.sqlite import SqliteStore

    async def send(sender, path, messages):
        store = SqliteStore("sqlite", path)
        await store.open()
        for number in range(messages):
            await store.send([(sender, b"%d" % number)])
            assert (await store.load([ExecutionRef("order")]))[0] is not None
        await store.close()

    path, clients, messages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    children = []
    for sender in range(clients):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.run(send(sender, path, messages))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    print(failed)
"""


async def test_every_client_of_a_busy_owner_gets_through(tmp_path: Path) -> None:
    path = str(tmp_path / "busy.db")
    store = SqliteStore("sqlite", path)
    await store.open()
    engine = await Engine(store).lease()
    await engine.commit(started=[run("r1")])
    with python(SENDERS, path, CLIENTS, MESSAGES) as senders:
        done = asyncio.create_task(asyncio.to_thread(finish, senders))
        commits = 0
        while not done.done():
            commits += 1
            await engine.commit(history=[history("r1", commits)])
        assert (await done).strip() == "0"
    received: dict[int, list[int]] = defaultdict(list)
    for row in await store.receive(ALL, (), 2 * CLIENTS * MESSAGES):
        received[row.partition].append(int(row.data))
    await store.close()
    assert received == {sender: list(range(MESSAGES)) for sender in range(CLIENTS)}
    assert commits > CLIENTS


HOLDER = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    sys.stdin.readline()
    connection.close()
"""


async def test_whoever_waits_too_long_is_told_who_owns_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "held.db")
    store = SqliteStore("sqlite", path, patience=0.05)
    await store.open()
    await store.lease("engine-a", 0, 0)
    with python(HOLDER, path) as holder:
        assert line_of(holder) == "held"
        with pytest.raises(StoreBusyError, match=r"held\.db was locked.*owned by engine-a"):
            await store.send([(1, b"x")])
        assert await store.receive(ALL, (), 10) == []
        finish(holder, "go\n")
    await store.send([(1, b"y")])
    assert [row.data for row in await store.receive(ALL, (), 10)] == [b"y"]
    await store.close()
