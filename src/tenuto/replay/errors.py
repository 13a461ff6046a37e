"""What workflow code can run into besides failures, and the signals that its control flow uses."""

from __future__ import annotations

from typing import Any

from tenuto.model.commands import Command, ContinueAsNew, check
from tenuto.model.errors import TenutoError


class ReadOnlyContextError(TenutoError):
    """A query or a validator tried to change something or to start work."""


class NotInWorkflowError(TenutoError, RuntimeError):
    """A function of `tenuto.workflow` was called outside a workflow."""


class RunEndedError(BaseException):
    """Leaves the run method to end the run with `command`, whatever an `except Exception` on its way catches."""

    def __init__(self, command: Command, message: str = "") -> None:
        super().__init__(message)
        self.command = command


class ContinueAsNewError(RunEndedError):
    """Ends the run and begins the next; raised by `workflow.continue_as_new`. Let it pass: it derives from
    BaseException so that `except Exception` does."""

    def __init__(self, command: ContinueAsNew) -> None:
        check(command)
        super().__init__(command, "workflow.continue_as_new() must be allowed to leave the workflow's run method")


class InstanceEvictedError(BaseException):
    """The suspended workflow was taken out of memory while this code was ending; nothing it does is recorded."""


def describe_names(kind: str, names: dict[str, Any]) -> str:
    """`known signals: a, b` for error messages."""
    return f"known {kind}: {', '.join(sorted(names))}" if names else f"the workflow has no {kind}"
