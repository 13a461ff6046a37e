"""The workflow code of one worker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from tenuto.activities.step_hooks import StepHooks
from tenuto.converter import DataConverter
from tenuto.model.events import WorkflowExecutionStarted
from tenuto.replay.definition import KeyedDefinition, WorkflowDefinition
from tenuto.replay.instance import Instance, Missing
from tenuto.replay.keyed import KeyedInstance
from tenuto.replay.watchdog import Watchdog


class WorkflowCode:
    """The workflow types that a worker has; implements `tenuto.engine.hosts.WorkflowHost`."""

    def __init__(
        self,
        workflows: Iterable[object],
        converter: DataConverter,
        identity: str,
        failure_exception_types: tuple[type[BaseException], ...] = (),
        env: Any = None,
        step_hooks: Callable[[], StepHooks | None] = lambda: None,
    ) -> None:
        """`env` is what code of notations with named steps finds as its environment; `step_hooks` what tests want of
        these."""
        self.converter = converter
        self.identity = identity
        self.failure_exception_types = failure_exception_types
        self.env = env
        self.step_hooks = step_hooks
        self.watchdog = Watchdog()
        #: By run id, the instances that have steps under way.
        self.live: dict[str, KeyedInstance] = {}
        self._definitions: dict[str, WorkflowDefinition] = {}
        for workflow in workflows:
            own = WorkflowDefinition.of(workflow)
            for definition in (own, *own.companions):
                if definition.name in self._definitions:
                    raise ValueError(f"two workflows are named {definition.name!r}; give one @workflow.defn(name=...)")
                self._definitions[definition.name] = definition

    @property
    def types(self) -> Collection[str]:
        return self._definitions.keys()

    @property
    def has_steps(self) -> bool:
        """Is any of its workflows written in named steps?"""
        return any(isinstance(definition, KeyedDefinition) for definition in self._definitions.values())

    def has(self, workflow_type: str) -> bool:
        return workflow_type in self._definitions

    def create(self, started: WorkflowExecutionStarted) -> Instance | Missing:
        """A new instance of the run that `started` began."""
        definition = self._definitions.get(started.workflow_type)
        if definition is None:
            known = ", ".join(sorted(self._definitions)) or "none"
            return Missing(
                f"workflow type {started.workflow_type!r} is not registered with the worker of task queue "
                f"{started.task_queue!r}; it has: {known}"
            )
        if isinstance(definition, KeyedDefinition):
            return KeyedInstance(self, definition, started)
        return Instance(self, definition, started)
