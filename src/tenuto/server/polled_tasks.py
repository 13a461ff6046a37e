"""Tasks as workers get them: with the secrets that their definitions name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import task_view
from tenuto.model.graph import Task
from tenuto.model.json_values import encode_json

if TYPE_CHECKING:
    from tenuto.server.services import Services


class PolledTasks:
    """Renders a task that is handed out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(self, graph: GraphExecution, task: Task) -> bytes:
        input, _ = self._services.graphs.host.with_secrets(task.input, graph.template_of(task))
        view = task_view(graph, task, input)
        names = graph.task_def(task).runtime_metadata
        if names:
            secret = self._services.configuration.secrets.lookup
            view["runtimeMetadata"] = {name: value for name in names if (value := secret(name)) is not None}
        return encode_json(view)
