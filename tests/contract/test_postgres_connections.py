"""Ways to a PostgreSQL: what a URL says, TLS, and a pooler in between."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trustme

from tenuto.model.errors import StoreError
from tenuto.store.postgres import driver
from tenuto.store.postgres.options import Options, parse
from tenuto.store.postgres.store import PostgresStore
from tenuto.store.protocol import Hint
from tenuto.store.urls import open_store
from tests.contract.rows import MINUTE
from tests.contract.smoke import smoke
from tests.support.durable import until
from tests.support.postgres import (
    FAST,
    connected,
    database_url,
    drop,
    new_schema,
    postgres_server,
    postgres_url,
    url_of,
)

# -- URLs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("postgresql://me@host/db", Options("postgresql://me@host/db")),
        ("postgres://me@host/db", Options("postgresql://me@host/db")),
        (
            "postgresql://me:s%40@host:1/db?sslmode=require&schema=Shop_1&pool=9&notify=off&sslrootcert=/a%20b",
            Options("postgresql://me:s%40@host:1/db?sslmode=require&sslrootcert=/a%20b", "Shop_1", 9, notify=False),
        ),
        (
            "postgresql:///db?host=/run/pg&pooler=transaction&statement_timeout=1.5&connect_timeout=2",
            Options("postgresql:///db?host=/run/pg", pooled=True, statement_timeout=1.5, connect_timeout=2.0),
        ),
        (
            "postgresql://a,b:5433/db?application_name=x%20y",
            Options("postgresql://a,b:5433/db?target_session_attrs=read-write", application_name="x y"),
        ),
        (
            "postgresql://a,b/db?target_session_attrs=any",
            Options("postgresql://a,b/db?target_session_attrs=any"),
        ),
    ],
)
def test_a_url_says_how_to_connect(url: str, options: Options) -> None:
    assert parse(url) == options


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("mode=secret", r"there is no option mode\. Allowed: schema, pool, "),
        ("password=secret", "there is no option password"),
        ("pool=0", "pool is a number from 1 to 1000"),
        ("pool=secret", "pool is a number"),
        ("pool=nan", "pool is a number"),
        ("statement_timeout=0", "statement_timeout is a number from 0.1"),
        ("pooler=secret", "pooler is one of transaction, none"),
        ("notify=secret", "notify is one of on, off"),
        ("schema=pg_secret", "schema is a name of at most 48"),
        ("schema=a-secret", "schema is a name of at most 48"),
        ("schema=", "schema is a name of at most 48"),
    ],
)
def test_a_wrong_option_is_explained_and_no_secret_repeated(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        open_store(f"postgresql://me:secret@host/db?{query}")
    assert "me:***@host/db" in str(error.value)
    assert ":secret" not in str(error.value)


async def test_no_error_shows_the_password() -> None:
    store = open_store("postgresql://me:secret@127.0.0.1:1/db?schema=x")
    assert store.url == "postgresql://me:***@127.0.0.1:1/db?schema=x"
    with pytest.raises(StoreError, match=r"^postgresql://me:\*\*\*@127.0.0.1:1/db can't be connected to: ") as error:
        await store.open()
    assert "secret" not in str(error.value)
    with pytest.raises(StoreError, match="is not open") as error:
        await store.owner()
    assert "secret" not in str(error.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "asyncpg", None)
    with pytest.raises(StoreError, match=r'pip install "tenuto\[postgres\]"'):
        driver._asyncpg()


async def test_what_one_connection_has_learned_no_other_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which array types a server has is a question that costs it more than all else of a new connection."""
    asked: list[object] = []
    ask = asyncpg.Connection._introspect_types

    async def listen(self: Any, typeoids: Any, timeout: Any) -> Any:
        asked.append(typeoids)
        return await ask(self, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", listen)
    monkeypatch.setattr(driver, "_types", {})
    with postgres_url() as url:
        async with opened(url) as store:
            await smoke(store, "first")
        assert asked
        asked.clear()
        async with opened(url) as store:
            await smoke(store, "second")
        assert not asked


async def test_with_notify_off_nobody_is_told() -> None:
    with postgres_url() as url:
        heard: list[Hint] = []
        told: list[Hint] = []
        async with opened(url) as loud, opened(url) as ear, opened(f"{url}&notify=off") as mute:
            ear.watch(told.append)
            mute.watch(heard.append)

            async def hears() -> bool:
                await mute.send([(1, b"x")])
                await loud.send([(2, b"x")])
                return bool(told)

            await until(hears)
            assert all(hint.partitions == {2} for hint in told)
        assert heard == []


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


# -- TLS ----------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
async def test_over_tls_the_server_is_checked(tmp_path: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    for name, authority in (("ca", ca), ("stranger", stranger)):
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    with postgres_server(**FAST) as server:
        server.stop()
        server.add_certificate(ca.issue_cert("localhost"))
        server.start()
        url = server.url.replace("127.0.0.1", "localhost")
        verified = f"{url}?sslmode=verify-full&application_name=tls&sslrootcert="
        async with opened(f"{verified}{tmp_path / 'ca.pem'}") as store:
            await smoke(store)
            store.watch(lambda _: None)
            async with connected(server.url) as admin:
                encrypted = await admin.fetchval(
                    "SELECT bool_and(s.ssl) FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid)"
                    " WHERE a.application_name = 'tls'"
                )
            assert encrypted
        with pytest.raises(StoreError, match=r"can't be connected to: .*certificate"):
            await PostgresStore(f"{verified}{tmp_path / 'stranger.pem'}").open()
        with pytest.raises(StoreError, match=r"can't be connected to: .*127\.0\.0\.1"):
            await PostgresStore(f"{verified}{tmp_path / 'ca.pem'}".replace("localhost", "127.0.0.1")).open()


# -- pgbouncer ----------------------------------------------------------------------------------

pgbouncer = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")


@contextmanager
def pooler(mode: str) -> Iterator[str]:
    """The URL of the session's database through a pgbouncer with two connections to it."""
    target = connection_of(database_url())
    with tempfile.TemporaryDirectory(prefix="tenuto-pgbouncer-") as directory, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        configuration = Path(directory) / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\npooled = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {2 if mode == 'transaction' else 20}\n"
            "max_client_conn = 100\nunix_socket_dir =\n"
        )
        Path(directory).chmod(0o755)
        command = ["pgbouncer", *(["-u", "nobody"] if __import__("os").getuid() == 0 else []), str(configuration)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "process up" in line:
                    break
            yield f"postgresql://postgres@127.0.0.1:{port}/pooled"
        finally:
            process.terminate()
            process.communicate()


def connection_of(url: str) -> str:
    """`url` as pgbouncer wants it."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    words = {"host": parts.hostname, "port": parts.port, "dbname": parts.path[1:], "user": parts.username}
    words["password"] = parts.password
    return " ".join(f"{name}={value}" for name, value in words.items() if value)


@pgbouncer
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_through_pgbouncer_everything_works(mode: str) -> None:
    schema = new_schema()
    options: dict[str, Any] = {"pooler": "transaction"} if mode == "transaction" else {}
    try:
        with pooler(mode) as base:
            url = url_of(schema, base, **options)
            async with opened(url) as store, opened(url) as twin:
                twin.watch(lambda _: None)
                assert len((await store.lease("smoker", 0, MINUTE)).epochs) == 256
                assert (await twin.lease("other", 0, MINUTE)).peers == 1
                await smoke(store)
                await store.release("smoker", range(128))
                assert len((await twin.lease("other", 0, MINUTE)).epochs) == 128
                await twin.release("other")
                assert (await store.lease("smoker", 0, MINUTE)).peers == 0
                await smoke(store, "again")
                assert await holds_a_lock(schema) is (mode == "session")
    finally:
        drop(schema)


async def holds_a_lock(schema: str) -> bool:
    """Does the only member of this deployment hold a lock with its session?"""
    async with connected() as admin:
        held = await admin.fetchval(
            f'SELECT session IN (SELECT classid::bigint << 32 | objid::bigint FROM pg_locks) FROM "{schema}".members'
        )
    return bool(held)
