"""Running a callable as a step of a run: an activity whose code is a closure of the run's own."""

from __future__ import annotations

from functools import lru_cache

from tenuto.activities.step_code import StepCode
from tenuto.activities.step_config import StepConfig
from tenuto.activities.step_errors import raised_from
from tenuto.converter import DataConverter
from tenuto.exceptions import ActivityError
from tenuto.model import commands as cmd
from tenuto.model.payloads import Payload
from tenuto.model.policies import RetryState
from tenuto.model.tasks import STEPS
from tenuto.replay.calls import ActivityCall, ActivityCancellationType
from tenuto.replay.keyed import KeyedInstance

#: Makes the code of a run decide about what it asks for now, as after a change of the code. Signals of notations with
#: named steps whose names begin with `RESERVED` are ours.
RESERVED = "__tenuto_"
WAKE_SIGNAL = f"{RESERVED}wake"


def step_queue(task_queue: str) -> str:
    """Where the steps of workflows of `task_queue` wait for a worker: one that has the workflows' code, which not
    every worker for the queue's activities has."""
    return task_queue + STEPS


async def run_step(
    instance: KeyedInstance,
    activity_id: str,
    config: StepConfig,
    code: StepCode,
    cancellation: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
) -> Payload:
    """Run `code` as the step that `activity_id` names, unless that is recorded, and return its encoded result.

    Raises what the step failed with: builtin exceptions as themselves, others as `StepError`."""
    command = cmd.ScheduleActivity(
        activity_id,
        code.name,
        step_queue(instance.started.task_queue),
        [_encoded(config, instance.converter)],
        None,
        None,
        config.backstop,
        None,
        config.retry_policy(),
    )
    instance.register(activity_id, code)
    try:
        while True:
            try:
                return (await ActivityCall(instance, command, cancellation).result())[0]
            except ActivityError as error:
                # Whoever cancels a step does not wait for it: it was given up by code that did not ask for it.
                if error.retry_state is not RetryState.CANCEL_REQUESTED:
                    raise raised_from(error.cause, code.name) from None
    finally:
        instance.unregister(activity_id)


@lru_cache(maxsize=1000)
def _encoded(config: StepConfig, converter: DataConverter) -> Payload:
    """Many steps have the same options."""
    return converter.encode(config)
