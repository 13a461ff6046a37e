"""Any sequence of client operations, crashes and time, against a model of a few lines.

Every operation is repeated until it is acknowledged, with the same request id, as a careful client does; so whatever
breaks in between, what must hold afterwards is exactly known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError, WorkflowHandle
from tenuto.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from tenuto.exceptions import WorkflowAlreadyStartedError
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.model.policies import ExecutionStatus
from tenuto.store.urls import open_store
from tenuto.testing.faults import FaultyStore, ProcessDiedError
from tenuto.worker import Worker
from tests.support.world import Ledger, World

LIFETIME = 100.0
IDS = st.sampled_from(["one", "two"])
FAULTS = st.sampled_from(["", "", "", "fail", "fail after", "die", "die after"])
Reuse = WorkflowIDReusePolicy
Conflict = WorkflowIDConflictPolicy


@workflow.defn
class Entity:
    """Keeps values until it is told to finish, is stopped, or its time is over."""

    @workflow.init
    def __init__(self, values: list[int]) -> None:
        self.kept = list(values)
        self.wish = ""

    @workflow.run
    async def run(self, values: list[int]) -> list[int]:
        try:
            await workflow.wait_condition(lambda: bool(self.wish), timeout=LIFETIME)
        except TimeoutError:
            return self.kept
        except asyncio.CancelledError:
            await workflow.execute_activity("note", "cleaned up")
            raise
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self.wish == "renew":
            workflow.continue_as_new(self.kept)
        return self.kept

    @workflow.signal
    def keep(self, value: int) -> None:
        self.kept.append(value)

    @workflow.signal
    def become(self, wish: str) -> None:
        self.wish = wish

    @workflow.update
    async def keep_noted(self, value: int) -> int:
        await workflow.execute_activity("note", f"kept {value}")
        self.kept.append(value)
        return len(self.kept)

    @workflow.query
    def values(self) -> list[int]:
        return self.kept


class Model:
    """What is known of one workflow id."""

    def __init__(self, status: ExecutionStatus, ends: int) -> None:
        self.status = status
        self.ends = ends
        self.values: list[int] = []

    @property
    def open(self) -> bool:
        return self.status is ExecutionStatus.RUNNING


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.models: dict[str, Model] = {}
        self.notes: list[str] = []
        self.count = 0
        self.world = World(f"memory://{uuid4()}", [Entity], [note_in(Ledger())])
        self.world.activities = [note_in(self.world.ledger)]
        self.cache = 1000
        self.slow = 0

    # -- the process under test ----------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    async def up(self) -> None:
        self.stack = AsyncExitStack()
        self.store = FaultyStore(open_store(self.world.url))
        self.store.slow = self.slow
        self.client: Client = await self.stack.enter_async_context(self.world.client(self.store))
        worker = Worker(
            self.client,
            workflows=[Entity],
            activities=self.world.activities,
            max_cached_workflows=self.cache,
        )
        await self.stack.enter_async_context(worker)

    async def down(self) -> None:
        with suppress(ProcessDiedError, asyncio.CancelledError):
            await self.stack.aclose()

    async def insist(self, request: Callable[[], Awaitable[Any]], *, closes: bool = False) -> Any:
        """Repeat `request` until it is answered. One that closes the workflow may have done so without an answer."""
        unsure = False
        while True:
            try:
                return await request()
            except (StoreError, ProcessDiedError):
                unsure = True
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND and unsure and closes:
                    return None
                if error.status is not RPCStatusCode.UNAVAILABLE:
                    raise
                unsure = True
            if self.store.dead:
                await self.down()
                await self.up()
            await asyncio.sleep(0)

    def inject(self, fault: str) -> None:
        kind, _, after = fault.partition(" ")
        if kind == "fail":
            self.store.fail_next("commit", after=bool(after))
        elif kind == "die":
            self.store.die("commit", self.store.calls["commit"] + 1, after=bool(after))

    def handle(self, id: str) -> WorkflowHandle[Any]:
        return self.client.get_workflow_handle(id)

    def number(self) -> int:
        self.count += 1
        return self.count

    async def gone(self, request: Callable[[], Awaitable[Any]]) -> None:
        """`request` is refused, because there is no such open workflow."""
        with pytest.raises(RPCError) as refused:
            await self.insist(request)
        assert refused.value.status is RPCStatusCode.NOT_FOUND

    async def ended(self, id: str, status: ExecutionStatus) -> None:
        model = self.models[id]
        model.status = status
        if status is ExecutionStatus.COMPLETED:
            assert await self.insist(lambda: self.handle(id).result()) == model.values
        else:
            with pytest.raises(WorkflowFailureError):
                await self.insist(lambda: self.handle(id).result())

    # -- rules ---------------------------------------------------------------------------------------------------------

    @initialize(cache=st.sampled_from([0, 1000]), slow=st.sampled_from([0, 3]))
    def begin(self, cache: int, slow: int) -> None:
        self.cache, self.slow = cache, slow
        self.run(self.up())

    @rule(id=IDS, fault=FAULTS, reuse=st.sampled_from(list(Reuse)), conflict=st.sampled_from(list(Conflict)))
    def start(self, id: str, fault: str, reuse: Reuse, conflict: Conflict) -> None:
        self.inject(fault)
        self.run(self._start(id, reuse, conflict, f"start {self.number()}"))

    async def _start(self, id: str, reuse: Reuse, conflict: Conflict, request: str) -> None:
        model = self.models.get(id)
        begins = True
        if model is not None and model.open:
            replaces = conflict is Conflict.TERMINATE_EXISTING or reuse is Reuse.TERMINATE_IF_RUNNING
            begins = replaces
            refused = not replaces and conflict is not Conflict.USE_EXISTING
        else:
            refused = model is not None and (
                reuse is Reuse.REJECT_DUPLICATE
                or (reuse is Reuse.ALLOW_DUPLICATE_FAILED_ONLY and model.status is ExecutionStatus.COMPLETED)
            )

        def start() -> Awaitable[Any]:
            return self.client.start_workflow(
                Entity.run,
                [],
                id=id,
                request_id=request,
                id_reuse_policy=reuse,
                id_conflict_policy=conflict,
            )

        if refused:
            with pytest.raises(WorkflowAlreadyStartedError):
                await self.insist(start)
            return
        await self.insist(start)
        if begins:
            self.models[id] = Model(ExecutionStatus.RUNNING, self.world.clock.now() + round(LIFETIME * 1e9))

    @rule(id=IDS, fault=FAULTS)
    def signal(self, id: str, fault: str) -> None:
        self.inject(fault)
        value, model = self.number(), self.models.get(id)

        def send() -> Awaitable[Any]:
            return self.handle(id).signal("keep", value, request_id=f"signal {value}")

        if model is None or not model.open:
            self.run(self.gone(send))
            return
        self.run(self.insist(send))
        model.values.append(value)

    @rule(id=IDS, fault=FAULTS)
    def update(self, id: str, fault: str) -> None:
        self.inject(fault)
        value, model = self.number(), self.models.get(id)

        def send() -> Awaitable[Any]:
            return self.handle(id).execute_update("keep_noted", value, id=f"update {value}")

        if model is None or not model.open:
            self.run(self.gone(send))
            return
        model.values.append(value)
        self.notes.append(f"kept {value}")
        assert self.run(self.insist(send)) == len(model.values)

    @rule(id=IDS, fault=FAULTS)
    def finish(self, id: str, fault: str) -> None:
        if id in self.models and self.models[id].open:
            self.inject(fault)
            self.run(self.insist(lambda: self.handle(id).signal("become", "done", request_id="done"), closes=True))
            self.run(self.ended(id, ExecutionStatus.COMPLETED))

    @rule(id=IDS, fault=FAULTS)
    def renew(self, id: str, fault: str) -> None:
        if id in self.models and self.models[id].open:
            self.inject(fault)
            number = self.number()
            self.run(self.insist(lambda: self.handle(id).signal("become", "renew", request_id=f"renew {number}")))
            self.models[id].ends = self.world.clock.now() + round(LIFETIME * 1e9)

    @rule(id=IDS, fault=FAULTS)
    def cancel(self, id: str, fault: str) -> None:
        self.inject(fault)
        if id in self.models and self.models[id].open:
            self.run(self.insist(lambda: self.handle(id).cancel(), closes=True))
            self.run(self.ended(id, ExecutionStatus.CANCELED))
            self.notes.append("cleaned up")
        else:
            self.run(self.gone(lambda: self.handle(id).cancel()))

    @rule(id=IDS, fault=FAULTS)
    def terminate(self, id: str, fault: str) -> None:
        self.inject(fault)
        if id in self.models and self.models[id].open:
            self.run(self.insist(lambda: self.handle(id).terminate(reason="enough"), closes=True))
            self.run(self.ended(id, ExecutionStatus.TERMINATED))
        else:
            self.run(self.gone(lambda: self.handle(id).terminate()))

    @rule(id=IDS, faults=st.tuples(FAULTS, FAULTS, FAULTS), seconds=st.sampled_from([20.0, 101.0]), crash=st.booleans())
    def pause(self, id: str, faults: tuple[str, str, str], seconds: float, crash: bool) -> None:
        """Time passes it by; what is sent to it is seen when it goes on."""
        self.look()  # all that is open has set its clock
        model, value = self.models.get(id), self.number()
        self.inject(faults[0])
        if model is None or not model.open:
            self.run(self.gone(lambda: self.handle(id).pause()))
            return
        self.run(self.insist(lambda: self.handle(id).pause("for a while")))
        self.inject(faults[1])
        self.run(self.insist(lambda: self.handle(id).signal("keep", value, request_id=f"signal {value}")))
        model.ends += round(seconds * 1e9)
        if crash:
            self.crash(0)
        self.pass_time(seconds)
        assert self.run(self.insist(lambda: self.handle(id).describe())).paused
        self.inject(faults[2])
        self.run(self.insist(lambda: self.handle(id).unpause()))
        model.values.append(value)

    @rule(turns=st.integers(0, 30))
    def crash(self, turns: int) -> None:
        """At any moment: also in the midst of what the operation before has left to do."""

        async def crash() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            self.store.kill()
            await self.down()
            await self.up()

        self.run(crash())

    @rule(seconds=st.sampled_from([0.5, 20.0, 60.0, 101.0, 86400.0]))
    def wait(self, seconds: float) -> None:
        self.look()  # all that is open has set its clock
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        for id, model in self.models.items():
            if model.open and self.world.clock.now() >= model.ends:
                self.run(self.ended(id, ExecutionStatus.COMPLETED))

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        for id, model in self.models.items():
            values = self.run(self.insist(lambda id=id: self.handle(id).query(Entity.values)))  # type: ignore[misc]
            description = self.run(self.insist(lambda id=id: self.handle(id).describe()))  # type: ignore[misc]
            assert description.problem is None
            assert description.status is model.status
            assert values == model.values

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.run(self.down())
            self.run(self.world.check())
            self.check_notes()
        finally:
            self.loop.close()

    def check_notes(self) -> None:
        once = self.world.ledger.once
        # A workflow that is cancelled, or stopped in the midst of it, may leave a note that no model knows of.
        for note in set(self.notes):
            assert once[note] == self.notes.count(note)


def note_in(ledger: Ledger) -> Callable[..., Any]:
    @activity.defn
    async def note(what: str) -> None:
        ledger.record(what)

    return note


Machine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestMachine = Machine.TestCase
