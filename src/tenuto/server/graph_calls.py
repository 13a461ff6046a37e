"""How routes speak with graph executions: they ask, and look."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tenuto.graph.execution import GraphExecution
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError
from tenuto.model.events import ExecutionRef
from tenuto.server.errors import not_found

if TYPE_CHECKING:
    from tenuto.server.services import Services

T = TypeVar("T")


async def ask(services: Services, workflow_id: str, body: msg.Body) -> msg.Answer:
    """Have an execution do something; it is on record when this returns. Raises RPCError if it is refused."""
    answer = await services.gateway.request_checked(ExecutionRef(workflow_id), body)
    check(answer)
    return answer


async def ask_or_nothing(services: Services, workflow_id: str, body: msg.Body, reason: str) -> msg.Answer | None:
    """As `ask`; None if it is refused for this `reason`."""
    answer = await services.gateway.request_checked(ExecutionRef(workflow_id), body)
    if isinstance(answer, msg.Refused) and answer.reason == reason:
        return None
    check(answer)
    return answer


def check(answer: msg.Answer) -> None:
    """Raise RPCError if a request was refused."""
    if isinstance(answer, msg.Refused):
        raise RPCError(answer.message, answer.status)


async def look(services: Services, workflow_id: str, render: Callable[[GraphExecution], T]) -> T:
    """What `render` makes of an execution. Raises ApiError (404) if there is none."""
    seen = await services.graphs.look(workflow_id, render)
    if seen is None:
        raise not_found(f"there is no workflow with the id {workflow_id!r}")
    return seen
