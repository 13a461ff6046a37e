"""HTTP_POLL: one call a run, until its condition holds."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.model.system_tasks import SystemTaskResult
from tenuto.system_tasks.registry import SystemTasks
from tests.integration.system_tasks.running import system_task


async def poll(tasks: SystemTasks, uri: str, condition: str, polls: int = 1, **keys: Any) -> SystemTaskResult:
    request = {"uri": uri, "method": "GET", "terminationCondition": condition, **keys}
    return await tasks.run(system_task("HTTP_POLL", {"http_request": request, "wanted": 7}, poll_count=polls))


@pytest.mark.parametrize(
    "condition",
    [
        "(function(){ return $.output.response.body.n == 7; })();",
        "$.output.response.body.n === $.input.wanted ? 1 : 0",
        "$.output.body.n > 6 && $.output.statusCode == 200",
    ],
)
async def test_it_completes_when_the_condition_holds(tasks: SystemTasks, base: str, condition: str) -> None:
    result = await poll(tasks, base + '/answer?body={"n":7}', condition)
    assert (result.status, result.reason) == ("COMPLETED", None)
    assert result.output["response"]["body"] == {"n": 7}


async def test_minus_one_fails_it(tasks: SystemTasks, base: str) -> None:
    result = await poll(tasks, f"{base}/answer", "-1")
    assert result.status == "FAILED"
    assert "gave -1" in (result.reason or "")


@pytest.mark.parametrize(
    ("strategy", "pauses"),
    [("FIXED", [2.0, 2.0, 2.0]), ("LINEAR_BACKOFF", [2.0, 4.0, 6.0]), ("EXPONENTIAL_BACKOFF", [2.0, 4.0, 8.0])],
)
async def test_pauses(tasks: SystemTasks, base: str, strategy: str, pauses: list[float]) -> None:
    uri = f"{base}/answer"
    results = [
        await poll(tasks, uri, "false", polls, pollingInterval="2", pollingStrategy=strategy) for polls in (1, 2, 3)
    ]
    assert {result.status for result in results} == {"IN_PROGRESS"}
    assert [result.callback_after for result in results] == pauses


async def test_a_pause_is_never_zero_nor_endless(tasks: SystemTasks, base: str) -> None:
    uri = f"{base}/answer"
    assert (await poll(tasks, uri, "0", pollingInterval=0)).callback_after == 0.1
    strategy = {"pollingStrategy": "EXPONENTIAL_BACKOFF", "maxPollCount": 10_000}
    assert (await poll(tasks, uri, "0", 5000, **strategy)).callback_after == 365 * 86400


async def test_polls_are_counted(tasks: SystemTasks, base: str) -> None:
    assert (await poll(tasks, f"{base}/answer", "0", 2, maxPollCount=3)).status == "IN_PROGRESS"
    result = await poll(tasks, f"{base}/answer?body=last", "0", 3, maxPollCount=3)
    assert result.status == "FAILED"
    assert "3 polls" in (result.reason or "")
    assert result.output["response"]["body"] == "last"


async def test_a_bad_answer_fails_it(tasks: SystemTasks, base: str) -> None:
    result = await poll(tasks, f"{base}/answer?status=500", "true")
    assert result.status == "FAILED"
    assert result.output["response"]["statusCode"] == 500
    assert (await poll(tasks, f"{base}/answer?status=503", "false", acceptedStatusCodes=[503])).status == "IN_PROGRESS"


async def test_long_answers_are_shown_only_at_the_end(tasks: SystemTasks, base: str) -> None:
    uri = f"{base}/answer?body={'x' * 20_000}"
    assert (await poll(tasks, uri, "false")).output["response"]["body"].startswith("(20002 bytes")
    assert (await poll(tasks, uri, "true")).output["response"]["body"] == "x" * 20_000


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"terminationCondition": ""}, "terminationCondition is missing"),
        ({"maxPollCount": 0}, "maxPollCount"),
        ({"pollingInterval": -1}, "pollingInterval"),
        ({"pollingStrategy": "SOMETIMES"}, "pollingStrategy 'SOMETIMES'"),
        ({"uri": None}, "uri is missing"),
    ],
)
async def test_bad_input(tasks: SystemTasks, base: str, keys: dict[str, Any], says: str) -> None:
    request = {"uri": f"{base}/answer", "method": "GET", "terminationCondition": "true"} | keys
    result = await tasks.run(system_task("HTTP_POLL", request))
    assert result.status == "FAILED"
    assert says in (result.reason or "")


async def test_a_broken_condition_is_final(tasks: SystemTasks, base: str) -> None:
    result = await poll(tasks, f"{base}/answer", "$.output.nothing.there")
    assert result.status == "FAILED_WITH_TERMINAL_ERROR"
    assert (result.reason or "").startswith("terminationCondition: ")
