"""Drives a server through its REST API, so that a scenario reads in a few lines.

await conductor.register(workflow("greet", simple("hello")))
id = await conductor.start("greet", {"name": "Ada"})
await conductor.complete(await conductor.poll("hello"), {"text": "Hello Ada"})
assert (await conductor.workflow(id))["status"] == "COMPLETED"
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from tenuto.engine.timers import HORIZON
from tenuto.server.services import Services
from tenuto.testing.clock import ManualClock

Json = Any

#: Seconds of real time in which something that is bound to happen has to have happened.
PATIENCE = 15.0


#: Seconds of manual time: what passes in steps, and a step.
LAST, STEP = 60, 8


class Conductor:
    """A server, by its REST API. With a `clock` its time passes only by `advance`. There may be more servers behind the
    client: `others` are their services and clocks."""

    def __init__(
        self,
        services: Services,
        client: httpx.AsyncClient,
        clock: ManualClock | None = None,
        others: Sequence[tuple[Services, ManualClock | None]] = (),
    ) -> None:
        self.services = services
        self.client = client
        self.clock = clock
        self._all_services = [services, *(services for services, _ in others)]
        self._clocks = [each for each in (clock, *(clock for _, clock in others)) if each is not None]

    # -- requests ----------------------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, body: Json = None, *, expect: int = 200, **query: Any) -> Json:
        """Ask; the answer must have the status `expect`. Returns its JSON, its text if it is none, or None."""
        response = await self.client.request(method, path, json=body, params=query or None)
        assert response.status_code == expect, f"{method} {path}: {response.status_code} {response.text}"
        if not response.content:
            return None
        if response.headers["content-type"].startswith("application/json"):
            return response.json()
        return response.text

    async def get(self, path: str, *, expect: int = 200, **query: Any) -> Json:
        return await self.call("GET", path, expect=expect, **query)

    async def post(self, path: str, body: Json = None, *, expect: int = 200, **query: Any) -> Json:
        return await self.call("POST", path, body, expect=expect, **query)

    # -- definitions and executions ----------------------------------------------------------------------------------

    async def register(self, *definitions: Json) -> None:
        """Register workflow definitions (they have `tasks`) and task definitions (they have none)."""
        for definition in definitions:
            if "tasks" in definition:
                await self.post("/metadata/workflow", definition, overwrite=True)
            else:
                await self.post("/metadata/taskdefs", [definition])

    async def start(self, name: str, input: Json = None, *, expect: int = 200, **request: Any) -> Any:
        """Start a workflow; returns its id."""
        body = {"name": name, "input": input or {}, **request}
        return await self.post("/workflow", body, expect=expect)

    async def run(self, *definitions: Json, input: Json = None, **request: Any) -> Any:
        """Register definitions and start the first; returns the id."""
        await self.register(*definitions)
        return await self.start(definitions[0]["name"], input, **request)

    async def workflow(self, id: str) -> Json:
        return await self.get(f"/workflow/{id}")

    async def status(self, id: str) -> Json:
        return (await self.get(f"/workflow/{id}", includeTasks=False))["status"]

    async def tasks(self, id: str) -> list[Json]:
        found: list[Json] = (await self.workflow(id))["tasks"]
        return found

    async def task(self, id: str, reference: str) -> Json:
        """The latest attempt of a task by its reference name; of a sub-workflow it may come in a moment."""
        for _ in range(100):
            found = [task for task in await self.tasks(id) if task["referenceTaskName"] == reference]
            if found:
                return found[-1]
            await asyncio.sleep(0.02)
        raise AssertionError(f"there is no task {reference} in {id}: {await self.references(id)}")

    async def references(self, id: str) -> list[str]:
        """The reference names of all tasks, in order."""
        return [task["referenceTaskName"] for task in await self.tasks(id)]

    async def statuses(self, id: str) -> dict[str, str]:
        """The statuses of the latest attempts by reference name."""
        return {task["referenceTaskName"]: task["status"] for task in await self.tasks(id)}

    async def until(self, id: str, status: str | Iterable[str] = "COMPLETED") -> Json:
        """Wait (real time) until the workflow has one of these statuses; returns it."""
        wanted = {status} if isinstance(status, str) else set(status)
        view: Json = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    view = await self.workflow(id)
                    if view["status"] in wanted:
                        return view
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"not {wanted} but {summary(view)}") from None

    async def until_task(self, id: str, reference: str, *statuses: str) -> Json:
        """Wait (real time) until the latest attempt of a task has one of these statuses (any, without); returns it."""
        view: Json = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    view = await self.workflow(id)
                    found = [task for task in view["tasks"] if task["referenceTaskName"] == reference]
                    if found and (not statuses or found[-1]["status"] in statuses):
                        return found[-1]
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{reference} is not {statuses} in {summary(view)}") from None

    # -- workers -----------------------------------------------------------------------------------------------------

    async def poll(self, type: str, *, worker: str = "w1", domain: str | None = None) -> Json:
        """Take a task, which must be there now or in a moment."""
        found = await self.poll_batch(type, 1, worker=worker, domain=domain, timeout=int(PATIENCE * 1000))
        assert found, f"no task {type} to be had"
        return found[0]

    async def poll_nothing(self, type: str, *, domain: str | None = None) -> None:
        """There must be no task."""
        found = await self.poll_batch(type, 1, domain=domain, timeout=0)
        assert found == []

    async def poll_batch(
        self, type: str, count: int, *, worker: str = "w1", domain: str | None = None, timeout: int = 1_000
    ) -> list[Json]:
        query = {"count": count, "workerid": worker, "timeout": timeout} | ({"domain": domain} if domain else {})
        found: list[Json] = await self.get(f"/tasks/poll/batch/{type}", **query)
        return found

    async def poll_many(self, type: str, count: int, **query: Any) -> list[Json]:
        """Take so many tasks, which must be there: a batch may be smaller where several servers have them."""
        found: list[Json] = []
        while len(found) < count:
            some = await self.poll_batch(type, count - len(found), timeout=int(PATIENCE * 1000), **query)
            assert some, f"only {len(found)} of {count} tasks {type} are to be had"
            found += some
        return found

    async def update(self, task: Json, status: str, output: Json = None, reason: str = "", **more: Any) -> Json:
        result = {
            "workflowInstanceId": task["workflowInstanceId"],
            "taskId": task["taskId"],
            "status": status,
            "outputData": output or {},
            "reasonForIncompletion": reason,
            "workerId": task.get("workerId"),
            **more,
        }
        return await self.post("/tasks", result)

    async def complete(self, task: Json, output: Json = None) -> Json:
        return await self.update(task, "COMPLETED", output)

    async def fail(self, task: Json, reason: str = "", *, terminal: bool = False, output: Json = None) -> Json:
        return await self.update(task, "FAILED_WITH_TERMINAL_ERROR" if terminal else "FAILED", output, reason)

    async def work(self, type: str, output: Json = None) -> Json:
        """Poll a task and complete it; returns it."""
        task = await self.poll(type)
        await self.complete(task, output)
        return task

    async def update_by_reference(self, id: str, reference: str, status: str = "COMPLETED", output: Json = None) -> Any:
        return await self.post(f"/tasks/{id}/{reference}/{status}", output or {})

    # -- time --------------------------------------------------------------------------------------------------------

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what it brings about happen."""
        assert self.clock is not None, "use the fixture `timed`"
        # Far deadlines are read from the store some time before they come, so the last minute passes in steps.
        if seconds > LAST:
            await self._pass(seconds - LAST)
            seconds = LAST
        while seconds > STEP:
            await self._pass(STEP)
            seconds -= STEP
        await self._pass(seconds)
        await self.settled()

    async def _pass(self, seconds: float) -> None:
        """Let time pass, until all engines have read what comes due soon: they wait, at most `HORIZON / 3`, before they
        do so again."""
        for clock in self._clocks:
            clock.advance(seconds)
        async with asyncio.timeout(PATIENCE):
            for clock in self._clocks:
                while not clock.now() < (clock.next_alarm or 0) <= clock.now() + HORIZON // 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

    async def settled(self) -> None:
        """What came due has been decided and is on record, chains of a few steps included."""
        for _ in range(8):
            await asyncio.sleep(0 if len(self._all_services) == 1 else 0.02)  # what goes through an inbox is read there
            for services in self._all_services:
                await services.graphs.recorded()

    async def told(self) -> None:
        """The servers have told each other how long their queues are, and who polls them."""
        for _ in range(2 if len(self._all_services) > 1 else 0):
            for services in self._all_services:
                await services.graphs.queues.peers.look()


def summary(view: Json) -> str:
    """A workflow in a line a task."""
    lines = [f"{view['workflowId']} {view['status']} {view.get('reasonForIncompletion', '')}"]
    lines += [
        f"  {task['referenceTaskName']} ({task['taskType']}) {task['status']} {task.get('reasonForIncompletion', '')}"
        for task in view.get("tasks", [])
    ]
    return "\n".join(lines)


# -- definitions -------------------------------------------------------------------------------------------------------


def workflow(name: str, *tasks: Json, **more: Any) -> Json:
    """A workflow definition."""
    return {"name": name, "version": 1, "tasks": list(tasks), "ownerEmail": "tests@example.com", **more}


def node(type: str, reference: str, input: Mapping[str, Any] | None = None, **more: Any) -> Json:
    """A task of any type in a workflow definition."""
    return {
        "name": more.pop("name", reference),
        "taskReferenceName": reference,
        "type": type,
        "inputParameters": dict(input or {}),
        **more,
    }


def simple(reference: str, input: Mapping[str, Any] | None = None, **more: Any) -> Json:
    """A worker's task; its type is its reference name unless `name` says otherwise."""
    return node("SIMPLE", reference, input, **more)


def task_def(name: str, **more: Any) -> Json:
    """A task definition that is never tried again, unless `more` says so."""
    return {"name": name, "retryCount": 0, "retryDelaySeconds": 0, "ownerEmail": "tests@example.com", **more}


def inline(reference: str, expression: str, **more: Any) -> Json:
    """A script; `input` adds to what it sees."""
    input = {"evaluatorType": "javascript", "expression": expression, **more.pop("input", {})}
    return node("INLINE", reference, input, **more)


def fork(reference: str, *branches: list[Json], join: str = "", join_on: list[str] | None = None) -> list[Json]:
    """A FORK_JOIN and its JOIN, which waits for the last task of each branch unless `join_on` says otherwise."""
    names = join_on if join_on is not None else [branch[-1]["taskReferenceName"] for branch in branches]
    return [
        node("FORK_JOIN", reference, forkTasks=list(branches)),
        node("JOIN", join or f"{reference}_join", joinOn=names),
    ]


def switch(reference: str, value: Any, cases: Mapping[str, list[Json]], default: list[Json] | None = None) -> Json:
    """A SWITCH on a value."""
    return node(
        "SWITCH",
        reference,
        {"value": value},
        evaluatorType="value-param",
        expression="value",
        decisionCases=dict(cases),
        defaultCase=default or [],
    )


def loop(reference: str, condition: str, *body: Json, input: Mapping[str, Any] | None = None, **more: Any) -> Json:
    """A DO_WHILE."""
    return node("DO_WHILE", reference, input, loopCondition=condition, loopOver=list(body), **more)


def sub_workflow(reference: str, name: str, input: Mapping[str, Any] | None = None, **param: Any) -> Json:
    """A SUB_WORKFLOW."""
    return node("SUB_WORKFLOW", reference, input, subWorkflowParam={"name": name, **param})
