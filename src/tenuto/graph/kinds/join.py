"""JOIN: over when all of its branches are. It is looked at in the very decision that ends a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.naming import with_scope
from tenuto.graph.roots import task_root
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


#: What a script may end a join with.
ENDS = ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "CANCELED")


#: What a script sees of a branch whose last task has not been scheduled.
_NOT_YET: dict[str, Json] = {"status": None, "output": {}}


def joined_tasks(decision: Decision, task: Task) -> list[Task | None]:
    """The latest attempts of what a join waits for; None for what has not been scheduled yet."""
    return [decision.state.by_reference.get(name) for name in task.input.get("joinOn", [])]


def _ended(branches: list[Task | None]) -> list[Task]:
    return [branch for branch in branches if branch is not None and branch.executed and not branch.retried]


class Join(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        self.schedule_on(decision, node, scope, node.join_on)

    def schedule_on(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...], names: list[str]) -> None:
        """Wait for the tasks of these names."""
        join_on = [with_scope(name, scope) for name in names]
        decision.create(node, scope, def_name="JOIN", status="IN_PROGRESS", input={"joinOn": join_on})

    def begin(self, decision: Decision, task: Task) -> None:
        decision.start(task)

    def advance(self, decision: Decision, task: Task) -> None:
        branches = joined_tasks(decision, task)
        ended = _ended(branches)
        script = decision.execution.node(task).expression
        if not branches or (not script and len(ended) == len(branches)):
            self._complete(decision, task, ended)
        elif script and ended and task.memory.get("ended") != len(ended):
            if task.number in decision.execution.evaluating:
                return  # it is asked again when it has answered
            decision.execution.change_task(task, "asked", memory={"ended": len(ended)})
            self._ask(decision, task, ended, script)

    def stalled(self, decision: Decision, task: Task) -> None:
        """What has not come by now stands in a branch that was not taken; or the script wants to wait for nothing."""
        self._complete(decision, task, _ended(joined_tasks(decision, task)))

    def _ask(self, decision: Decision, task: Task, ended: list[Task], script: str) -> None:
        """A branch has ended: does the script want to wait for more?"""
        value: dict[str, Json] = {}
        for name in task.input["joinOn"]:
            branch = decision.state.by_reference.get(name)
            seen = _NOT_YET if branch is None else task_root(decision.execution, branch)
            value[name] = seen
            if branch is not None:
                value[branch.base] = seen
        value["joinOn"] = task.input["joinOn"]
        value["completed"] = [branch.reference for branch in ended]
        decision.evaluate(task, script, value)

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if error:
            decision.end(task, "FAILED", reason=f"the script of {task.reference} failed: {error}")
        elif value is True or (isinstance(value, dict) and value.get("status") in ENDS):
            verdict = value if isinstance(value, dict) else {}
            output = verdict.get("outputData")
            ended = [branch for branch in joined_tasks(decision, task) if branch is not None and branch.executed]
            joined: dict[str, Json] = {branch.reference: branch.output for branch in ended if branch.output}
            reason = str(verdict.get("reasonForIncompletion") or "")
            status = verdict.get("status", "COMPLETED")
            decision.end(task, status, output if isinstance(output, dict) else joined, reason)
        elif isinstance(value, dict):
            output = value.get("outputData")
            decision.execution.change_task(
                task,
                "waits",
                output=output if isinstance(output, dict) else task.output,
                reason=str(value.get("reasonForIncompletion") or ""),
            )

    def make_input(self, decision: Decision, node: WorkflowTask, task: Task, old: dict[str, Json]) -> dict[str, Json]:
        return old

    def _complete(self, decision: Decision, task: Task, branches: list[Task]) -> None:
        output: dict[str, Json] = {branch.reference: branch.output for branch in branches if branch.output}
        failed = [branch for branch in branches if not branch.successful]
        if not failed:
            partly = any(branch.status == "COMPLETED_WITH_ERRORS" for branch in branches)
            decision.end(task, "COMPLETED_WITH_ERRORS" if partly else "COMPLETED", output)
            return
        reason = "; ".join(f"{branch.reference}: {branch.reason or branch.status}" for branch in failed[:20])
        canceled = all(branch.status == "CANCELED" for branch in failed)
        decision.end(task, "CANCELED" if canceled else "FAILED", output, reason=reason)
