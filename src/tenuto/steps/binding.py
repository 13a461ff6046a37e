"""A workflow as those see it who start instances of it.

    publish = Workflow(client, Publish)
    instance = await publish.create(params={"key": "a.png"})
    await instance.send_event("approved", {"by": "Ada"})
    (await instance.status()).status        # "running"

Inside of another workflow it is used in the callback of a step, as one of what `self.env` holds.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tenuto.activities.context import current
from tenuto.clients.client import Client
from tenuto.exceptions import WorkflowAlreadyStartedError
from tenuto.model import messages as msg
from tenuto.model.errors import PayloadError
from tenuto.model.events import ExecutionRef, WorkflowExecutionStarted
from tenuto.model.policies import ExecutionStatus, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from tenuto.replay.definition import resolve_workflow
from tenuto.replay.steps import RESERVED
from tenuto.steps.entrypoint import WorkflowEntrypoint
from tenuto.steps.instance import WorkflowInstance, WorkflowInstanceError
from tenuto.steps.options import LEAST_STEPS, MOST_STEPS, RESULT_LIMIT, STEP_LIMIT, StartOptions
from tenuto.steps.schedules import Cron, Plan, parse_schedules, scheduler_id, scheduler_type
from tenuto.store.protocol import StoredExecution

logger = logging.getLogger("tenuto.steps")

_ID = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]*")
_LONGEST_ID = 100
#: Instances that one `create_batch` makes.
BATCH = 100


class Workflow:
    """Starts and finds instances of one workflow."""

    def __init__(
        self,
        client: Client,
        workflow: type[WorkflowEntrypoint] | str,
        *,
        task_queue: str = "default",
        concurrency: int | None = None,
        step_limit: int | None = None,
        result_limit: int | None = None,
        schedules: Sequence[Any] | None = None,
    ) -> None:
        """`workflow` is the entrypoint, or its name where its code isn't. `task_queue` is the one that its workers
        serve. The limits hold for instances that are created from now on:

        `concurrency`   instances at work at a time, over all processes; those that sleep, wait or delay a retry don't
                        count, others are queued, and those that go on come before those that begin
        `step_limit`    steps of one instance, 1 to 25,000; 10,000 unless given
        `result_limit`  bytes of the result of one step; 1 MiB unless given

        `schedules` start instances by the clock: cron expressions such as "0 9 * * *" (UTC), or with a time zone as
        ("0 9 * * *", "Europe/Rome"). They are put on record at once and stay until another binding brings others, or
        `[]` for none; see `schedules.py` for what happens at a tick.

        Raises TypeError for what is no entrypoint, ValueError for a limit or a schedule that can't be, RuntimeError
        for schedules outside of an event loop."""
        self.client = client
        self.name: str = resolve_workflow(workflow)[1]
        self.task_queue = task_queue
        self._concurrency = _limit("concurrency", concurrency, None, 1, None)
        steps = _limit("step_limit", step_limit, STEP_LIMIT, LEAST_STEPS, MOST_STEPS)
        result = _limit("result_limit", result_limit, RESULT_LIMIT, 1, client.gateway.limits.payload_size)
        assert steps is not None
        assert result is not None
        self._options = StartOptions(step_limit=steps, result_limit=result)
        self._crons = None if schedules is None else parse_schedules(schedules)
        self._scheduling: asyncio.Task[None] | None = None
        if self._crons is not None:
            self._scheduling = asyncio.get_running_loop().create_task(self._put_on_record(self._crons))
            self._scheduling.add_done_callback(self._scheduled)

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, task_queue={self.task_queue!r})"

    async def create(self, id: str | None = None, params: Any = None) -> WorkflowInstance:
        """Start an instance; when this returns, it is on record. `params` becomes the event's payload, `id` is random
        unless given. In a step, give one: an attempt that is made again then gets the instance of the one before.

        Raises ValueError for an id that can't be one (letters, digits, _ and -, at most 100), WorkflowInstanceError
        (already_exists) for one that is taken, PayloadError for params that can't be stored."""
        id = _checked_id(self.client.gateway.new_id() if id is None else id)
        try:
            return await self._start(id, params)
        except WorkflowAlreadyStartedError:
            raise WorkflowInstanceError(
                f"there is an instance or another workflow with the id {id!r} already; leave the id out for one of its "
                "own, or use create_batch to skip what is there",
                "instance.already_exists",
            ) from None

    async def create_batch(self, batch: Sequence[Mapping[str, Any]]) -> list[WorkflowInstance]:
        """Start up to 100 instances, each given as `{"id": ..., "params": ...}`, and return those that are new: ids
        that are taken are skipped. Raises what `create` does, ValueError for an empty or a larger batch; nothing is
        started then."""
        if not 1 <= len(batch) <= BATCH:
            raise ValueError(f"a batch has 1 to {BATCH} instances, not {len(batch)}")
        wanted: dict[str, Any] = {}
        for each in batch:
            unknown = each.keys() - {"id", "params"}
            if unknown:
                raise ValueError(f"an instance of a batch has id and params, no {', '.join(sorted(map(str, unknown)))}")
            id = each.get("id")
            wanted.setdefault(_checked_id(self.client.gateway.new_id() if id is None else id), each.get("params"))
        for params in wanted.values():
            self.client.data_converter.encode(params)
        made = await asyncio.gather(*(self._start_if_new(id, params) for id, params in wanted.items()))
        return [instance for instance in made if instance is not None]

    async def get(self, id: str) -> WorkflowInstance:
        """An instance that was created before. Raises WorkflowInstanceError (not_found) if there is none."""
        instance = WorkflowInstance(self, id)
        row = (await self.client.gateway.store.rows([ExecutionRef(id)]))[0]
        if row is None or row.workflow_type != self.name:
            raise instance.not_found()
        return instance

    # -- schedules -----------------------------------------------------------------------------------------------------

    async def schedule(self) -> None:
        """Put the schedules on record, unless they are; happens by itself, and again does no harm. When this returns,
        they are."""
        if self._scheduling is not None and not self._scheduling.done():
            await asyncio.shield(self._scheduling)
        elif self._crons is not None:
            await self._put_on_record(self._crons)

    async def _put_on_record(self, crons: list[Cron]) -> None:
        plan = Plan(self.name, self.task_queue, crons, self._options, self._concurrency)
        handle = self.client.get_workflow_handle(scheduler_id(self.name))
        while True:
            recorded = await self.client.gateway.load(ExecutionRef(handle.id))
            running = recorded is not None and recorded.row.status is ExecutionStatus.RUNNING
            if running and not crons:
                await handle.terminate(reason="there are no schedules any more")
            if not crons or (running and self._is_planned(plan, recorded)):
                return
            policy = WorkflowIDConflictPolicy.TERMINATE_EXISTING if running else WorkflowIDConflictPolicy.FAIL
            try:
                await self.client.start_workflow(
                    scheduler_type(self.name), plan, id=handle.id, task_queue=self.task_queue, id_conflict_policy=policy
                )
                return
            except WorkflowAlreadyStartedError:
                continue  # somebody else was faster, perhaps with the same schedules

    def _is_planned(self, plan: Plan, recorded: StoredExecution | None) -> bool:
        started = recorded.events[0] if recorded is not None and recorded.events else None
        if not isinstance(started, WorkflowExecutionStarted) or started.task_queue != self.task_queue:
            return False
        try:
            return bool(self.client.data_converter.decode(started.input[0], Plan) == plan)
        except PayloadError:
            return False  # another version wrote it

    def _scheduled(self, scheduling: asyncio.Task[None]) -> None:
        if not scheduling.cancelled() and scheduling.exception() is not None:
            logger.error("the schedules of %s are not on record: %s", self.name, scheduling.exception())

    # -- starting ------------------------------------------------------------------------------------------------------

    async def _start_if_new(self, id: str, params: Any) -> WorkflowInstance | None:
        try:
            return await self._start(id, params)
        except WorkflowAlreadyStartedError:
            return None

    async def _start(self, id: str, params: Any) -> WorkflowInstance:
        start = msg.Start(
            self.name,
            self.task_queue,
            self.client.data_converter.encode_all([params, self._options]),
            self._request_id(id),
            reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            identity=self.client.identity,
            concurrency=self._concurrency,
        )
        await self.client.ask(ExecutionRef(id), start, None, workflow_type=self.name)
        return WorkflowInstance(self, id)

    def _request_id(self, id: str) -> str:
        """The same for all attempts of a step, so that what one of them has started is not in the way of the next."""
        attempt = current.get(None)
        return self.client.gateway.new_id() if attempt is None else f"{attempt.info.idempotency_key}:{id}"

    def event_type(self, type: Any) -> str:
        """`type`, if it can be the type of an event. Raises ValueError."""
        limit = self.client.gateway.limits.name_length
        if not isinstance(type, str) or not 1 <= len(type) <= limit or type.startswith(RESERVED):
            raise ValueError(
                f"{type!r} can't be the type of an event, which has 1 to {limit} characters and doesn't begin with "
                f"{RESERVED!r}"
            )
        return type


def _checked_id(id: Any) -> str:
    if not isinstance(id, str) or len(id) > _LONGEST_ID or _ID.fullmatch(id) is None:
        raise ValueError(
            f"{id!r} can't be the id of an instance, which has letters, digits, _ and -, does not begin with -, and is "
            f"at most {_LONGEST_ID} characters long"
        )
    return id


def _limit(name: str, value: int | None, default: int | None, least: int, most: int | None) -> int | None:
    if value is None:
        return default
    if type(value) is not int or value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most:,}"
        raise ValueError(f"{name} is a whole number of at least {least:,}{upper}, not {value!r}")
    return value
