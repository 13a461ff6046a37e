"""HTTP_POLL: the same call again and again, until a condition on its answer holds. Each run makes one call."""

from __future__ import annotations

from typing import Protocol

from tenuto.cage.errors import ScriptError
from tenuto.model.json_values import Json, encode_json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.system_tasks.bad_input import BadInput
from tenuto.system_tasks.http import HttpCaller, filtered
from tenuto.system_tasks.http_request import number, parse_request, request_keys

_DEFAULT_INTERVAL = 60.0
_DEFAULT_POLLS = 1000
_SHORTEST, _LONGEST = 0.1, 365 * 86400.0
#: Bytes of an answer that is stored for each unsuccessful poll; of a longer one only the head is.
_STORED = 16 * 1024


class Scripts(Protocol):
    """Where JavaScript runs."""

    async def javascript(self, script: str, dollar: Json, *, body: bool = False) -> Json:
        """The completion value of `script`, to which `dollar` is `$`."""
        ...


class HttpPoll:
    """The HTTP_POLL task."""

    def __init__(self, caller: HttpCaller, scripts: Scripts) -> None:
        self._caller = caller
        self._scripts = scripts

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """One call. Raises BadInput for an input that describes none, or no usable condition."""
        keys = {**task.input, **request_keys(task.input)}
        condition = keys.get("terminationCondition")
        if not isinstance(condition, str) or not condition.strip():
            raise BadInput("terminationCondition is missing; give JavaScript such as $.output.response.body.done")
        polls = max(1, task.poll_count)
        most, pause = _most_polls(keys), _pause(keys, polls)
        request = parse_request(keys)
        exchange = await self._caller.call(request)
        response = exchange.response
        if exchange.failure is not None:
            return SystemTaskResult("FAILED", {"response": response}, exchange.failure)
        dollar = {"output": {**response, "response": response}, "input": task.input}
        try:
            verdict = await self._scripts.javascript(condition, dollar)
        except ScriptError as error:
            return SystemTaskResult(
                "FAILED_WITH_TERMINAL_ERROR", {"response": response}, f"terminationCondition: {error}"
            )
        output = {"response": filtered(response, request.output_filter)}
        if verdict == -1 and not isinstance(verdict, bool):
            return SystemTaskResult("FAILED", output, f"terminationCondition gave -1 after poll {polls}")
        if verdict:
            return SystemTaskResult("COMPLETED", output)
        if polls >= most:
            return SystemTaskResult(
                "FAILED", output, f"terminationCondition did not hold in {most} polls (maxPollCount)"
            )
        return SystemTaskResult("IN_PROGRESS", {"response": _small(response)}, callback_after=pause)


def _most_polls(keys: dict[str, Json]) -> int:
    most = number(keys, "maxPollCount", _DEFAULT_POLLS)
    if most < 1:
        raise BadInput("maxPollCount must be at least 1")
    return int(most)


def _pause(keys: dict[str, Json], polls: int) -> float:
    """Seconds between poll number `polls` and the next."""
    interval = number(keys, "pollingInterval", _DEFAULT_INTERVAL)
    if interval < 0:
        raise BadInput("pollingInterval is a number of seconds and can't be negative")
    strategy = keys.get("pollingStrategy") or "FIXED"
    if strategy == "LINEAR_BACKOFF":
        interval *= polls
    elif strategy == "EXPONENTIAL_BACKOFF":
        interval *= 2.0 ** min(polls - 1, 40)
    elif strategy != "FIXED":
        raise BadInput(f"pollingStrategy {strategy!r} is unknown; give FIXED, LINEAR_BACKOFF or EXPONENTIAL_BACKOFF")
    return min(max(interval, _SHORTEST), _LONGEST)


def _small(response: dict[str, Json]) -> dict[str, Json]:
    """What is shown of an answer that was not the last. A thousand polls must not store a thousand long bodies."""
    size = len(encode_json(response["body"]))
    if size <= _STORED:
        return response
    return {**response, "body": f"({size} bytes, shown once the polling ends)"}
