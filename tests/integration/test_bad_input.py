"""Whatever is wrong with what comes in, the answer is a clear error, and nothing that was there before is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tenuto import activity, workflow
from tenuto.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from tenuto.model.errors import PayloadError, RPCError, RPCStatusCode, StoreFormatError, StoreFullError
from tenuto.model.limits import Limits
from tenuto.store.sqlite import SqliteStore
from tenuto.worker import Worker
from tests.support.history_checker import check_history

ONCE = RetryPolicy(maximum_attempts=1)


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@activity.defn
async def give(what: str) -> Any:
    return object() if what == "object" else what * 100_000


@workflow.defn
class Doubler:
    """Adds what it is sent until it is closed, and doubles the sum with an activity."""

    def __init__(self) -> None:
        self.total = 0
        self.closed = False

    @workflow.run
    async def run(self, first: int) -> int:
        self.total += first
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return await workflow.execute_activity(double, self.total)

    @workflow.signal
    def add(self, number: int) -> None:
        self.total += number

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.update
    async def put(self, number: int) -> int:
        self.total += number
        return self.total

    @workflow.query
    def sum(self) -> int:
        return self.total

    @workflow.query
    def odd(self) -> Any:
        return object()


@workflow.defn
class Calls:
    """Calls an activity by name with whatever it is given."""

    @workflow.run
    async def run(self, name: str, arguments: list[Any]) -> Any:
        return await workflow.execute_activity(name, args=arguments, retry_policy=ONCE)


@workflow.defn
class Returns:
    @workflow.run
    async def run(self) -> Any:
        return object()


@asynccontextmanager
async def serving(url: str, **options: Any) -> AsyncIterator[Client]:
    async with (
        await Client.connect(url, **options) as client,
        Worker(client, workflows=[Doubler, Calls, Returns], activities=[double, give]),
    ):
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(f"memory://{uuid4()}") as client:
        yield client


@pytest.fixture
async def handle(client: Client) -> AsyncIterator[WorkflowHandle[Any]]:
    """A workflow that goes on whatever a test does to it, as its result shows in the end."""
    handle = await client.start_workflow(Doubler.run, 1, id="it")
    yield handle
    await handle.signal(Doubler.add, 10)
    await handle.signal(Doubler.close)
    assert await handle.result() == 22
    check_history((await handle.fetch_history()).events)


async def stuck(handle: WorkflowHandle[Any]) -> str:
    """What `describe` says is wrong, as soon as it says so."""
    while True:
        problem = (await handle.describe()).problem
        if problem is not None:
            return problem
        await asyncio.sleep(0)


# -- values that can't be stored ---------------------------------------------------------------------------------------


async def test_an_unserialisable_argument(client: Client) -> None:
    with pytest.raises(PayloadError, match="object, which can't be stored as JSON"):
        await client.start_workflow("Doubler", object(), id="never")
    await expect_none(client, "never")


@pytest.mark.parametrize("value", [float("nan"), {1: {2: object()}}, "\ud800", {(1, 2): 3}])
async def test_an_unserialisable_part_of_a_signal(handle: WorkflowHandle[Any], value: object) -> None:
    with pytest.raises(PayloadError):
        await handle.signal("add", value)


async def test_an_unserialisable_update_or_query(handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(PayloadError):
        await handle.execute_update("put", object())
    with pytest.raises(PayloadError):
        await handle.query("sum", object())


async def test_an_unserialisable_answer_of_a_query(handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(WorkflowQueryFailedError, match="object, which can't be stored"):
        await handle.query(Doubler.odd)


async def test_an_unserialisable_result_of_an_activity_fails_it_at_once(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(Calls.run, args=["give", ["object"]], id="it")
    assert isinstance(failed.value.cause, ActivityError)
    assert "can't be stored as JSON" in str(failed.value.cause.cause)


async def test_an_unserialisable_result_of_a_workflow_stops_it_visibly(client: Client) -> None:
    handle = await client.start_workflow(Returns.run, id="it")
    assert "can't be stored as JSON" in await stuck(handle)
    await handle.terminate()


# -- too large ---------------------------------------------------------------------------------------------------------


async def test_oversized_payloads() -> None:
    limit = Limits(payload_size=50_000)
    large = "x" * 60_000
    async with serving(f"memory://{uuid4()}", limits=limit) as client:
        with pytest.raises((PayloadError, RPCError), match="50,000"):
            await client.start_workflow("Doubler", large, id="never")
        await expect_none(client, "never")
        handle = await client.start_workflow(Doubler.run, 1, id="it")
        with pytest.raises((PayloadError, RPCError), match="50,000"):
            await handle.signal("add", large)
        with pytest.raises((PayloadError, RPCError), match="50,000"):
            await handle.execute_update("put", large)
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(Calls.run, args=["give", ["x"]], id="gives")
        assert "50,000" in str(failed.value.cause.__cause__)
        assert await handle.query(Doubler.sum) == 1


async def test_arguments_that_are_too_large_together() -> None:
    """Each is allowed, all of them are not: the engine says so."""
    async with serving(f"memory://{uuid4()}", limits=Limits(payload_size=50_000)) as client:
        with pytest.raises(RPCError, match="at most 50,000") as refused:
            await client.start_workflow("Calls", args=["x" * 30_000, ["x" * 30_000]], id="never")
        assert refused.value.status is RPCStatusCode.INVALID_ARGUMENT
        await expect_none(client, "never")


async def test_two_megabytes_are_the_limit(client: Client) -> None:
    with pytest.raises(PayloadError, match="2,097,152"):
        await client.start_workflow("Doubler", "x" * 2_100_000, id="never")
    await expect_none(client, "never")


# -- unknown names -----------------------------------------------------------------------------------------------------


async def test_an_unknown_workflow_type_waits_visibly_for_its_code(client: Client) -> None:
    handle = await client.start_workflow("Nobody", id="it")
    problem = await stuck(handle)
    assert "'Nobody' is not registered" in problem
    assert "Calls, Doubler, Returns" in problem
    await handle.terminate()


async def test_an_unknown_activity_says_what_there_is(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(Calls.run, args=["nothing", []], id="it")
    assert "activity 'nothing' is not registered" in str(failed.value.cause.__cause__)
    assert "double, give" in str(failed.value.cause.__cause__)


async def test_an_unknown_signal_is_recorded_and_warned_of(
    handle: WorkflowHandle[Any], caplog: pytest.LogCaptureFixture
) -> None:
    await handle.signal("nothing", 1)
    assert await handle.query(Doubler.sum) == 1
    assert "signal 'nothing' has no handler" in caplog.text
    assert "add, close" in caplog.text


async def test_an_unknown_update_is_refused(handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(WorkflowUpdateFailedError, match=r"update 'nothing' has no handler.*put"):
        await handle.execute_update("nothing", 1)


async def test_an_unknown_query_is_refused(handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(WorkflowQueryFailedError, match=r"query 'nothing' has no handler.*sum"):
        await handle.query("nothing")


async def test_an_unknown_workflow_id(client: Client) -> None:
    nobody = client.get_workflow_handle("nobody")
    requests: list[Callable[[], Awaitable[Any]]] = [
        lambda: nobody.signal("add", 1),
        lambda: nobody.execute_update("put", 1),
        lambda: nobody.query("sum"),
        nobody.cancel,
        nobody.terminate,
        nobody.describe,
        nobody.fetch_history,
        nobody.result,
    ]
    for request in requests:
        with pytest.raises(RPCError, match="nobody") as refused:
            await request()
        assert refused.value.status is RPCStatusCode.NOT_FOUND


async def test_an_unknown_run_of_a_known_workflow(client: Client, handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(RPCError, match="no-such-run") as refused:
        await client.get_workflow_handle("it", run_id="no-such-run").signal("add", 1)
    assert refused.value.status is RPCStatusCode.NOT_FOUND


@pytest.mark.parametrize("id", ["", "x" * 1001])
async def test_an_id_that_is_empty_or_too_long(client: Client, id: str) -> None:
    with pytest.raises(RPCError, match="1 to 1000 characters") as refused:
        await client.start_workflow(Doubler.run, 1, id=id)
    assert refused.value.status is RPCStatusCode.INVALID_ARGUMENT


# -- wrong arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], [1, 2]])
async def test_a_wrong_number_of_arguments_is_refused_before_anything_happens(
    client: Client, arguments: list[int]
) -> None:
    with pytest.raises(TypeError, match="argument"):
        await client.start_workflow(Doubler.run, args=arguments, id="never")
    await expect_none(client, "never")


@pytest.mark.parametrize("arguments", [[], [1, 2], ["no number"]])
async def test_wrong_arguments_of_a_workflow_known_by_name_stop_it_visibly(
    client: Client, arguments: list[object]
) -> None:
    handle = await client.start_workflow("Doubler", args=arguments, id="it")
    assert "argument" in await stuck(handle) or "int" in await stuck(handle)
    await handle.terminate()


@pytest.mark.parametrize("arguments", [[], [1, 2], ["no number"]])
async def test_wrong_arguments_of_a_signal_are_warned_of(
    handle: WorkflowHandle[Any], arguments: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    await handle.signal("add", args=arguments)
    assert await handle.query(Doubler.sum) == 1
    assert "signal 'add' can't be delivered" in caplog.text


@pytest.mark.parametrize("arguments", [[], [1, 2], ["no number"]])
async def test_wrong_arguments_of_an_update_are_refused(handle: WorkflowHandle[Any], arguments: list[object]) -> None:
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("put", args=arguments)


@pytest.mark.parametrize("arguments", [[1], ["no number", 2]])
async def test_wrong_arguments_of_a_query_are_refused(handle: WorkflowHandle[Any], arguments: list[object]) -> None:
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query("sum", args=arguments)


@pytest.mark.parametrize("arguments", [[], [1, 2], ["no number"]])
async def test_wrong_arguments_of_an_activity_fail_it_at_once(client: Client, arguments: list[object]) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await client.execute_workflow(Calls.run, args=["double", arguments], id="it")
    assert isinstance(failed.value.cause, ActivityError)
    cause = failed.value.cause.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable


async def test_one_argument_and_several(client: Client) -> None:
    with pytest.raises(ValueError, match="not both"):
        await client.start_workflow(Doubler.run, 1, args=[1], id="never")


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_time_out_that_is_not_positive(client: Client, seconds: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        await client.start_workflow(Doubler.run, 1, id="never", run_timeout=seconds)
    await expect_none(client, "never")


# -- ids that are taken ------------------------------------------------------------------------------------------------


async def test_a_duplicate_id(client: Client, handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(WorkflowAlreadyStartedError) as refused:
        await client.start_workflow(Doubler.run, 2, id="it")
    assert (refused.value.workflow_id, refused.value.run_id) == ("it", handle.result_run_id)


async def test_many_starts_of_one_id_at_once(client: Client) -> None:
    answers = await asyncio.gather(
        *(client.start_workflow(Doubler.run, number, id="it") for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, WorkflowHandle) for answer in answers) == 1
    assert sum(isinstance(answer, WorkflowAlreadyStartedError) for answer in answers) == 19


# -- files -------------------------------------------------------------------------------------------------------------


def write_text(path: Path) -> None:
    path.write_text("Dear diary, this is no database, but it is longer than a header. " * 20)


def write_foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (entry TEXT)")
    connection.close()


def write_newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {int.from_bytes(b'Tnto')}")
    connection.execute("PRAGMA user_version = 9999")
    connection.execute("CREATE TABLE future (it TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (write_text, "not a Tenuto database"),
        (write_foreign, "another application"),
        (write_newer, "schema version 9999.*Upgrade Tenuto"),
    ],
    ids=["corrupted", "foreign", "newer"],
)
async def test_a_file_that_can_not_be_used_is_named_and_left_alone(
    tmp_path: Path, write: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "it.db"
    write(path)
    before = path.read_bytes()
    with pytest.raises(StoreFormatError, match=rf"it\.db.*{said}|{said}"):
        await Client.connect(f"sqlite:///{path}")
    assert path.read_bytes() == before


async def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "it.db"
    async with serving(f"sqlite:///{path}") as client:
        await client.start_workflow(Doubler.run, 1, id="it")
    damaged = bytearray(path.read_bytes())
    damaged[100:4096] = b"\xff" * 3996
    path.write_bytes(damaged)
    with pytest.raises(StoreFormatError, match=r"it\.db is damaged"):
        await Client.connect(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["orders.db", "sqlite://orders.db", "mysql://x", "sqlite:///x.db?synchronous=OFF", ""])
async def test_a_url_that_names_no_store(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///|Allowed"):
        await Client.connect(url)


# -- a full disk -------------------------------------------------------------------------------------------------------


def _limit_pages(connection: sqlite3.Connection, pages: int) -> None:
    connection.execute(f"PRAGMA max_page_count = {pages}")


async def limit_pages(client: Client, pages: int) -> None:
    """As if the disk had room for no more than so many pages."""
    store = client.gateway.store
    assert isinstance(store, SqliteStore)
    await store._writer.submit(_limit_pages, pages)


async def test_a_full_disk_refuses_what_is_new_and_loses_nothing(tmp_path: Path) -> None:
    async with serving(f"sqlite:///{tmp_path / 'it.db'}") as client:
        handle = await client.start_workflow(Doubler.run, 1, id="it")
        await limit_pages(client, 1)
        taken = 0
        with pytest.raises(StoreFullError, match=r"No room left.*it\.db"):
            while True:
                await client.start_workflow("Doubler", "x" * 100_000, id=f"large {taken}", task_queue="nobody's")
                taken += 1
        await limit_pages(client, 1_000_000)
        # No restart is needed, and what was refused can be done now.
        await client.start_workflow("Doubler", "x" * 100_000, id=f"large {taken}", task_queue="nobody's")
        await handle.signal(Doubler.add, 10)
        await handle.signal(Doubler.close)
        assert await handle.result() == 22
        check_history((await handle.fetch_history()).events)
        assert (await client.count_workflows()).count == taken + 2


async def test_work_that_met_a_full_disk_goes_on_once_there_is_room(tmp_path: Path) -> None:
    """The activity runs and can't record its result; it is recorded later, without running again."""
    ran = 0

    @activity.defn(name="give")
    async def produce(what: str) -> str:
        nonlocal ran
        ran += 1
        if ran == 1:
            await limit_pages(client, 1)
            asyncio.get_running_loop().call_later(0.3, room.set)
        return what * 200_000

    room = asyncio.Event()
    async with (
        await Client.connect(f"sqlite:///{tmp_path / 'it.db'}") as client,
        Worker(client, workflows=[Calls], activities=[produce]),
    ):
        handle = await client.start_workflow(Calls.run, args=["give", ["x"]], id="it")
        await room.wait()
        await limit_pages(client, 1_000_000)
        assert await handle.result() == "x" * 200_000
    assert ran == 1


async def expect_none(client: Client, id: str) -> None:
    with pytest.raises(RPCError) as refused:
        await client.get_workflow_handle(id).describe()
    assert refused.value.status is RPCStatusCode.NOT_FOUND
