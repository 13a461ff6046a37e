"""The pytest plugin: it is there wherever Tenuto is installed.

- The fixtures `tenuto_env` (time is skipped) and `tenuto_client`.
- `--tenuto-always-replay`: every decision of a workflow is preceded by a replay of all before it.
- `--tenuto-replay DIR`: the recorded histories in DIR are tests, too.
- A test that fails tells what the workflows of its environment did.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from tenuto.client import Client
    from tenuto.testing import WorkflowEnvironment

F = TypeVar("F", bound=Callable[..., Any])


def _async_fixture(function: F) -> F:
    """A fixture for tests of pytest-asyncio, in whatever mode; without it, for those of anyio."""
    declare: Any = pytest.fixture
    with suppress(ImportError):
        from pytest_asyncio import fixture

        declare = fixture
    made: F = declare(function)
    return made


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tenuto", "durable workflows")
    group.addoption(
        "--tenuto-always-replay",
        action="store_true",
        help="replay a workflow from its beginning before each of its decisions, which finds code that is not "
        "deterministic",
    )
    group.addoption(
        "--tenuto-replay",
        action="append",
        default=[],
        metavar="PATH",
        help="replay the recorded histories in this file or folder, a test each",
    )
    group.addoption(
        "--tenuto-workflows",
        action="append",
        default=[],
        metavar="MODULE[:NAME]",
        help="the workflows that recorded histories are replayed with: a module's, or one class of it",
    )
    parser.addini("tenuto_workflows", "as --tenuto-workflows, one a line", type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("tenuto_always_replay"):
        from tenuto.testing import WorkflowEnvironment

        WorkflowEnvironment.always_replay = True
        config.add_cleanup(lambda: setattr(WorkflowEnvironment, "always_replay", False))


# -- environments ------------------------------------------------------------------------------------------------------


@_async_fixture
async def tenuto_env() -> AsyncIterator[WorkflowEnvironment]:
    """A `WorkflowEnvironment` in which time is skipped."""
    from tenuto.testing import WorkflowEnvironment

    async with WorkflowEnvironment.start_time_skipping() as env:
        yield env


@pytest.fixture
def tenuto_client(tenuto_env: WorkflowEnvironment) -> Client:
    """The client of `tenuto_env`."""
    return tenuto_env.client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """An assertion that failed in a workflow or an activity fails the test, even if nobody waited for it."""
    unheard: BaseException | None = None
    try:
        result = yield
    finally:
        env = _environment(item)
        unheard = None if env is None else env.unheard_assertion()
    if unheard is not None:
        raise unheard
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails tells what the workflows did; the environment still is as the test has left it."""
    report = yield
    env = _environment(item)
    if call.when == "call" and report.failed and env is not None:
        done = env.loop.run_until_complete(env.timelines())
        report.sections.append(("tenuto: what the workflows did", done or "There were no workflows."))
    return report


def _environment(item: pytest.Item) -> WorkflowEnvironment | None:
    """The environment of a test that uses the fixture, while it has one."""
    env = getattr(item, "funcargs", {}).get("tenuto_env")
    return env if env is not None and env.is_running and not env.loop.is_running() else None


# -- recorded histories ------------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Recorded histories come after all other tests, whatever these are."""
    places = config.getoption("tenuto_replay")
    if places:
        items.extend(_histories(session, [config.invocation_params.dir / place for place in places]))


def _histories(session: pytest.Session, places: list[Path]) -> list[pytest.Item]:
    from tenuto.testing.histories import history_files

    try:
        files = list(history_files(places))
    except FileNotFoundError as error:
        raise pytest.UsageError(f"--tenuto-replay: {error}") from None
    if not files:
        raise pytest.UsageError(f"--tenuto-replay: there are no histories (*.json) in {', '.join(map(str, places))}")
    workflows = _workflows(session.config)
    return [RecordedHistory.from_parent(session, name=str(file), file=file, workflows=workflows) for file in files]


def _workflows(config: pytest.Config) -> list[object]:
    """The classes that the options name. Raises UsageError if there are none."""
    from tenuto.testing.finding import workflows_at

    names = [*config.getini("tenuto_workflows"), *config.getoption("tenuto_workflows")]
    if not names:
        raise pytest.UsageError(
            "--tenuto-replay needs the workflows: --tenuto-workflows MODULE[:NAME], or tenuto_workflows in the settings"
        )
    try:
        return list(dict.fromkeys(workflow for name in names for workflow in workflows_at(name)))
    except (ImportError, ValueError) as error:
        raise pytest.UsageError(f"--tenuto-workflows: {error}") from None


class RecordedHistory(pytest.Item):
    """The code of today replays one recorded history."""

    def __init__(self, *, file: Path, workflows: list[object], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file = file
        self.workflows = workflows

    def runtest(self) -> None:
        import asyncio

        from tenuto.testing import Replayer
        from tenuto.testing.histories import read_history

        asyncio.run(_replay(Replayer(workflows=self.workflows), read_history(self.file)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from tenuto.replay.matching import NondeterminismError
        from tenuto.testing import MissingCodeError

        if isinstance(excinfo.value, NondeterminismError | MissingCodeError | ValueError | OSError):
            return f"{self.file}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.file, None, f"recorded history {self.file.name}"


async def _replay(replayer: Any, history: Any) -> None:
    await replayer.replay_workflow(history)
