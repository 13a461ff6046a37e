"""Deliveries to webhooks: which tasks wait for them, and what they start.

Whom a delivery is for is decided once and put on record before anything is done; what a crash interrupts is then done
by that record, so that a delivery never reaches a task which began to wait after it came.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tenuto.cage.errors import CageUnavailable, ScriptError
from tenuto.engine.clock import SECOND
from tenuto.graph.execution import GraphExecution
from tenuto.model.errors import PayloadError, RPCError, RPCStatusCode, StoreError
from tenuto.model.graph_messages import TaskUpdate
from tenuto.model.json_values import Json, decode_json, encode_json
from tenuto.model.search import And, Compare, In, SearchQuery
from tenuto.server.collection import key_of
from tenuto.server.errors import ApiError, bad_request
from tenuto.server.graph_calls import ask_or_nothing
from tenuto.server.insisting import insist
from tenuto.server.orphans import Orphans
from tenuto.server.recent_documents import RecentDocuments
from tenuto.server.starts import StartWorkflowRequest, start
from tenuto.server.webhook_configs import StoredWebhook, WebhookConfig
from tenuto.store.protocol import Document, TaskIndexRow
from tenuto.system_tasks.json_path import BadPath
from tenuto.system_tasks.webhook_matching import matches

if TYPE_CHECKING:
    from tenuto.server.services import Services

logger = logging.getLogger("tenuto.webhooks")

PENDING = "webhook_pending"
#: Deliveries that are kept, for people to see.
KEPT = 2_000
#: Waiting tasks that are read, and updates that are made, at a time.
PAGE, TOGETHER = 1_000, 100
#: Seconds after which what failed for a reason that passes is tried again.
AGAIN = 1.0

_TRANSIENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED)


class Delivery(Struct, kw_only=True):
    """A delivery that was taken; `tasks` are pairs of workflow id and task id, `starts` workflows with versions."""

    id: str
    webhook_id: str
    event: str
    payload: dict[str, Json]
    time: int
    """Milliseconds since the epoch."""
    tasks: list[tuple[str, str]] = []
    starts: list[tuple[str, int | None]] = []
    started: list[str] = []
    problems: list[str] = []
    taken_by: str = ""
    """The server that tells them."""


class Deliveries:
    """The deliveries to one store."""

    def __init__(self, services: Services) -> None:
        self.records = RecentDocuments(services, "webhook_deliveries", Delivery, KEPT)
        self._services = services
        self._left: asyncio.Queue[Delivery] = asyncio.Queue()
        self._orphans = Orphans(services, PENDING, _doer, _handed, self._taken_over)

    async def take(self, webhook: StoredWebhook, payload: dict[str, Json]) -> str:
        """Take a delivery that was verified; returns its id. It is on record when this returns, and normally all that
        it is for has been told. Raises ApiError (400) if the webhook's expression fails."""
        services, config = self._services, webhook.config
        delivery = Delivery(
            id=services.new_id(),
            webhook_id=config.id,
            event=f"webhook:{config.name}",
            payload=payload,
            time=services.now_ms(),
            taken_by=services.engine.ownership.owner,
        )
        if await self._wanted(config, payload):
            delivery.tasks = await self._waiting(config, payload)
            delivery.starts = [(name, version or None) for name, version in config.workflows_to_start.items()]
        document = Document(PENDING, delivery.id, encode_json(delivery), updated=services.clock.now())
        await insist(lambda: services.graphs.write([document]), f"a delivery to {config.name}")
        await self._finish(delivery)
        return delivery.id

    def _taken_over(self, document: Document) -> None:
        self._left.put_nowait(_decode(document.data))

    async def run(self) -> None:
        """Finish what was left unfinished, for ever."""
        await self._services.engine.patiently(self.records.load)
        await self._services.engine.patiently(self._orphans.take_over)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._orphans.watch())
            while True:
                await self._finish(await self._left.get())

    # -- whom it is for ------------------------------------------------------------------------------------------------

    async def _wanted(self, config: WebhookConfig, payload: Json) -> bool:
        if not (config.expression or "").strip():
            return True
        try:
            return bool(await self._services.cage.javascript(config.expression or "", payload))
        except CageUnavailable as error:
            raise ApiError(503, str(error), retryable=True) from None
        except ScriptError as error:
            raise bad_request(f"the expression of webhook {config.name} failed: {error}") from None

    async def _waiting(self, config: WebhookConfig, payload: dict[str, Json]) -> list[tuple[str, str]]:
        """The tasks that wait for this payload."""
        receivers = config.receiver_workflow_names_to_versions
        if not receivers:
            return []
        await self._services.graphs.recorded()
        condition = And(
            (
                Compare("task_type", "=", "WAIT_FOR_WEBHOOK"),
                Compare("status", "=", "IN_PROGRESS"),
                In("workflow_type", tuple(receivers)),
            )
        )
        found: list[tuple[str, str]] = []
        start = 0
        while True:
            query = SearchQuery(condition=condition, start=start, size=PAGE)
            rows = (await self._services.store.search_tasks(query)).rows
            for row in rows:
                if _matches(row, payload) and await self._is_receiver(row, receivers[row.workflow_type]):
                    found.append((row.workflow_id, row.task_id))
            if len(rows) < PAGE:
                return found
            start += PAGE

    async def _is_receiver(self, row: TaskIndexRow, version: int | None) -> bool:
        if not version:
            return True

        def has_version(graph: GraphExecution) -> bool:
            return graph.state.started.version == version

        return bool(await self._services.graphs.look(row.workflow_id, has_version))

    # -- telling them --------------------------------------------------------------------------------------------------

    async def _finish(self, delivery: Delivery) -> None:
        """Tell all; what fails for a reason that passes is left for later."""
        try:
            await self._tell(delivery)
        except Exception as error:
            expected = isinstance(error, StoreError | RPCError | ApiError)
            extra = {"action": "delivery_retried", "delivery_id": delivery.id}
            logger.warning("delivery %s is tried again: %s", delivery.id, error, exc_info=not expected, extra=extra)
            clock = self._services.clock
            clock.call_at(clock.now() + int(AGAIN * SECOND), partial(self._left.put_nowait, delivery))

    async def _tell(self, delivery: Delivery) -> None:
        for start_at in range(0, len(delivery.tasks), TOGETHER):
            some = delivery.tasks[start_at : start_at + TOGETHER]
            await asyncio.gather(*(self._complete(delivery, *each) for each in some))
        delivery.started, delivery.problems = [], []
        for name, version in delivery.starts:
            await self._start(delivery, name, version)
        document = self.records.document(key_of(delivery.webhook_id, delivery.id), delivery)
        await self.records.put([document], deleted=[(PENDING, delivery.id)])

    async def _complete(self, delivery: Delivery, workflow_id: str, task_id: str) -> None:
        body = TaskUpdate("COMPLETED", task_id=task_id, output=delivery.payload)
        await ask_or_nothing(self._services, workflow_id, body, "no_task")

    async def _start(self, delivery: Delivery, name: str, version: int | None) -> None:
        request = StartWorkflowRequest(name=name, version=version, input=delivery.payload)
        workflow_id = str(uuid5(NAMESPACE_OID, f"webhook\x00{delivery.id}\x00{name}"))
        try:
            delivery.started.append(await start(self._services, request, delivery.event, workflow_id))
        except (ApiError, RPCError, PayloadError) as error:
            if isinstance(error, RPCError) and error.status in _TRANSIENT:
                raise
            extra = {"action": "webhook_start_failed", "workflow_id": workflow_id, "workflow_type": name}
            logger.error("webhook %s could not start %s: %s", delivery.event, name, error, extra=extra)
            delivery.problems.append(f"{name} was not started: {error}")


def _matches(row: TaskIndexRow, payload: Json) -> bool:
    input = decode_json(row.input.encode()) if row.input else {}
    expected = input.get("matches") if isinstance(input, dict) else None
    if not isinstance(expected, dict) or not expected:
        return False
    try:
        return matches(expected, payload)
    except BadPath:
        extra = {"action": "webhook_path_unreadable", "workflow_id": row.workflow_id, "task_id": row.task_id}
        logger.warning("task %s waits for a webhook with a path that can't be read", row.task_id, extra=extra)
        return False


def _decode(data: bytes) -> Delivery:
    return msgspec.json.decode(data, type=Delivery)


def _doer(data: bytes) -> str:
    return _decode(data).taken_by


def _handed(data: bytes, server: str) -> bytes:
    return encode_json(replace(_decode(data), taken_by=server))
