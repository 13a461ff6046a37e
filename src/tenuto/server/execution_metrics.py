"""Counts what graphs come to: workflows and tasks by type and status, commits by size and time.

An observer of the engine, so it counts what is on record. Counting is an addition to a number in a dictionary, which
takes a tenth of what a Prometheus client's counter takes; they become Prometheus' when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from tenuto.engine.batch import Batch
from tenuto.engine.clock import SECOND
from tenuto.engine.observer import Transition
from tenuto.model.graph import OPEN_STATUSES

#: Names of workflows or tasks that are told apart; all further ones are OTHER.
MOST_NAMES = 1_000
OTHER = "other"

#: Of workflows that have not ended.
GOING_ON = ("RUNNING", "PAUSED")

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXECUTIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class Names:
    """Lets a label have only so many values."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """`name`, or OTHER if there have been too many."""
        if name not in self._known:
            if len(self._known) >= MOST_NAMES:
                return OTHER
            self._known.add(name)
        return name


class Buckets:
    """A histogram."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, help: str) -> Metric:
        total = 0
        buckets = []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, help, buckets=buckets, sum_value=self._sum)


class Spans:
    """How many, and how long together, by type."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._nanoseconds: Counter[str] = Counter()

    def add(self, type: str, nanoseconds: int) -> None:
        self._counts[type] += 1
        self._nanoseconds[type] += max(nanoseconds, 0)

    def family(self, name: str, help: str) -> Metric:
        family = SummaryMetricFamily(name, help, labels=["type"])
        for type, count in self._counts.items():
            family.add_metric([type], count, self._nanoseconds[type] / SECOND)
        return family


class ExecutionMetrics(Collector):
    """Register it with a registry, and with `Engine.observers`."""

    def __init__(self) -> None:
        self._workflow_names = Names()
        self._task_names = Names()
        self._started: Counter[str] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._scheduled: Counter[str] = Counter()
        self._handed_out: Counter[str] = Counter()
        self._tasks_ended: Counter[tuple[str, str]] = Counter()
        self._workflow_time = Spans()
        self._wait_time = Spans()
        self._task_time = Spans()
        self._commit_seconds = Buckets(SECONDS)
        self._commit_executions = Buckets(EXECUTIONS)

    # -- counting ------------------------------------------------------------------------------------------------------

    def committed(self, batch: Batch) -> None:
        """Count what a batch holds."""
        if batch.seconds is not None:
            self._commit_seconds.observe(batch.seconds)
            self._commit_executions.observe(len(batch.residents))
        for transition in batch.transitions:
            if transition.task is None:
                self._count_workflow(transition)
            else:
                self._count_task(transition)

    def _count_workflow(self, transition: Transition) -> None:
        state = transition.graph.state
        type = self._workflow_names.of(state.started.workflow_type)
        if transition.is_new:
            self._started[type] += 1
        elif transition.status not in GOING_ON:
            self._ended[type, transition.status] += 1
            self._workflow_time.add(type, state.end_time - state.start_time)

    def _count_task(self, transition: Transition) -> None:
        task = transition.task
        assert task is not None
        type = self._task_names.of(task.task_type)
        if transition.is_new:
            self._scheduled[type] += 1
        if transition.status not in OPEN_STATUSES:
            self._tasks_ended[type, transition.status] += 1
            self._task_time.add(type, task.end_time - task.start_time)
        elif transition.status == "IN_PROGRESS":
            self._handed_out[type] += 1
            if task.poll_count <= 1:
                self._wait_time.add(type, task.start_time - task.scheduled_time)

    # -- showing -------------------------------------------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        """Nothing; the registry needs not ask for all values just to learn their names."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _counter("tenuto_workflows_started", "Workflows started.", ["type"], self._started)
        yield _counter("tenuto_workflows_ended", "Workflows ended.", ["type", "status"], self._ended)
        yield self._workflow_time.family("tenuto_workflow_seconds", "Seconds from a workflow's start to its end.")
        yield _counter("tenuto_tasks_scheduled", "Tasks scheduled, retries included.", ["type"], self._scheduled)
        yield _counter("tenuto_tasks_started", "Tasks handed out or begun.", ["type"], self._handed_out)
        yield _counter("tenuto_tasks_ended", "Tasks ended.", ["type", "status"], self._tasks_ended)
        yield self._wait_time.family("tenuto_task_wait_seconds", "Seconds from a task's scheduling to its start.")
        yield self._task_time.family("tenuto_task_seconds", "Seconds from a task's start to its end.")
        yield self._commit_seconds.family("tenuto_commit_seconds", "Seconds that a commit took.")
        yield self._commit_executions.family("tenuto_commit_executions", "Executions that changed with one commit.")


def _counter(name: str, help: str, labels: list[str], counts: Counter[str] | Counter[tuple[str, str]]) -> Metric:
    family = CounterMetricFamily(name, help, labels=labels)
    for key, count in counts.items():
        family.add_metric([key] if isinstance(key, str) else list(key), count)
    return family
