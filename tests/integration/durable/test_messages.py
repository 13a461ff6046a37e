"""Signals, queries and updates: what reaches the code, when, what is refused, and what is remembered."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from tenuto.common import QueryRejectCondition, WorkflowIDConflictPolicy
from tenuto.exceptions import ApplicationError
from tenuto.service import RPCError, RPCStatusCode
from tenuto.worker import Worker
from tests.support.durable import TASK, an_id, failure_of, serving, shape


@activity.defn
async def echo(what: str) -> str:
    return what


@workflow.defn
class Cart:
    """Keeps items until it is told to check out."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.out = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.out)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.items

    @workflow.signal
    def add(self, item: str, times: int = 1) -> None:
        self.items += [item] * times

    @workflow.signal
    async def add_slowly(self, item: str) -> None:
        self.items.append(await echo(item))

    @workflow.signal(name="check-out")
    def check_out(self) -> None:
        self.out = True

    @workflow.query
    def contents(self) -> list[str]:
        return self.items

    @workflow.query
    def nth(self, number: int) -> str:
        return self.items[number]

    @workflow.query(name="how-many")
    def count(self) -> int:
        return len(self.items)

    @workflow.query
    def meddles(self) -> None:
        workflow.random()

    @workflow.update
    def put(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)

    @put.validator
    def check(self, item: str) -> None:
        if not item:
            raise ValueError("an item needs a name")

    @workflow.update(name="put-slowly")
    async def put_slowly(self, item: str) -> int:
        self.items.append(await echo(item))
        return len(self.items)

    @workflow.update
    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise ApplicationError("the update fails", type="Sad")

    @workflow.update
    async def wait(self) -> str:
        await workflow.wait_condition(lambda: self.out)
        return "waited"

    @workflow.update
    def careless(self, items: list[str]) -> list[str]:
        return items

    @careless.validator
    def meddle(self, items: list[str]) -> None:
        items.append("from the validator")


async def _started(client: Client, **options: Any) -> WorkflowHandle[Any]:
    return await client.start_workflow(Cart.run, id=an_id(), **options)


# -- signals ---------------------------------------------------------------------------------------------------------


async def test_signals_are_delivered_in_order_and_on_record_when_the_sender_goes_on() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        for item in "abc":
            await handle.signal(Cart.add, item)
        assert (await shape(handle)).count("Signaled") == 3
        await handle.signal("add", args=["d", 2])
        await handle.signal("check-out")
        assert await handle.result() == ["a", "b", "c", "d", "d"]


async def test_async_handlers_run_beside_the_workflow_which_can_wait_for_them() -> None:
    async with serving(Cart, activities=[echo]) as client:
        handle = await _started(client)
        await handle.signal(Cart.add_slowly, "slow")
        await handle.signal(Cart.add, "fast")
        await handle.signal(Cart.check_out)
        assert await handle.result() == ["fast", "slow"]


async def test_a_signal_sent_twice_with_one_request_id_is_one_signal() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        for _ in range(2):
            await handle.signal(Cart.add, "once", request_id="r")
        await handle.signal(Cart.check_out)
        assert await handle.result() == ["once"]


async def test_a_signal_with_the_start_is_the_first_thing_that_the_code_sees() -> None:
    async with serving(Cart) as client:
        handle = await _started(client, start_signal=Cart.add, start_signal_args=["first", 2])
        assert await handle.query(Cart.contents) == ["first", "first"]


async def test_a_start_with_a_signal_signals_the_run_that_is_there_already() -> None:
    async with serving(Cart) as client:
        first = await _started(client)
        for policy in (WorkflowIDConflictPolicy.UNSPECIFIED, WorkflowIDConflictPolicy.USE_EXISTING):
            again = await client.start_workflow(
                Cart.run, id=first.id, start_signal="add", start_signal_args=["more"], id_conflict_policy=policy
            )
            assert again.result_run_id == first.result_run_id
        await first.signal(Cart.check_out)
        assert await first.result() == ["more", "more"]
        again = await client.start_workflow(Cart.run, id=first.id, start_signal="check-out")
        assert again.result_run_id != first.result_run_id
        assert await again.result() == []


@workflow.defn
class Initialised:
    @workflow.init
    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.order = ["init"]

    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        self.order.append("run")
        await workflow.wait_condition(lambda: len(self.names) > 2)
        return self.order

    @workflow.signal
    def add(self, name: str) -> None:
        self.names.append(name)
        self.order.append(f"signal {name}")

    @workflow.update
    def add_and_tell(self, name: str) -> list[str]:
        self.add(name)
        return self.names


async def test_handlers_of_what_came_before_the_first_task_run_before_run_and_find_the_object_initialised() -> None:
    async with await Client.connect("memory://") as client:
        handle = await client.start_workflow(
            Initialised.run, ["given"], id=an_id(), start_signal=Initialised.add, start_signal_args=["a"]
        )
        await handle.signal(Initialised.add, "b")
        async with Worker(client, workflows=[Initialised]):
            assert await handle.result() == ["init", "signal a", "signal b", "run"]


async def test_an_unknown_signal_is_kept_and_told_of_and_code_that_knows_it_gets_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Deaf, url=url) as client:
        handle = await client.start_workflow("Listens", id="w")
        with caplog.at_level(logging.WARNING, "tenuto.workflow"):
            await handle.signal("hear", "something")
            assert await handle.query("heard") == []
        assert "'hear'" in caplog.text
        assert "known signals: stop" in caplog.text
    async with serving(Hearing, url=url) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.query("heard") == ["something"]
        await handle.signal("stop")
        assert await handle.result() == ["something"]


@workflow.defn(name="Listens")
class Deaf:
    def __init__(self) -> None:
        self.heard_it: list[str] = []
        self.stopped = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.stopped)
        return self.heard_it

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True

    @workflow.query
    def heard(self) -> list[str]:
        return self.heard_it


@workflow.defn(name="Listens")
class Hearing(Deaf):
    @workflow.run
    async def run(self) -> list[str]:
        return await super().run()

    @workflow.signal
    def hear(self, what: str) -> None:
        self.heard_it.append(what)


@pytest.mark.parametrize("args", [[], ["a", 1, "too many"], [["not", "a", "string"]]])
async def test_a_signal_with_wrong_arguments_is_told_of_and_poisons_nothing(
    args: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        with caplog.at_level(logging.WARNING, "tenuto.workflow"):
            await handle.signal("add", args=args)
            assert await handle.query(Cart.contents) == []
        assert "'add'" in caplog.text
        await handle.signal(Cart.check_out)
        assert await handle.result() == []


@workflow.defn
class Fragile:
    def __init__(self) -> None:
        self.stopped = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.stopped)
        return "stopped"

    @workflow.signal
    def hurt(self) -> None:
        raise ApplicationError("hurt", type="Sad")


async def test_a_failure_in_a_signal_handler_fails_the_workflow() -> None:
    async with serving(Fragile) as client:
        handle = await client.start_workflow(Fragile.run, id=an_id())
        await handle.signal(Fragile.hurt)
        error = await failure_of(handle.result())
        assert isinstance(error, ApplicationError)
        assert error.type == "Sad"


async def test_a_signal_to_a_closed_or_unknown_workflow_is_refused() -> None:
    async with serving(Cart) as client:
        handle = await _started(client, start_signal="check-out")
        await handle.result()
        for target in (handle, client.get_workflow_handle("nobody")):
            with pytest.raises(RPCError) as caught:
                await target.signal(Cart.add, "late")
            assert caught.value.status is RPCStatusCode.NOT_FOUND
            assert target.id in str(caught.value)


async def test_a_handle_of_one_run_does_not_reach_another() -> None:
    async with serving(Cart) as client:
        first = await _started(client, start_signal="check-out")
        await first.result()
        await client.start_workflow(Cart.run, id=first.id)
        with pytest.raises(RPCError) as caught:
            await client.get_workflow_handle(first.id, run_id=first.result_run_id).signal(Cart.add, "x")
        assert caught.value.status is RPCStatusCode.NOT_FOUND
        with pytest.raises(RPCError):
            await first.cancel()


async def test_only_a_method_of_the_right_kind_can_be_named_by_itself() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        with pytest.raises(TypeError, match=r"@workflow\.signal"):
            await handle.signal(Cart.contents)
        with pytest.raises(TypeError, match=r"@workflow\.query"):
            await handle.query(Cart.add)
        with pytest.raises(TypeError, match=r"@workflow\.update"):
            await handle.execute_update(Cart.add)


# -- queries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [1000, 0])
async def test_a_query_reads_the_state_and_leaves_nothing(cached: int) -> None:
    async with serving(Cart, max_cached_workflows=cached) as client:
        handle = await _started(client, start_signal=Cart.add, start_signal_args=["a"])
        before = await shape(handle)
        assert await handle.query(Cart.contents) == ["a"]
        assert await handle.query(Cart.nth, 0) == "a"
        assert await handle.query("how-many") == 1
        assert await shape(handle) in (before, ["Started", "Signaled", *TASK])
        assert await shape(handle) == ["Started", "Signaled", *TASK]


async def test_a_query_that_raises_fails_for_its_caller_only() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        with pytest.raises(WorkflowQueryFailedError, match="list index"):
            await handle.query(Cart.nth, 7)
        with pytest.raises(WorkflowQueryFailedError, match="known queries: contents, how-many"):
            await handle.query("contnets")
        with pytest.raises(WorkflowQueryFailedError, match="random"):
            await handle.query(Cart.meddles)
        with pytest.raises(WorkflowQueryFailedError):
            await handle.query("nth")
        with pytest.raises(WorkflowQueryFailedError):
            await handle.query("nth", "zero")
        await handle.signal(Cart.check_out)
        assert await handle.result() == []


async def test_a_closed_run_can_be_queried_unless_the_caller_does_not_want_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Cart, url=url) as client:
        handle = await client.start_workflow(Cart.run, id="w", start_signal=Cart.add, start_signal_args=["a"])
        assert await handle.query(Cart.contents, reject_condition=QueryRejectCondition.NOT_OPEN) == ["a"]
        await handle.signal(Cart.check_out)
        await handle.result()
        assert await handle.query(Cart.contents) == ["a"]
    async with serving(Cart, url=url) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.query(Cart.contents) == ["a"]
        kind = QueryRejectCondition.NOT_COMPLETED_CLEANLY
        assert await handle.query(Cart.contents, reject_condition=kind) == ["a"]
        with pytest.raises(WorkflowQueryRejectedError) as caught:
            await handle.query(Cart.contents, reject_condition=QueryRejectCondition.NOT_OPEN)
        assert caught.value.status.name == "COMPLETED"
        terminated = await _started(client)
        await terminated.terminate()
        with pytest.raises(WorkflowQueryRejectedError) as caught:
            await terminated.query(Cart.contents, reject_condition=kind)
        assert caught.value.status.name == "TERMINATED"


async def test_a_client_can_have_a_reject_condition_of_its_own() -> None:
    condition = {"default_workflow_query_reject_condition": QueryRejectCondition.NOT_OPEN}
    async with serving(Cart, connect=condition) as client:
        handle = await _started(client, start_signal="check-out")
        await handle.result()
        with pytest.raises(WorkflowQueryRejectedError):
            await handle.query(Cart.contents)
        assert await handle.query(Cart.contents, reject_condition=QueryRejectCondition.NONE) == []


async def test_a_query_to_nobody_and_one_without_a_worker_say_so() -> None:
    async with serving(Cart) as client:
        with pytest.raises(RPCError) as caught:
            await client.get_workflow_handle("nobody").query("contents")
        assert caught.value.status is RPCStatusCode.NOT_FOUND
        handle = await _started(client, task_queue="nobody serves this")
        with pytest.raises(RPCError, match="nobody serves this") as caught:
            await handle.query(Cart.contents, rpc_timeout=1.0)
        assert caught.value.status is RPCStatusCode.UNAVAILABLE


# -- updates ---------------------------------------------------------------------------------------------------------


async def test_an_update_changes_and_answers() -> None:
    async with serving(Cart, activities=[echo]) as client:
        handle = await _started(client)
        assert await handle.execute_update(Cart.put, "a") == 1
        assert await handle.execute_update("put-slowly", "b") == 2
        assert await handle.query(Cart.contents) == ["a", "b"]


@pytest.mark.parametrize(
    ("update", "args", "why"),
    [
        ("put", [""], "an item needs a name"),
        ("put", [], "put"),
        ("put", ["a", "b"], "put"),
        ("put", [["a"]], "str"),
        ("poot", ["a"], "known updates: careless, fail, put"),
    ],
)
async def test_a_refused_update_leaves_no_trace(update: str, args: list[Any], why: str) -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        await handle.query(Cart.contents)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update(update, args=args, id="u")
        assert why in str(caught.value.cause)
        assert await shape(handle) == ["Started", *TASK]
        with pytest.raises(RPCError) as gone:
            await handle.get_update_handle("u").result()
        assert gone.value.status is RPCStatusCode.NOT_FOUND
        # The id was never used, so it is free.
        assert await handle.execute_update(Cart.put, "good", id="u") == 1


async def test_a_validator_cannot_change_what_the_handler_gets() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        assert await handle.execute_update(Cart.careless, ["given"]) == ["given"]


async def test_an_update_that_fails_fails_for_its_caller_only() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update(Cart.fail)
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "Sad"
        await handle.signal(Cart.check_out)
        assert await handle.result() == []


async def test_an_update_with_the_same_id_is_the_same_update() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        for _ in range(2):
            assert await handle.execute_update(Cart.put, "a", id="u") == 1
        outcomes = await asyncio.gather(*(handle.execute_update(Cart.put, "b", id="v") for _ in range(5)))
        assert outcomes == [2] * 5
        for _ in range(2):
            with pytest.raises(WorkflowUpdateFailedError, match="the update fails"):
                await handle.execute_update(Cart.fail, id="f")
        await handle.signal(Cart.check_out)
        assert await handle.result() == ["a", "b"]
        assert await handle.execute_update(Cart.put, "a", id="u") == 1


async def test_an_update_can_be_started_and_its_result_fetched_later_even_after_the_close(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Cart, url=url) as client:
        handle = await client.start_workflow(Cart.run, id="w")
        update = await handle.start_update(Cart.wait, wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="u")
        assert (update.id, update.workflow_id, update.workflow_run_id) == ("u", "w", handle.result_run_id)
        assert "UpdateAccepted" in await shape(handle)
        later = asyncio.create_task(handle.get_update_handle("u").result())
        await asyncio.sleep(0)
        await handle.signal(Cart.check_out)
        assert await update.result() == await later == "waited"
        await handle.result()
        assert await handle.get_update_handle("u").result() == "waited"
    async with serving(Cart, url=url) as client:
        assert await client.get_workflow_handle("w").get_update_handle("u").result() == "waited"


async def test_an_accepted_update_goes_on_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Cart, url=url) as client:
        handle = await client.start_workflow(Cart.run, id="w")
        await handle.start_update(Cart.wait, id="u")
    async with serving(Cart, url=url) as client:
        handle = client.get_workflow_handle("w")
        result = asyncio.create_task(handle.get_update_handle("u").result())
        await handle.signal(Cart.check_out)
        assert await result == "waited"


async def test_waiting_for_completion_waits_and_admitted_is_no_stage_to_wait_for() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        update = await handle.start_update(Cart.put, "a", wait_for_stage=WorkflowUpdateStage.COMPLETED)
        assert await update.result() == 1
        with pytest.raises(ValueError, match="ACCEPTED"):
            await handle.start_update(Cart.put, "a", wait_for_stage=WorkflowUpdateStage.ADMITTED)


async def test_a_caller_who_does_not_wait_long_enough_is_told_so_and_the_update_goes_on() -> None:
    async with serving(Cart) as client:
        handle = await _started(client)
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await handle.execute_update(Cart.wait, id="u", rpc_timeout=0.02)
        await handle.signal(Cart.check_out)
        assert await handle.get_update_handle("u").result() == "waited"


@workflow.defn
class Hasty:
    def __init__(self) -> None:
        self.stopped = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.stopped)
        return "without waiting for its handlers"

    @workflow.update
    async def hang(self) -> None:
        await asyncio.Event().wait()

    @workflow.update
    def stop(self) -> str:
        self.stopped = True
        return "stopping"


async def test_an_update_cut_off_by_the_end_says_so() -> None:
    async with serving(Hasty) as client:
        handle = await client.start_workflow(Hasty.run, id=an_id())
        waiting = await handle.start_update(Hasty.hang)
        assert await handle.execute_update(Hasty.stop) == "stopping"
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await waiting.result()
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "AcceptedUpdateCompletedWorkflow"
        assert await handle.result() == "without waiting for its handlers"


async def test_an_update_to_a_closed_or_unknown_workflow_is_refused() -> None:
    async with serving(Cart) as client:
        handle = await _started(client, start_signal="check-out")
        await handle.result()
        for target in (handle, client.get_workflow_handle("nobody")):
            with pytest.raises(RPCError) as caught:
                await target.execute_update(Cart.put, "late")
            assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_an_update_without_a_worker_waits_for_one() -> None:
    async with await Client.connect("memory://") as client:
        handle = await client.start_workflow(Cart.run, id=an_id())
        asking = asyncio.create_task(handle.execute_update(Cart.put, "a"))
        await asyncio.sleep(0.01)
        assert not asking.done()
        async with Worker(client, workflows=[Cart]):
            assert await asking == 1


async def test_updates_before_the_first_task_run_before_run() -> None:
    async with serving(Initialised) as client:
        handle = await client.start_workflow(Initialised.run, ["given"], id=an_id())
        assert await handle.execute_update(Initialised.add_and_tell, "u") in (["given", "u"],)
        await handle.signal(Initialised.add, "s")
        assert sorted(await handle.result()) == ["init", "run", "signal s", "signal u"]


async def test_a_bug_in_an_update_handler_stops_the_workflow_and_not_the_update() -> None:
    async with serving(Buggy) as client:
        handle = await client.start_workflow(Buggy.run, id=an_id())
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await handle.execute_update(Buggy.bug, rpc_timeout=0.05)
        description = await handle.describe()
        assert "KeyError" in (description.problem or "")
        assert description.status.name == "RUNNING"


@workflow.defn
class Buggy:
    @workflow.run
    async def run(self) -> None:
        await asyncio.Event().wait()

    @workflow.update
    def bug(self) -> None:
        raise KeyError("bug")


# -- messages while the run is ending --------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [1000, 0])
async def test_no_signal_that_was_acknowledged_is_missing_from_the_result(cached: int) -> None:
    """Many senders race with the end: each signal is either refused, or its effect is in the result."""
    async with serving(Racer, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Racer.run, id=an_id())
        taken: list[int] = []

        async def send(number: int) -> None:
            try:
                await handle.signal(Racer.add, number)
            except RPCError:
                return
            taken.append(number)

        await asyncio.gather(*(send(number) for number in range(50)))
        assert sorted(await handle.result()) == sorted(taken)


@workflow.defn
class Racer:
    def __init__(self) -> None:
        self.numbers: list[int] = []

    @workflow.run
    async def run(self) -> list[int]:
        await workflow.wait_condition(lambda: len(self.numbers) > 5)
        return self.numbers

    @workflow.signal
    def add(self, number: int) -> None:
        self.numbers.append(number)
