"""What a binding passes to an instance beside its parameters: the second, hidden argument of the start."""

from __future__ import annotations

from msgspec import Struct

from tenuto.model.failures import Failure
from tenuto.model.limits import MIB
from tenuto.model.payloads import Payload

#: Steps that one instance may do, unless its binding says otherwise, and the least and the most that one may say.
STEP_LIMIT, LEAST_STEPS, MOST_STEPS = 10_000, 1, 25_000
#: Bytes of the result of one step, unless the binding says otherwise.
RESULT_LIMIT = MIB


class Outcome(Struct, omit_defaults=True):
    """What is on record of a step, sleep or wait: a result, or a failure. A sleep has neither; the result of a wait is
    the event as `{"payload", "timestamp", "type"}`, whose timestamp is in nanoseconds since the epoch."""

    result: Payload | None = None
    failure: Failure | None = None


class StartOptions(Struct, omit_defaults=True):
    """`kept` has results of an earlier run that hold for this one too, by key; see `keys.py`."""

    step_limit: int = STEP_LIMIT
    result_limit: int = RESULT_LIMIT
    concurrency: int | None = None
    kept: dict[str, Outcome] = {}
