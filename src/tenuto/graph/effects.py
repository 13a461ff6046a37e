"""What must happen outside a graph execution because of what was decided in it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tenuto.model.json_values import Json
from tenuto.model.messages import Message


class Offer(Struct, frozen=True, gc=False):
    """This task may be handed out: to a worker, or to the engine's own system tasks."""

    number: int


class Retract(Struct, frozen=True, gc=False):
    """This task is over, or not to be handed out for now: no queue must hold it, nobody go on with it."""

    number: int


class RunSystemTask(Struct, frozen=True, gc=False):
    """Run this task in the engine's process, once its start is on record."""

    number: int


class Evaluate(Struct, frozen=True, gc=False):
    """Run a script; the result comes back through `decider.evaluated`. Has no effects outside, so needs no commit."""

    number: int
    language: Literal["javascript", "jq"]
    script: str
    value: Json
    body: bool = False
    """JavaScript only: the script is the body of a function, which returns."""


class Wake(Struct, frozen=True, gc=False):
    """Let the execution decide again at `at`, whatever happens before."""

    at: int


class LookUp(Struct, frozen=True, gc=False):
    """Find out whether there is a definition of this name that is not known here yet, and let the execution decide
    again."""

    name: str


class Send(Struct, frozen=True, gc=False):
    """Deliver `message` to another execution."""

    message: Message


class Closed(Struct, frozen=True, gc=False):
    """The execution has ended; those who wait can be told."""


class Removed(Struct, frozen=True, gc=False):
    """Nothing of the execution is to remain."""


Effect = Offer | Retract | RunSystemTask | Evaluate | Wake | LookUp | Send | Closed | Removed
