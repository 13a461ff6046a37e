"""What a workflow class declares: its run method, handlers and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tenuto.signatures import Signature, signature_of

if TYPE_CHECKING:
    from tenuto.model.events import WorkflowExecutionSignaled
    from tenuto.replay.keyed import KeyedInstance

MARK = "__tenuto__"
DEFINITION = "__tenuto_workflow__"


class Handler:
    """A signal, query or update method."""

    __slots__ = ("function", "name", "signature", "validator")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.signature = signature_of(function, method=True)
        self.validator: Callable[..., Any] | None = None


class WorkflowDefinition:
    """A workflow type: the class, its name, its handlers by name."""

    #: Further workflow types that whoever has this one's code has, too.
    companions: Sequence[WorkflowDefinition] = ()

    def __init__(self, cls: type[Any], name: str, failure_exception_types: tuple[type[BaseException], ...]) -> None:
        self.cls = cls
        self.name = name
        self.failure_exception_types = failure_exception_types
        self.signals: dict[str, Handler] = {}
        self.queries: dict[str, Handler] = {}
        self.updates: dict[str, Handler] = {}
        runs = _marked(cls, "run")
        if len(runs) != 1:
            found = ", ".join(function.__name__ for _, function in runs) or "none"
            raise ValueError(f"{cls.__qualname__} needs exactly one @workflow.run method; it has {found}")
        self.run = runs[0][1]
        if not inspect.iscoroutinefunction(self.run):
            raise ValueError(f"{self.run.__qualname__} must be 'async def', because it is a @workflow.run method")
        self.signature: Signature = signature_of(self.run, method=True)
        self._collect("signal", self.signals)
        self._collect("query", self.queries)
        self._collect("update", self.updates)
        for handler in self.updates.values():
            handler.validator = getattr(handler.function, "__tenuto_validator__", None)
        self.init_takes_arguments = getattr(cls.__init__, MARK, None) is not None
        if self.init_takes_arguments:
            self._check_init()

    def _collect(self, kind: str, handlers: dict[str, Handler]) -> None:
        for name, function in _marked(self.cls, kind):
            if name in handlers and handlers[name].function is not function:
                raise ValueError(
                    f"{self.cls.__qualname__} has two {kind} handlers named {name!r}: "
                    f"{handlers[name].function.__qualname__} and {function.__qualname__}"
                )
            handlers[name] = Handler(name, function)

    def _check_init(self) -> None:
        of_init = signature_of(self.cls.__init__, method=True)
        if (of_init.least, of_init.most) != (self.signature.least, self.signature.most):
            raise ValueError(
                f"{self.cls.__qualname__}.__init__ is a @workflow.init method, so it must take the same arguments as "
                f"{self.run.__qualname__}"
            )

    @classmethod
    def of(cls, workflow: object) -> WorkflowDefinition:
        """The definition of a class. Raises TypeError if it is not a workflow."""
        definition = vars(workflow).get(DEFINITION) if hasattr(workflow, "__dict__") else None
        if not isinstance(definition, WorkflowDefinition):
            name = getattr(workflow, "__qualname__", repr(workflow))
            raise TypeError(
                f"{name} is not a workflow; decorate the class with @workflow.defn, or derive it from "
                "tenuto.steps.WorkflowEntrypoint and give it a run method"
            )
        return definition

    @classmethod
    def of_run(cls, run: Callable[..., Any]) -> WorkflowDefinition | None:
        """The definition that a run method belongs to, None if it belongs to none (yet)."""
        definition = getattr(run, DEFINITION, None)
        return definition if isinstance(definition, WorkflowDefinition) else None


class KeyedDefinition(WorkflowDefinition):
    """A workflow type of a notation whose steps have names: its recorded work is matched by key, see `replay/keyed.py`.

    `run` gets what `construct` made, and the arguments of the start. Any exception that leaves it fails the run. A
    notation derives from this class and hangs an object of it on each class of the user's, as `DEFINITION`."""

    def __init__(self, cls: type[Any], name: str, run: Callable[..., Any], queries: dict[str, Callable[..., Any]]):
        self.cls = cls
        self.name = name
        self.run = run
        self.signature = signature_of(run, method=True)
        self.failure_exception_types = (Exception,)
        self.signals = {}
        self.queries = {name: Handler(name, function) for name, function in queries.items()}
        self.updates = {}
        self.init_takes_arguments = False

    def construct(self, instance: KeyedInstance) -> Any:
        """What the code of one run has in its hands. None of the user's code should run yet."""
        raise NotImplementedError

    def take_signal(self, made: Any, signal: WorkflowExecutionSignaled) -> None:
        """A signal has come; `made` is what `construct` returned."""
        raise NotImplementedError


def _marked(cls: type[Any], kind: str) -> list[tuple[str, Callable[..., Any]]]:
    """(name, function) of the methods that were decorated as `kind`, overridden ones left out."""
    found: list[tuple[str, Callable[..., Any]]] = []
    for attribute in dir(cls):
        function = inspect.getattr_static(cls, attribute, None)
        mark = getattr(function, MARK, None)
        if mark is not None and mark[0] == kind:
            assert callable(function)
            found.append((mark[1], function))
    return found


def resolve_workflow(workflow: Any) -> tuple[WorkflowDefinition | None, str]:
    """The definition, as far as it is known here, and the type's name."""
    if isinstance(workflow, str):
        return None, workflow
    definition = WorkflowDefinition.of_run(workflow)
    if definition is None:
        definition = WorkflowDefinition.of(workflow)
    return definition, definition.name


def handler_name(handler: str | Callable[..., Any], kind: str) -> str:
    """The name of a signal, query or update that is given as a method or by name."""
    if isinstance(handler, str):
        return handler
    mark = getattr(handler, MARK, None)
    if mark is None or mark[0] != kind:
        raise TypeError(f"{getattr(handler, '__qualname__', handler)!r} is not a @workflow.{kind} method")
    name: str = mark[1]
    return name
