"""What went wrong, as one line on stderr and an exit code."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Set to 1, it lets tracebacks through.
DEBUG = "TENUTO_DEBUG"


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    STORE = 5
    BUG = 70
    INTERRUPTED = 130


EXIT_CODES = """\
0    all went well
1    the workflow, update or query failed
2    bad usage or bad input: no JSON, no such file or class, an id that is taken
3    not found
4    no worker, no engine, or no answer in time
5    the store: not a Tenuto file, newer, damaged, full, or owned by another process
70   a fault of Tenuto itself
130  interrupted"""


class CommandError(Exception):
    """Ends the command with `message` and `code`."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """`command`, whose errors end the process with one line on stderr and the code that says of which kind they are."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            leave(Exit.INTERRUPTED)
        except BrokenPipeError:  # whoever reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            leave(Exit.OK)
        except Exception as error:
            if os.environ.get(DEBUG) == "1":
                raise
            code, text = explained(error)
            say(f"tenuto: {text}")
            leave(code)

    return run


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def leave(code: Exit) -> NoReturn:
    raise SystemExit(int(code))


def explained(error: Exception) -> tuple[Exit, str]:
    """Of which kind `error` is, and what to say of it."""
    from tenuto import client
    from tenuto.exceptions import WorkflowAlreadyStartedError
    from tenuto.model.errors import PayloadError, RPCError, StoreError

    match error:
        case CommandError():
            return error.code, str(error)
        case client.WorkflowFailureError() | client.WorkflowUpdateFailedError():
            return Exit.FAILED, chain(error)
        case client.WorkflowQueryFailedError() | client.WorkflowQueryRejectedError():
            return Exit.FAILED, one_line(f"the query failed: {error}")
        case client.WorkflowUpdateRPCTimeoutOrCancelledError():
            return Exit.UNAVAILABLE, one_line(str(error))
        case WorkflowAlreadyStartedError():
            run = f" (run {error.run_id})" if error.run_id else ""
            return Exit.USAGE, f"the id {error.workflow_id!r} is taken{run}; use another, or --id-conflict, --id-reuse"
        case RPCError():
            return _of_request(error), one_line(error.message)
        case StoreError():
            return Exit.STORE, one_line(str(error))
        case PayloadError():
            return Exit.USAGE, one_line(str(error))
    return Exit.BUG, one_line(f"internal error: {type(error).__name__}: {error} ({DEBUG}=1 shows where)")


def bad_input(error: Exception) -> CommandError:
    """What a user gave was refused."""
    return CommandError(one_line(str(error)))


def chain(error: BaseException) -> str:
    """The error and what caused it, in one line."""
    texts: list[str] = []
    here: BaseException | None = error
    while here is not None:
        text = str(here)
        # Many errors quote their cause at the end; what was said already is not said again.
        texts = [said.removesuffix(text).rstrip(": ") for said in texts]
        texts.append(text or type(here).__name__)
        here = here.__cause__
    return one_line(" <- ".join(text for text in texts if text))


def one_line(text: str) -> str:
    return " ".join(text.split())


def _of_request(error: Any) -> Exit:
    from tenuto.model.errors import RPCStatusCode as Status

    match error.status:
        case Status.NOT_FOUND:
            return Exit.NOT_FOUND
        case Status.INVALID_ARGUMENT | Status.ALREADY_EXISTS:
            return Exit.USAGE
        case Status.UNAVAILABLE | Status.DEADLINE_EXCEEDED | Status.RESOURCE_EXHAUSTED | Status.CANCELLED:
            return Exit.UNAVAILABLE
    return Exit.FAILED
