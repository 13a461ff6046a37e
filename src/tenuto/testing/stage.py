"""The stage of a client: where tests change what the steps of its instances do, and see instances come into being."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from tenuto.activities.step_hooks import StepAt
from tenuto.client import Client
from tenuto.engine.gateway import Gateway
from tenuto.model import messages as msg
from tenuto.model.events import ExecutionRef
from tenuto.testing.gateway import WatchedGateway
from tenuto.testing.modifications import Modifier

#: Called with the id of an instance before it is created.
Expected = Callable[[str], Awaitable[None]]


class Stage:
    """One for a client, while there are sessions on it; implements `tenuto.activities.step_hooks.StepHooks`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.gateway = client.gateway
        #: What is changed of each instance, by workflow and instance.
        self.modifiers: dict[tuple[str, str], Modifier] = {}
        #: Who wants to know of new instances, by workflow.
        self.expecting: dict[str, Expected] = {}
        client.step_hooks = self
        client.gateway = StagedGateway(self)  # type: ignore[assignment]  # it does all that the other one does

    @classmethod
    def of(cls, client: Client) -> Stage:
        """The stage of a client, set up if need be."""
        found = client.step_hooks
        return found if isinstance(found, Stage) else cls(client)

    def tidy(self) -> None:
        """A session has ended; with the last one all is as it was."""
        if not self.modifiers and not self.expecting:
            self.client.step_hooks = None
            self.client.gateway = self.gateway

    async def send_events(self, workflow_id: str, modifier: Modifier) -> None:
        """Send the events that wait for the instance."""
        events, modifier.events = modifier.events, []
        for type, payload in events:
            encoded = self.client.data_converter.encode_all([payload])
            signal = msg.Signal(type, encoded, "a test", self.gateway.new_id())
            await self.client.ask(ExecutionRef(workflow_id), signal, None)

    # -- what steps ask ------------------------------------------------------------------------------------------------

    def _of(self, at: StepAt) -> tuple[Modifier, tuple[str, int]]:
        return self.modifiers.get((at.workflow_name, at.instance_id), _UNCHANGED), (at.name, at.count)

    def step_result(self, step: StepAt) -> tuple[Any] | None:
        modifier, key = self._of(step)
        return modifier.result(key)

    def step_error(self, step: StepAt) -> Exception | None:
        modifier, key = self._of(step)
        failing = modifier.failing(key, step.attempt)
        return None if failing is None else failing.error

    def step_times_out(self, step: StepAt) -> bool:
        modifier, key = self._of(step)
        failing = modifier.failing(key, step.attempt)
        return failing is not None and failing.error is None

    def retry_delay(self, step: StepAt, seconds: float) -> float:
        modifier, key = self._of(step)
        return 0.0 if modifier.skips_delay(key) else seconds

    def skips_sleep(self, sleep: StepAt) -> bool:
        modifier, key = self._of(sleep)
        return modifier.skips_sleep(key)

    def event_times_out(self, wait: StepAt) -> bool:
        modifier, key = self._of(wait)
        return modifier.loses_event(key)


class StagedGateway:
    """A client's gateway, which sees instances come into being. Does all else that the client's own does."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._gateway: Gateway = stage.gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    async def request(self, target: ExecutionRef, body: msg.Body, timeout: float | None = None) -> msg.Answer:
        """As `Gateway.request`."""
        if not isinstance(body, msg.Start):
            return await self._gateway.request(target, body, timeout)
        stage, workflow_id = self._stage, target.workflow_id
        expected = stage.expecting.get(body.workflow_type)
        if expected is not None:
            await expected(workflow_id)
        skipper = self._gateway.skipper if isinstance(self._gateway, WatchedGateway) else None
        # No time passes before the events are there that the test wants to be there from the beginning.
        with nullcontext() if skipper is None else skipper.disabled():
            answer = await self._gateway.request(target, body, timeout)
            modifier = stage.modifiers.get((body.workflow_type, workflow_id))
            if modifier is not None and isinstance(answer, msg.Started):
                await stage.send_events(workflow_id, modifier)
        return answer


_UNCHANGED = Modifier()
