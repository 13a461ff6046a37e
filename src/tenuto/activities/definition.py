"""What `@activity.defn` declares of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tenuto.common import RetryPolicy
from tenuto.signatures import Signature, signature_of

DEFINITION = "__tenuto_activity__"
NO_RETRY_POLICY = RetryPolicy()


class ActivityOptions(Struct, frozen=True, kw_only=True):
    """Defaults for every call of an activity; durations are seconds."""

    task_queue: str | None = None
    schedule_to_close: float | None = None
    schedule_to_start: float | None = None
    start_to_close: float | None = None
    heartbeat: float | None = None
    retry_policy: RetryPolicy = NO_RETRY_POLICY


NO_OPTIONS = ActivityOptions()


class ActivityDefinition:
    """An activity type. `function` is what the user wrote, None if only the name is known."""

    __slots__ = ("callable", "function", "is_async", "name", "options", "signature")

    def __init__(
        self, name: str, function: Callable[..., Any] | None, options: ActivityOptions, *, method: bool = False
    ) -> None:
        self.name = name
        self.function = function
        self.options = options
        self.signature: Signature | None = None
        self.is_async = False
        #: What the module holds under the function's name, so that other processes can import it.
        self.callable: Callable[..., Any] | None = None
        if function is not None:
            self.signature = signature_of(function, method=method)
            self.is_async = inspect.iscoroutinefunction(function)


_by_name: dict[str, ActivityDefinition] = {}


def resolve(activity: Callable[..., Any] | str | ActivityDefinition) -> ActivityDefinition:
    """The definition of what a workflow calls: a declared function, or just a name. Raises TypeError for others."""
    if isinstance(activity, ActivityDefinition):
        return activity
    if isinstance(activity, str):
        definition = _by_name.get(activity)
        if definition is None:
            definition = ActivityDefinition(activity, None, NO_OPTIONS)
            if len(_by_name) < 10_000:
                _by_name[activity] = definition
        return definition
    return of(activity)


def of(function: Callable[..., Any]) -> ActivityDefinition:
    """The definition of a declared function or method. Raises TypeError if it is not declared."""
    definition = getattr(function, DEFINITION, None)
    if not isinstance(definition, ActivityDefinition):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} is not an activity; decorate it with @activity.defn")
    return definition
