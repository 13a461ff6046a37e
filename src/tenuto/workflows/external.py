"""Other executions: signals and cancel requests to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tenuto.given import UNSET, given
from tenuto.model import commands as cmd
from tenuto.model.events import ExecutionRef
from tenuto.replay.calls import Answerable
from tenuto.replay.definition import handler_name
from tenuto.replay.instance import Instance
from tenuto.workflows.context import current


class ExternalWorkflowHandle:
    """Another execution, addressed by its workflow id."""

    def __init__(self, this: Instance, target: ExecutionRef) -> None:
        self._this = this
        self._target = target

    @property
    def id(self) -> str:
        return self._target.workflow_id

    @property
    def run_id(self) -> str | None:
        return self._target.run_id

    async def signal(self, signal: str | Callable[..., Any], arg: Any = UNSET, *, args: Sequence[Any] = ()) -> None:
        """Send a signal; done once it is recorded there. Raises ApplicationError if there is no such open execution."""
        payloads = self._this.converter.encode_all(given(arg, args))
        command = cmd.SignalExternal(self._target, handler_name(signal, "signal"), payloads)
        await Answerable(self._this, command).future

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the execution to stop. Raises ApplicationError if there is no such open execution."""
        await Answerable(self._this, cmd.RequestCancelExternal(self._target, reason=reason)).future


def get_external_workflow_handle(workflow_id: str, *, run_id: str | None = None) -> ExternalWorkflowHandle:
    """A handle to another execution; without `run_id`, to the latest run of that id."""
    return ExternalWorkflowHandle(current(), ExecutionRef(workflow_id, run_id))
