"""Steps as decorated functions, which depend on each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tenuto.steps.errors import WorkflowFatalError

Do = Callable[..., Awaitable[Any]]


class DecoratedStep:
    """A function that is a step: awaiting a call of it runs it, after those that it depends on. Whoever depends on it
    shares its latest result."""

    def __init__(
        self,
        do: Do,
        name: str,
        config: Mapping[str, Any] | None,
        function: Callable[..., Any],
        depends: Sequence[DecoratedStep] = (),
        concurrent: bool = False,
        rollback: Callable[[Any], Any] | None = None,
        rollback_config: Mapping[str, Any] | None = None,
    ) -> None:
        for other in depends or ():
            if not isinstance(other, DecoratedStep):
                raise WorkflowFatalError(f"step {name!r} can only depend on other decorated steps, not on {other!r}")
        self.name = name
        self._do = do
        self._config = config
        self._function = function
        self._depends = tuple(depends or ())
        self._concurrent = concurrent
        self._rollback = rollback
        self._rollback_config = rollback_config
        self._latest: asyncio.Task[Any] | None = None

    async def __call__(self, *arguments: Any) -> Any:
        """Run it; `arguments` follow the results of the steps that it depends on."""
        self._latest = asyncio.create_task(self._run(arguments))
        return await self._latest

    def undo(self, handler: Any = None, config: Mapping[str, Any] | None = None) -> Any:
        """Declare what rolls the step back: `@fetch.undo`, or with options `@fetch.undo({...})`. It is called with one
        argument that has `error`, `output` and `step`."""
        if callable(handler):
            self._rollback, self._rollback_config = handler, config
            return handler
        return lambda function: self.undo(function, config if handler is None else handler)

    async def _shared(self) -> Any:
        if self._latest is None:
            self._latest = asyncio.create_task(self._run(()))
        return await asyncio.shield(self._latest)

    async def _run(self, arguments: Sequence[Any]) -> Any:
        if self._concurrent:
            results = await asyncio.gather(*(other._shared() for other in self._depends))
        else:
            results = [await other._shared() for other in self._depends]
        given = (*results, *arguments)
        return await self._do(self.name, self._config, self._function, given, self._rollback, self._rollback_config)
