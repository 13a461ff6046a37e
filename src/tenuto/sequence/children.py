"""Child workflows as nodes."""

from __future__ import annotations

from typing import Any

from tenuto.replay.definition import resolve_workflow
from tenuto.sequence.errors import WorkflowError
from tenuto.sequence.nodes import BaseNode

__all__ = ["ChildNode", "child_workflow"]


class ChildNode(BaseNode):
    """A node that is an execution of its own; made by `child_workflow`."""

    def __init__(self, workflow: Any, name: str | None, options: dict[str, Any]) -> None:
        self.workflow = workflow
        self.options = options
        definition, workflow_type = resolve_workflow(workflow)
        super().__init__(name or workflow_type, self, _one_argument)
        #: Known for a sequence, which can be executed right here as well.
        self.in_memory = getattr(workflow, "execute", None)
        self.parameters.result = None if definition is None else definition.signature.result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.in_memory is None:
            raise WorkflowError(
                f"node {self.name!r} is a child workflow that needs a durable run: pass durable= and id= to execute(), "
                "or start the sequence through a client"
            )
        return self.in_memory(*args, **kwargs)


def child_workflow(workflow: Any, name: str | None = None, **options: Any) -> ChildNode:
    """A node that starts another workflow with the output before it and waits for its result: durable code, steps, a
    Sequence, or the name of a type.

    In a durable run it is an execution of its own, with its own id and history; `options` are those of
    `tenuto.workflow.execute_child_workflow`, such as `task_queue` and `retry_policy`. In memory a Sequence is executed
    on the spot, and any other raises WorkflowError. (A Sequence as it is, in a chain, is no child: its nodes are nodes
    of the same run.)"""
    return ChildNode(workflow, name, options)


def _one_argument(value: Any) -> Any:
    return value
