"""Hooks: functions called before and after nodes and whole runs.

    @workflow.hooks.pre_execution                    every node
    @workflow.hooks.post_execution("fetch_user")     one node, by name
    @workflow.hooks.on_error(ConnectionError)        one kind of error
    @workflow.hooks.on_error("fetch_user", ConnectionError)

A hook gets one dict: node, result, error, target_name, attempt_number (from 1), is_final_attempt. What a hook raises is
logged and has no effect on the run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Hook", "HookPoint", "Hooks"]

logger = logging.getLogger(__name__)

Hook = Callable[[dict[str, Any]], Any]
F = TypeVar("F", bound=Callable[..., Any])


class _Registered(NamedTuple):
    hook: Hook
    target: str | None
    error: type[BaseException] | None


class HookPoint:
    """A place at which hooks are called; a decorator, bare or with a node's name, an exception class or both."""

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        self.name = name
        self._changed = changed
        self._registered: list[_Registered] = []

    def __call__(self, *filters: Any) -> Any:
        if len(filters) == 1 and callable(filters[0]) and not isinstance(filters[0], type):
            return self._register(filters[0], None, None)
        target = next((f for f in filters if isinstance(f, str)), None)
        error = next((f for f in filters if isinstance(f, type) and issubclass(f, BaseException)), None)
        if len(filters) != (target is not None) + (error is not None):
            raise TypeError(f"{self.name} takes a node's name, an exception class, or both, not {filters!r}")
        return lambda hook: self._register(hook, target, error)

    def _register(self, hook: F, target: str | None, error: type[BaseException] | None) -> F:
        self._registered.append(_Registered(hook, target, error))
        self._changed()
        return hook

    def call(self, context: dict[str, Any], *names: str) -> None:
        """Call the hooks that are for this target (known by any of `names`) and this error."""
        for hook, target, kind in self._registered:
            if target is not None and target not in names:
                continue
            if kind is not None and not isinstance(context["error"], kind):
                continue
            try:
                hook(context)
            except Exception:
                logger.exception("hook %s for %r failed", self.name, context["target_name"])

    def __bool__(self) -> bool:
        return bool(self._registered)


class Hooks:
    """The hook points of a Sequence."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.pre_execution = HookPoint("pre_execution", changed)
        self.post_execution = HookPoint("post_execution", changed)
        #: Called for every failed attempt.
        self.on_error = HookPoint("on_error", changed)
        self.pre_sequence = HookPoint("pre_sequence", changed)
        self.post_sequence = HookPoint("post_sequence", changed)
        self.on_sequence_error = HookPoint("on_sequence_error", changed)

    def __bool__(self) -> bool:
        return any(isinstance(point, HookPoint) and bool(point) for point in vars(self).values())
