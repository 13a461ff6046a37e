"""The system tasks of one process: which there are, and how each is run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

from msgspec.structs import replace

from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.system_tasks.bad_input import BadInput
from tenuto.system_tasks.buses.buses import Buses
from tenuto.system_tasks.event import Event, Publish
from tenuto.system_tasks.http import Http, HttpCaller
from tenuto.system_tasks.http_poll import HttpPoll, Scripts
from tenuto.system_tasks.kafka_publish import KafkaPublish
from tenuto.system_tasks.redaction import Redaction
from tenuto.system_tasks.settings import SystemTaskSettings

#: Characters of a reason. What a server answered with may be a whole page.
_LONGEST_REASON = 2000

_log = logging.getLogger(__name__)


class Runs(Protocol):
    """One type of system task."""

    def run(self, task: SystemTask) -> Awaitable[SystemTaskResult]:
        """Run it once. Raises BadInput if its input can't be used."""
        ...


class SystemTasks:
    """Runs system tasks. Every run ends within the settings' `longest`, and no result holds a secret."""

    def __init__(self, settings: SystemTaskSettings, scripts: Scripts, publish: Publish) -> None:
        """`publish` takes messages for the engine's own event queues.

        Raises ValueError for settings that can't be used."""
        self.buses = Buses(settings.buses)
        """The event buses; event handlers subscribe here."""
        self._longest = settings.longest
        self._caller = HttpCaller(settings.http)
        self._kafka_publish = KafkaPublish(settings.buses)
        self._kinds: dict[str, Runs] = {
            "HTTP": Http(self._caller),
            "HTTP_POLL": HttpPoll(self._caller, scripts),
            "EVENT": Event(self.buses, publish),
            "KAFKA_PUBLISH": self._kafka_publish,
        }
        self.types: frozenset[str] = frozenset(self._kinds)
        """The task types that `run` takes."""

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """What one run of `task` came to. A failure of any kind is a FAILED result with a reason; nothing is raised."""
        result = await self._bounded(task)
        redaction = Redaction(task.secrets)
        return replace(
            result,
            output=redaction.json(result.output),
            reason=None if result.reason is None else _shortened(redaction.text(result.reason)),
        )

    async def aclose(self) -> None:
        """Close all connections. Runs that are under way, and subscriptions, must have been ended before."""
        await self._caller.aclose()
        await self._kafka_publish.aclose()
        await self.buses.aclose()

    async def _bounded(self, task: SystemTask) -> SystemTaskResult:
        try:
            async with asyncio.timeout(self._longest):
                return await self._kinds[task.task_type].run(task)
        except BadInput as error:
            return SystemTaskResult("FAILED", reason=f"{task.task_type}: {error}")
        except TimeoutError:
            return SystemTaskResult(
                "FAILED", reason=f"{task.task_type} ran for longer than {self._longest:g} seconds, which is the limit"
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the engine
            # Not the traceback: it may hold a secret that the task was given.
            _log.error(
                "System task %s of type %s failed with an unexpected %s",
                task.task_id,
                task.task_type,
                type(error).__name__,
                extra={"action": "system_task_broken", "workflow_id": task.workflow_id, "task_id": task.task_id},
            )
            return SystemTaskResult("FAILED", reason=f"{task.task_type} failed: {type(error).__name__}: {error}")


def _shortened(reason: str) -> str:
    """Called after the redaction, which would not know half a secret."""
    if len(reason) <= _LONGEST_REASON:
        return reason
    return f"{reason[:_LONGEST_REASON]}... ({len(reason)} characters)"
