"""Nodes: functions, and objects with a method `execute`, as steps of a chain."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, overload

from tenuto.sequence.caches import Cache, cached
from tenuto.sequence.circuits import Circuit, guarded
from tenuto.sequence.parameters import Parameters
from tenuto.sequence.stages import Stage
from tenuto.sequence.state import SharedState

__all__ = ["BaseNode", "FunctionNode", "Node", "node"]


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


#: No fallback is set: None is a legal one.
UNSET: Any = _Unset()


class BaseNode(Stage):
    """A node: what all kinds of them have.

    Attributes that may be set after it was made, None if there is nothing to say:

    max_retries: attempts in total, whatever the configuration says.
    compensation: the node that undoes this one (`compensate_with`)."""

    kind = "node"
    is_node = True
    #: The node sees to its own retries.
    retries_itself = False
    #: Decided by a decision after it, see `node.router`.
    is_router = False

    def __init__(self, name: str, call: Callable[..., Any], signature: Callable[..., Any]) -> None:
        if not name or not isinstance(name, str):
            raise ValueError(f"a node's name is a text that is not empty, not {name!r}")
        super().__init__(name)
        self.original_name = name
        #: What is called when the node is executed in a run.
        self.call = call
        self.parameters = Parameters(name, signature)
        self.is_async = inspect.iscoroutinefunction(signature) or inspect.iscoroutinefunction(
            getattr(signature, "__call__", None)  # noqa: B004 - an object's own
        )
        self.max_retries: int | None = None
        self.compensation: BaseNode | None = None
        self._fallback_value: Any = UNSET

    @property
    def fallback_value(self) -> Any:
        """What the node is taken to have returned when it has finally failed. None can be set."""
        return None if self._fallback_value is UNSET else self._fallback_value

    @fallback_value.setter
    def fallback_value(self, value: Any) -> None:
        self._fallback_value = value

    @fallback_value.deleter
    def fallback_value(self) -> None:
        self._fallback_value = UNSET

    @property
    def has_fallback(self) -> bool:
        """True if a fallback value was set."""
        return self._fallback_value is not UNSET

    def fallback_output(self) -> Any:
        """The fallback value for one run: a dict or list is copied, so that nobody changes the original."""
        value = self._fallback_value
        return copy.deepcopy(value) if isinstance(value, dict | list) else value

    def alias(self, name: str) -> BaseNode:
        """The same node under another name. Raises ValueError for an empty name."""
        if not name or not isinstance(name, str):
            raise ValueError(f"an alias is a text that is not empty, not {name!r}")
        other = self._copy()
        other.name = name
        return other

    def compensate_with(self, compensation: Any) -> BaseNode:
        """This node, undone by `compensation` (a node or a function) when the run fails after the node has succeeded.

        Compensations run from the last node back, each with what its node returned, by the same rules as any node. If
        one fails, the others still run, and the run's error has a note that says so."""
        undoing = compensation if isinstance(compensation, BaseNode) else FunctionNode(compensation)
        other = self._copy()
        other.compensation = undoing
        return other

    def _copy(self) -> BaseNode:
        other = self.__class__.__new__(self.__class__)
        other.__dict__.update(self.__dict__)
        other.next_node = None
        return other

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what the node is made of: no retry, no fallback, nothing recorded."""
        raise NotImplementedError


class Node(BaseNode):
    """Base of nodes that are classes: define `execute`, sync or async, with parameters as a node's function has."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Node:
        # Not in __init__, which a subclass may define without calling this one.
        made = super().__new__(cls)
        made._become(made.execute, made.execute)
        return made

    def _become(self, signature: Callable[..., Any], call: Callable[..., Any]) -> None:
        """Take the parameters of the method `signature`; `call` is what runs."""
        BaseNode.__init__(self, type(self).__name__, call, signature)

    def __init__(self, label: str | None = None, max_retries: int | None = None) -> None:
        if label is not None:
            self.name = self.original_name = self.parameters.node = label
        self.max_retries = max_retries

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """What the node does."""
        raise NotImplementedError(f"{type(self).__name__} has to define execute()")

    def _copy(self) -> BaseNode:
        other = super()._copy()
        other.call = getattr(other, self.call.__name__)  # bound to the copy
        return other

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)


class FunctionNode(BaseNode):
    """A function as a node; made by `node`. `exec` is the function itself."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        *,
        max_retries: int | None = None,
        circuit: Circuit | None = None,
        cache: Cache | bool | float | str | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a node is made from a function, not from {function!r}")
        name = getattr(function, "__name__", type(function).__name__) if name is None else name
        super().__init__(name, function, function)
        functools.update_wrapper(self, function, updated=())
        self.exec = function
        self.max_retries = max_retries
        if circuit is not None:
            self.call = guarded(self.call, circuit, name, self.is_async)
        if cache is not None and cache is not False:
            self.call = cached(self.call, Cache.of(cache), self.is_async)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.exec(*args, **kwargs)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """For unit tests: call the function with these arguments, and nothing else: no retry, no fallback. A shared
        state that is not given is an empty one; an async function is run to its end."""
        result = self._call_for_test(args, kwargs)
        if inspect.iscoroutine(result):
            from tenuto.sequence.portal import run_coroutine  # which only async functions need

            return run_coroutine(result)
        return result

    async def async_execute(self, *args: Any, **kwargs: Any) -> Any:
        """`execute`, for tests that are async themselves."""
        result = self._call_for_test(args, kwargs)
        return await result if inspect.isawaitable(result) else result

    def _call_for_test(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wanted = self.parameters.state
        if wanted is not None and not any(isinstance(a, SharedState) for a in (*args, *kwargs.values())):
            kwargs = {**kwargs, wanted: SharedState()}
        return self.exec(*args, **kwargs)

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By reference, as functions are: the name in its module is this node, not the function.
        return str(self.__qualname__)  # type: ignore[attr-defined]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # A node that is an attribute of a class stays a node: nothing is bound to it.
        return self


class _NodeDecorator:
    """Type of `node`."""

    @overload
    def __call__(self, name: Callable[..., Any]) -> FunctionNode: ...

    @overload
    def __call__(
        self,
        name: str | None = None,
        *,
        max_retries: int | None = None,
        fallback_value: Any = UNSET,
        circuit: Circuit | None = None,
        cache: Cache | bool | float | str | None = None,
    ) -> Callable[[Callable[..., Any]], FunctionNode]: ...

    def __call__(
        self,
        name: str | Callable[..., Any] | None = None,
        *,
        max_retries: int | None = None,
        fallback_value: Any = UNSET,
        circuit: Circuit | None = None,
        cache: Cache | bool | float | str | None = None,
    ) -> FunctionNode | Callable[[Callable[..., Any]], FunctionNode]:
        """Make a node of a function: `@node`, `@node("name")`, or with options. Names need not be unique.

        max_retries: attempts in total. fallback_value: output when all have failed.
        circuit: `Circuit(failures=3, reset="5m")` stops calling a node that fails again and again.
        cache: True, or how long ("10m", seconds), or a `Cache`: the same arguments give the earlier output.

        Raises ValueError for an empty name, and for a function with several parameters annotated SharedState."""
        if callable(name):
            return FunctionNode(name)

        def decorate(function: Callable[..., Any]) -> FunctionNode:
            made = FunctionNode(function, name, max_retries=max_retries, circuit=circuit, cache=cache)
            made._fallback_value = fallback_value
            return made

        return decorate

    def router(
        self, name: str | Callable[..., Any] | None = None
    ) -> FunctionNode | Callable[[Callable[..., Any]], FunctionNode]:
        """`node`, for one whose output chooses the branch of the decision after it."""
        if callable(name):
            return _as_router(FunctionNode(name))
        return lambda function: _as_router(FunctionNode(function, name))


def _as_router(made: FunctionNode) -> FunctionNode:
    made.is_router = True
    return made


node = _NodeDecorator()
