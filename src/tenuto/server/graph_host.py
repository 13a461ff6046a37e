"""What graphs need of the world outside: scripts in the cage, system tasks, secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tenuto.cage.cage import Cage
from tenuto.cage.errors import CageUnavailable, ScriptError, ScriptTimeout
from tenuto.engine.graph_host import ScriptFailed
from tenuto.graph.effects import Evaluate
from tenuto.graph.secrets import names_secrets, resolve_secrets
from tenuto.model.json_values import Json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.server.workflow_tasks import WorkflowTasks
from tenuto.system_tasks.registry import SystemTasks

if TYPE_CHECKING:
    from tenuto.server.tracing import Tracing


class ServerGraphHost:
    """Implements `tenuto.engine.graph_host.GraphHost`."""

    def __init__(
        self,
        cage: Cage,
        system_tasks: SystemTasks,
        workflow_tasks: WorkflowTasks,
        secret: Callable[[str], str | None],
        tracing: Tracing | None,
    ) -> None:
        self._cage = cage
        self._system_tasks = system_tasks
        self._workflow_tasks = workflow_tasks
        self._secret = secret
        self._tracing = tracing
        self.types = system_tasks.types | workflow_tasks.types

    async def run(self, task: SystemTask) -> SystemTaskResult:
        runner = self._workflow_tasks if task.task_type in self._workflow_tasks.types else self._system_tasks
        if self._tracing is None:
            return await runner.run(task)
        with self._tracing.run(task) as results:
            results.append(await runner.run(task))
        return results[0]

    async def evaluate(self, request: Evaluate) -> Json:
        try:
            if request.language == "jq":
                return await self._cage.jq(request.script, request.value)
            return await self._cage.javascript(request.script, request.value, body=request.body)
        except ScriptTimeout as error:
            raise ScriptFailed(str(error), fatal=False) from None
        except ScriptError as error:
            raise ScriptFailed(str(error)) from None
        except CageUnavailable as error:
            raise ScriptFailed(str(error), fatal=False) from None

    def with_secrets(self, input: dict[str, Json], template: dict[str, Json]) -> tuple[dict[str, Json], frozenset[str]]:
        if not names_secrets(template):
            return input, frozenset()
        used: set[str] = set()

        def look_up(name: str) -> str | None:
            value = self._secret(name)
            if value:
                used.add(value)
            return value

        return resolve_secrets(input, look_up, template), frozenset(used)
