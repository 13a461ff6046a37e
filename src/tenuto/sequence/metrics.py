"""Figures about the executions of nodes, over all runs of a Sequence."""

from __future__ import annotations

import statistics
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.sequence.history import NodeExecution
    from tenuto.sequence.run import Run

__all__ = ["ErrorReport", "PerformanceSummary", "WorkflowMetrics", "WorkflowMetricsCollector"]

#: Durations and errors that are kept for medians and details; the counts know no limit.
KEPT = 1000


@dataclass
class WorkflowMetrics:
    """Counts and durations (seconds). A node counts once for each execution, however many attempts it took; one that
    its fallback saved has succeeded. `success_rate` is from 0 to 1, and 0 before the first execution."""

    total_nodes_executed: int = 0
    successful_executions: int = 0
    failed_executions: int = 0
    total_execution_time: float = 0.0
    average_node_duration: float = 0.0
    min_node_duration: float = 0.0
    max_node_duration: float = 0.0
    unique_nodes_count: int = 0
    execution_start_time: float | None = None
    execution_end_time: float | None = None
    node_execution_counts: dict[str, int] = field(default_factory=dict)
    success_rate: float = 0.0


@dataclass
class PerformanceSummary:
    """How long nodes take. Seconds; lists have (name, seconds), of the latest 1000 executions."""

    average_duration: float = 0.0
    median_duration: float = 0.0
    slowest_nodes: list[tuple[str, float]] = field(default_factory=list)
    fastest_nodes: list[tuple[str, float]] = field(default_factory=list)
    #: Names of nodes whose average is over twice that of all.
    bottlenecks: list[str] = field(default_factory=list)
    #: Executions that took over three times the average.
    outliers: list[tuple[str, float]] = field(default_factory=list)


@dataclass
class ErrorReport:
    """What failed. `details` has the latest 1000, as dicts: node_name, error, error_type, time."""

    total_errors: int = 0
    error_rate: float = 0.0
    error_categories: dict[str, int] = field(default_factory=dict)
    failed_nodes: dict[str, int] = field(default_factory=dict)
    most_common_error: str | None = None
    details: list[dict[str, Any]] = field(default_factory=list)


class WorkflowMetricsCollector:
    """Takes in what runs have logged. Runs under way are looked at when somebody asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: How much of each run's log has been taken in.
        self._followed: dict[Run, int] = {}
        self.clear()

    def clear(self) -> None:
        """Begin to count anew."""
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._total = 0.0
        self._shortest = self._longest = 0.0
        self._first: float | None = None
        self._last: float | None = None
        self._durations: deque[tuple[str, float]] = deque(maxlen=KEPT)
        self._errors: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def follow(self, run: Run) -> None:
        """A run has begun."""
        with self._lock:
            self._followed[run] = 0

    def take_in(self, run: Run) -> None:
        """A run has ended."""
        with self._lock:
            self._read(run)
            del self._followed[run]

    def _read_all(self) -> None:
        for run in list(self._followed):
            self._read(run)

    def _read(self, run: Run) -> None:
        new = run.log[self._followed[run] :]
        self._followed[run] += len(new)
        for execution in new:
            self._add(execution)
        if new:
            began = run.time_of(new[0].began)
            self._first = began if self._first is None else min(self._first, began)
            self._last = max(self._last or 0.0, run.time_of(new[-1].ended))

    def _add(self, execution: NodeExecution) -> None:
        name, duration = execution.node.name, execution.ended - execution.began
        self._shortest = min(self._shortest, duration) if self._counts else duration
        self._longest = max(self._longest, duration)
        self._counts[name] += 1
        self._total += duration
        self._durations.append((name, duration))
        if execution.status == "error":
            self._failures[name] += 1
            self._categories[type(execution.error).__name__] += 1
            self._errors.append(_detail(execution))

    def metrics(self) -> WorkflowMetrics:
        """The figures so far."""
        with self._lock:
            self._read_all()
            total, failed = self._counts.total(), self._failures.total()
            return WorkflowMetrics(
                total_nodes_executed=total,
                successful_executions=total - failed,
                failed_executions=failed,
                total_execution_time=self._total,
                average_node_duration=self._total / total if total else 0.0,
                min_node_duration=self._shortest,
                max_node_duration=self._longest,
                unique_nodes_count=len(self._counts),
                execution_start_time=self._first,
                execution_end_time=self._last,
                node_execution_counts=dict(self._counts),
                success_rate=(total - failed) / total if total else 0.0,
            )

    def performance(self) -> PerformanceSummary:
        """How long nodes take."""
        with self._lock:
            self._read_all()
            durations = list(self._durations)
        if not durations:
            return PerformanceSummary()
        average = statistics.fmean(duration for _, duration in durations)
        ordered = sorted(durations, key=lambda entry: entry[1])
        return PerformanceSummary(
            average_duration=average,
            median_duration=statistics.median(duration for _, duration in durations),
            slowest_nodes=ordered[:-6:-1],
            fastest_nodes=ordered[:5],
            bottlenecks=[name for name, mean in _averages(durations).items() if mean > 2 * average],
            outliers=[entry for entry in durations if entry[1] > 3 * average],
        )

    def errors(self) -> ErrorReport:
        """What failed."""
        with self._lock:
            self._read_all()
            total, failed = self._counts.total(), self._failures.total()
            common = self._categories.most_common(1)
            return ErrorReport(
                total_errors=failed,
                error_rate=failed / total if total else 0.0,
                error_categories=dict(self._categories),
                failed_nodes=dict(self._failures),
                most_common_error=common[0][0] if common else None,
                details=list(self._errors),
            )


def _averages(durations: list[tuple[str, float]]) -> dict[str, float]:
    by_name: dict[str, list[float]] = {}
    for name, duration in durations:
        by_name.setdefault(name, []).append(duration)
    return {name: statistics.fmean(own) for name, own in by_name.items()}


def _detail(execution: NodeExecution) -> dict[str, Any]:
    return {
        "node_name": execution.effective_name,
        "error": str(execution.error),
        "error_type": type(execution.error).__name__,
        "time": execution.end_time,
    }
