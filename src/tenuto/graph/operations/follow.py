"""A task starts a sub-workflow with an idempotency key, and there is one already: the task waits for that one."""

from __future__ import annotations

from tenuto.graph import parents
from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.model.events import ParentRef
from tenuto.model.graph_messages import GraphStart
from tenuto.model.messages import Started


def follow(execution: GraphExecution, context: Context, request: GraphStart) -> Started:
    """Tell the parent in the request how this execution ends, or has ended."""
    state, parent = execution.state, request.parent
    if parent is not None and state.closed:
        parents.tell(Decision(execution, context), parent)
    elif parent is not None and parent not in state.followers and parent != state.started.parent:
        execution.change("followed", followers=[*state.followers, parent])
    return Started(state.started.run_id, state.started.run_id)


def unfollow(execution: GraphExecution, parent: ParentRef) -> None:
    """The parent waits no longer."""
    execution.change("unfollowed", followers=[other for other in execution.state.followers if other != parent])
