"""Task definitions."""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.graph.checks.problem import Problem, under
from tenuto.graph.checks.templates import check_template
from tenuto.graph.definitions import TaskDef


def check_task_definition(definition: TaskDef, path: str) -> Iterator[Problem]:
    """All but the name, which is not needed everywhere."""
    timeout, response = definition.timeout_seconds, definition.response_timeout_seconds
    total = definition.total_timeout_seconds
    if response < 1:
        yield Problem(under(path, "responseTimeoutSeconds"), "responseTimeoutSeconds must be at least 1", response)
    elif 0 < timeout < response:
        message = f"responseTimeoutSeconds ({response}) can't be longer than timeoutSeconds ({timeout})"
        yield Problem(under(path, "responseTimeoutSeconds"), message, response)
    if 0 < total < timeout:
        message = f"timeoutSeconds ({timeout}) can't be longer than totalTimeoutSeconds ({total})"
        yield Problem(under(path, "timeoutSeconds"), message, timeout)
    yield from check_template(definition.input_template, under(path, "inputTemplate"))
