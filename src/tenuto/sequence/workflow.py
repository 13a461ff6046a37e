"""Sequence: a chain of nodes as a workflow that can be executed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tenuto.replay.definition import DEFINITION
from tenuto.sequence.carrying import carry_out, carry_out_async
from tenuto.sequence.clock import Clock, SystemClock
from tenuto.sequence.controller import WorkflowController
from tenuto.sequence.durable import SequenceDefinition
from tenuto.sequence.errors import WorkflowError, WorkflowStoppedException
from tenuto.sequence.forms import from_json, outline, schema, to_json
from tenuto.sequence.hooks import Hooks
from tenuto.sequence.joining import as_stage, join, stages_of
from tenuto.sequence.parameters import Arguments, Parameters
from tenuto.sequence.portal import Portal
from tenuto.sequence.run import Run, Settings
from tenuto.sequence.scope import Scope
from tenuto.sequence.stages import Stage
from tenuto.sequence.starts import START
from tenuto.sequence.state import SharedState, current_state
from tenuto.sequence.streaming import stream
from tenuto.sequence.walk import Walk, compensate, walk

__all__ = ["Sequence"]


class Sequence(Stage):
    """A workflow: `Sequence(extract >> transform >> load)`, or `Sequence(extract, transform, load)`.

    It can be executed any number of times, also at the same time, and can itself be a node of another chain.

    name: by default derived from the nodes' names, the same in every process.
    max_steps: how many steps a run may take; loops of decisions have their own limit.
    config: for runs that are given none, see `execute`; a run that a client starts has no other.
    clock: where time comes from; tests pass an InstantClock.

    A text as the last positional argument is taken as the name. Raises TypeError for what can't be in a chain, and in
    the strict mode of type checking for nodes whose types don't fit."""

    kind = "sequence"
    #: To a chain around it, it is a node that can't fall back and can't be undone.
    has_fallback = False
    compensation = None

    def __init__(
        self,
        *stages: Any,
        name: str | None = None,
        max_steps: int = 1000,
        config: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if len(stages) > 1 and isinstance(stages[-1], str):
            if name is not None:
                raise TypeError(f"two names for one Sequence: {stages[-1]!r} and {name!r}")
            *stages, name = stages  # type: ignore[assignment]
        #: Its stages, in order.
        self.stages = _chained(stages)
        super().__init__(_name_of(self.stages) if name is None else name)
        if max_steps < 1:
            raise ValueError(f"a run may take at least 1 step: max_steps is {max_steps}")
        self.max_steps = max_steps
        self.config = config
        Settings(config)  # what makes no sense is told here, not in the first run
        self.parameters = Parameters(self.name, _no_parameters)
        #: Pauses, stops and reports on runs.
        self.controller = WorkflowController(self)
        #: The shared state of the latest run.
        self.state = SharedState()
        self._clock: Clock = clock or SystemClock()
        # So that a worker and a client take it for the workflow that it is.
        setattr(self, DEFINITION, SequenceDefinition(self))

    @property
    def original_name(self) -> str:
        """The name."""
        return self.name

    @property
    def hooks(self) -> Hooks:
        """Functions called before and after nodes and runs."""
        return self.controller.watch.hooks

    def execute(
        self, *args: Any, config: Mapping[str, Any] | None = None, durable: str | None = None, **kwargs: Any
    ) -> Any:
        """Run it now; the last node's output, or None if the controller stopped the run.

        The arguments go to the first node. `config` may have `error_config` (strategy, max_retries, base_delay,
        max_delay) and `nodes` (the same by a node's name); whatever else it has is in `state.config`.

        A node's error is raised as it is, with a note that says where. Sync nodes run in the calling thread. Raises
        ValueError for a config that makes no sense, WorkflowError if there are no nodes.

        With `durable`, a store's URL, and `id` the run is a durable execution in that store: each node's output is
        recorded, and a run of that id that was broken off goes on where it was; one that has ended gives its result.
        Raises WorkflowFailureError then if the run fails."""
        if durable is not None:
            with Portal() as portal:
                return portal.run(self._execute_durably(durable, args, kwargs, config))
        with self.running(args, kwargs, config) as (run, steps, scope):
            try:
                run.state.final_output = carry_out(run, steps, scope, self.controller.gate)
            except RuntimeError as error:
                # A generator, which the walk is, can't let a node's StopIteration through.
                if isinstance(error.__cause__, StopIteration):
                    raise error.__cause__ from None
                raise
        return run.state.final_output

    async def async_execute(
        self, *args: Any, config: Mapping[str, Any] | None = None, durable: str | None = None, **kwargs: Any
    ) -> Any:
        """`execute` for callers on an event loop: async nodes run on it, sync ones in a thread."""
        if durable is not None:
            return await self._execute_durably(durable, args, kwargs, config)
        with self.running(args, kwargs, config) as (run, steps, scope):
            try:
                run.state.final_output = await carry_out_async(run, steps, scope, self.controller.gate)
            except asyncio.CancelledError as error:
                undoing = Scope(self.max_steps)
                await carry_out_async(run, compensate(run, undoing, error), undoing, self.controller.gate)
                raise
        return run.state.final_output

    run = execute
    run_async = async_execute

    async def _execute_durably(
        self, url: str, args: tuple[Any, ...], kwargs: dict[str, Any], config: Mapping[str, Any] | None
    ) -> Any:
        # Here, because it takes an engine along, which sequences in memory don't need.
        from tenuto.sequence.durable_execution import execute_durably

        workflow_id = kwargs.pop("id", None)
        return await execute_durably(self, url, workflow_id, START.write(args, kwargs, config))

    def __call__(self, *args: Any, config: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Forget the shared state, then `execute`."""
        self.reset()
        return self.execute(*args, config=config, **kwargs)

    def reset(self) -> None:
        """Forget the shared state."""
        self.state = SharedState()

    @contextmanager
    def running(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], config: Mapping[str, Any] | None
    ) -> Iterator[tuple[Run, Walk, Scope]]:
        """A run and its walk, for whoever carries it out. That the controller stops it ends the `with` block."""
        if not self.stages:
            raise WorkflowError(f"sequence {self.name!r} has no nodes")
        settings = Settings(self.config if config is None else config)
        given = Arguments(args, kwargs)
        state = self.state = self.state.for_next_run()
        state.config, state.initial_input = settings.config, given.value
        run = Run(self.name, state, settings, self._clock, self.controller.execution_history, self.controller.watch)
        scope = Scope(self.max_steps)
        token = current_state.set(state)
        try:
            with self.controller.running(run):
                yield run, walk(run, scope, self.stages, given), scope
        except WorkflowStoppedException:
            pass
        finally:
            current_state.reset(token)

    def stream(self, *args: Any, config: Mapping[str, Any] | None = None, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """Run it, and give each node's name and output as soon as it is there. A branch's nodes come when their block
        has ended. Whoever stops reading stops the run."""
        return stream(self, args, kwargs, config)

    def to_json(self) -> str:
        """As JSON, for `from_json`: nodes are named by where they can be imported from."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Sequence:
        """Read what `to_json` wrote. Raises ValueError for a node that can't be found again, and for decisions."""
        return from_json(cls, text)

    def get_schema(self, format: str = "mermaid", mode: str = "overview") -> str:
        """A picture of it: mermaid, json or text; `mode="full"` shows what is within its stages."""
        return schema(self, format, mode)

    def __repr__(self) -> str:
        return f"<Sequence {self.name!r} of {len(self.stages)} stages>"


def _no_parameters() -> None:
    pass


def _chained(stages: Any) -> tuple[Stage, ...]:
    if not stages:
        return ()
    chain = as_stage(stages[0])
    for stage in stages[1:]:
        chain = join(chain, stage)
    return stages_of(chain)


def _name_of(stages: tuple[Stage, ...]) -> str:
    return f"Sequence_{hashlib.sha256(outline(stages).encode()).hexdigest()[:8]}"
