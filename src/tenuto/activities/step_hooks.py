"""What tests may change of the steps of an instance. A client without hooks runs steps as they are.

Histories are written as usual, so an instance that was tampered with is replayed like any other; the answers should
therefore stay the same for as long as the instance lives, except as attempts go by.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct


class StepAt(Struct, frozen=True):
    """A step, sleep or wait of one instance. `count` is the how-manieth of its name it is, from 1; so is `attempt`,
    which is 0 for what has no attempts. `instance_id` is the workflow id."""

    workflow_name: str
    instance_id: str
    name: str
    count: int
    attempt: int = 0


class StepHooks(Protocol):
    """Asked on the event loop that the client lives on; must not block. Set as `client.step_hooks`."""

    def step_result(self, step: StepAt) -> tuple[Any] | None:
        """`(value,)` to be the result of this attempt, instead of running it."""
        ...

    def step_error(self, step: StepAt) -> Exception | None:
        """What this attempt raises, instead of running."""
        ...

    def step_times_out(self, step: StepAt) -> bool:
        """Does this attempt time out at once, instead of running?"""
        ...

    def retry_delay(self, step: StepAt, seconds: float) -> float:
        """How long to wait after this attempt, which failed; `seconds` is what its configuration says."""
        ...

    def skips_sleep(self, sleep: StepAt) -> bool:
        """Does this sleep end at once?"""
        ...

    def event_times_out(self, wait: StepAt) -> bool:
        """Does this wait for an event time out at once, even if there is an event?"""
        ...
