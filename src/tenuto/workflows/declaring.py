"""Declaring workflows: the class, its run method, its handlers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from tenuto.replay.definition import DEFINITION, MARK, WorkflowDefinition

ClassT = TypeVar("ClassT", bound=type[Any])
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@overload
def defn(cls: ClassT) -> ClassT: ...


@overload
def defn(
    *, name: str | None = None, failure_exception_types: Sequence[type[BaseException]] = ()
) -> Callable[[ClassT], ClassT]: ...


def defn(
    cls: type[Any] | None = None,
    *,
    name: str | None = None,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Any:
    """Declare a class as a workflow. `name` is its type (by default the class's name); exceptions of
    `failure_exception_types` fail the workflow, where others stop it until its code is put right.

    Raises ValueError if the class has no run method or more than one, or handlers that contradict each other."""

    def declare(cls: type[Any]) -> type[Any]:
        definition = WorkflowDefinition(cls, name or cls.__name__, tuple(failure_exception_types))
        setattr(cls, DEFINITION, definition)
        if "run" in vars(cls) or definition.run.__qualname__.startswith(cls.__qualname__ + "."):
            setattr(definition.run, DEFINITION, definition)
        return cls

    return declare if cls is None else declare(cls)


def run(function: FunctionT) -> FunctionT:
    """Declare the method that is the workflow."""
    setattr(function, MARK, ("run", function.__name__))
    return function


def init(function: FunctionT) -> FunctionT:
    """Declare that `__init__` takes the arguments of the run method, so that handlers find the object initialised."""
    if function.__name__ != "__init__":
        raise ValueError(f"@workflow.init belongs on __init__, not on {function.__qualname__}")
    setattr(function, MARK, ("init", "__init__"))
    return function


@overload
def signal(function: FunctionT) -> FunctionT: ...


@overload
def signal(*, name: str) -> Callable[[FunctionT], FunctionT]: ...


def signal(function: Any = None, *, name: str | None = None) -> Any:
    """Declare a method, sync or async, that takes a signal. It returns nothing to the sender."""
    return _handler("signal", function, name)


@overload
def query(function: FunctionT) -> FunctionT: ...


@overload
def query(*, name: str) -> Callable[[FunctionT], FunctionT]: ...


def query(function: Any = None, *, name: str | None = None) -> Any:
    """Declare a method that answers a query. It must be sync and must not change anything."""

    def check(function: Callable[..., Any]) -> None:
        if inspect.iscoroutinefunction(function):
            raise ValueError(f"{function.__qualname__} can't be async, because it is a @workflow.query method")

    return _handler("query", function, name, check)


@overload
def update(function: FunctionT) -> FunctionT: ...


@overload
def update(*, name: str) -> Callable[[FunctionT], FunctionT]: ...


def update(function: Any = None, *, name: str | None = None) -> Any:
    """Declare a method, sync or async, that takes an update and answers it. `@method.validator` declares a sync,
    read-only method with the same arguments that may refuse it by raising; a refused update leaves no trace."""

    def attach(function: Callable[..., Any]) -> None:
        def validator(check: FunctionT) -> FunctionT:
            function.__tenuto_validator__ = check  # type: ignore[attr-defined]
            return check

        function.validator = validator  # type: ignore[attr-defined]

    return _handler("update", function, name, attach)


def _handler(
    kind: str, function: Any, name: str | None, prepare: Callable[[Callable[..., Any]], None] | None = None
) -> Any:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(function, MARK, (kind, name or function.__name__))
        if prepare is not None:
            prepare(function)
        return function

    return declare if function is None else declare(function)
