"""A human decides, or somebody else after a while, or nobody.

You learn:
- a workflow may wait for days for a person: waiting costs a row in the store, no process, no thread;
- `wait_condition(..., timeout=...)` raises TimeoutError, on which the request is escalated to the next approver;
- the decision arrives as an *update*, so that whoever decides learns at once whether it counted: its validator refuses
  a second decision, and one by somebody who isn't asked.

    python -m examples.approval
"""

import asyncio
from dataclasses import dataclass

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowUpdateFailedError
from tenuto.worker import Worker


@dataclass
class Request:
    what: str
    approvers: list[str]
    """Who is asked, one after the other."""
    patience: float = 2 * 24 * 3600
    """Seconds that each approver has."""


@dataclass
class Decision:
    by: str
    approved: bool


@activity.defn
async def notify(person: str, what: str) -> None:
    print(f"    mail to {person}: please decide on {what}")


@workflow.defn
class Approval:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.decision: Decision | None = None

    @workflow.run
    async def run(self, request: Request) -> Decision:
        for approver in request.approvers:
            self.asked.append(approver)
            await notify(approver, request.what)
            try:
                await workflow.wait_condition(lambda: self.decision is not None, timeout=request.patience)
                break
            except TimeoutError:
                workflow.logger.info("%s did not answer", approver)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.decision or Decision(by="nobody", approved=False)

    @workflow.update
    def decide(self, decision: Decision) -> str:
        self.decision = decision
        return f"{'approved' if decision.approved else 'rejected'} by {decision.by}"

    @decide.validator
    def check_decision(self, decision: Decision) -> None:
        if self.decision is not None:
            raise ValueError(f"{self.decision.by} has decided already")
        if decision.by not in self.asked:
            raise ValueError(f"{decision.by} is not asked")

    @workflow.query
    def waits_for(self) -> str | None:
        return self.asked[-1] if self.asked and self.decision is None else None


async def main(url: str = "memory://") -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Approval], activities=[notify]):
        request = Request("a new piano", ["Mia", "the director"], patience=0.3)
        handle = await client.start_workflow(Approval.run, request, id="approval-1")
        while await handle.query(Approval.waits_for) != "the director":  # noqa: ASYNC110 - we only look on
            await asyncio.sleep(0.05)
        try:
            await handle.execute_update(Approval.decide, Decision("Eve", True))
        except WorkflowUpdateFailedError as error:
            print("refused:", error.cause)
        print(await handle.execute_update(Approval.decide, Decision("the director", True)))
        print(await handle.result())

        print(await client.execute_workflow(Approval.run, Request("a yacht", ["Mia"], patience=0.1), id="approval-2"))


if __name__ == "__main__":
    asyncio.run(main())
