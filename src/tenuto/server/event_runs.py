"""Runs event handlers for a message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenuto.cage.errors import CageUnavailable, ScriptError
from tenuto.graph.templates import ExpressionError
from tenuto.model.errors import PayloadError, RPCError, RPCStatusCode, StoreError
from tenuto.model.json_values import Json
from tenuto.server import event_actions
from tenuto.server.errors import ApiError
from tenuto.server.event_actions import Cause
from tenuto.server.event_handlers import Action, EventHandler
from tenuto.server.event_payloads import expanded
from tenuto.server.event_records import EventExecution, EventMessage, EventRecords

if TYPE_CHECKING:
    from tenuto.server.services import Services

_TRANSIENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED)


class NotNow(Exception):
    """It may work later."""


class HandlerRuns:
    """Runs handlers; what was run before for the same message is not run again."""

    def __init__(self, services: Services, records: EventRecords) -> None:
        self._services = services
        self._records = records

    async def run(self, handlers: list[EventHandler], message: EventMessage, *, last: bool) -> list[EventExecution]:
        """Run all actions of these handlers; returns what they came to. Raises NotNow or StoreError if some could not
        be run for now; the `last` time they have failed instead."""
        results = await asyncio.gather(
            *(self._handle(handler, message, last) for handler in handlers), return_exceptions=True
        )
        executions: list[EventExecution] = []
        trouble: BaseException | None = None
        for result in results:
            if isinstance(result, BaseException):
                trouble = trouble or result
            else:
                executions += result
        if trouble is not None:
            raise trouble
        return executions

    async def _handle(self, handler: EventHandler, message: EventMessage, last: bool) -> list[EventExecution]:
        first = _execution(handler, message, 0)
        try:
            wanted = await self._wants(handler, message.payload)
        except ScriptError as error:
            first.status, first.output = "FAILED", {"exception": f"the condition failed: {error}"}
            return [first]
        if not wanted:
            first.status = "SKIPPED"
            return [first]
        results = await asyncio.gather(
            *(self._act(handler, message, number, last) for number in range(len(handler.actions))),
            return_exceptions=True,
        )
        executions = [result for result in results if isinstance(result, EventExecution)]
        for result in results:
            if isinstance(result, BaseException):
                for execution in executions:
                    await self._records.write_execution(execution)
                raise result
        return executions

    async def _wants(self, handler: EventHandler, payload: dict[str, Json]) -> bool:
        condition = (handler.condition or "").strip()
        if not condition:
            return True
        payload = expanded(payload)
        if (handler.evaluator_type or "").lower() == "value-param":
            return payload.get(condition) in (True, "true", "True", 1)
        return bool(await self._services.cage.javascript(condition, payload))

    async def _act(self, handler: EventHandler, message: EventMessage, number: int, last: bool) -> EventExecution:
        action = handler.actions[number]
        execution = _execution(handler, message, number)
        known = await self._records.known_execution(execution.key)
        if known is not None and known.over:
            return known
        execution.action = action.action
        cause = Cause(message.event, message.id, message.payload, execution.key)
        try:
            output = await self._run(action, cause, known or execution)
            execution.status, execution.output = "COMPLETED", output
        except (ApiError, RPCError, ExpressionError, PayloadError) as error:
            if _may_work_later(error) and not last:
                raise NotNow(str(error)) from None
            execution.status, execution.output = "FAILED", {"exception": str(error)}
        except (StoreError, CageUnavailable) as error:
            raise NotNow(str(error)) from error
        return execution

    async def _run(self, action: Action, cause: Cause, execution: EventExecution) -> dict[str, Json]:
        task_id = execution.output.get("taskId")
        if task_id is None:
            task_id = await event_actions.locate(self._services, action, cause)
            if task_id is not None:
                execution.output = {"taskId": task_id}
                await self._records.write_execution(execution)
        return await event_actions.run(self._services, action, cause, task_id)


def _execution(handler: EventHandler, message: EventMessage, number: int) -> EventExecution:
    return EventExecution(
        id=f"{message.id}_{number}",
        message_id=message.id,
        name=handler.name,
        event=message.event,
        created=message.created_at,
        status="IN_PROGRESS",
        payload=message.payload,
    )


def _may_work_later(error: Exception) -> bool:
    if isinstance(error, RPCError):
        return error.status in _TRANSIENT
    return isinstance(error, ApiError) and error.retryable
