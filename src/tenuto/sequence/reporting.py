"""`workflow.controller.reporting`: metrics, thresholds with alerts, subscriptions, reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tenuto.sequence.metrics import ErrorReport, PerformanceSummary, WorkflowMetrics, WorkflowMetricsCollector
from tenuto.sequence.reports import render
from tenuto.sequence.thresholds import PerformanceAlert, PerformanceThreshold, Thresholds
from tenuto.sequence.watch import EVENTS

if TYPE_CHECKING:
    from tenuto.sequence.controller import WorkflowController

__all__ = [
    "ErrorReport",
    "PerformanceAlert",
    "PerformanceSummary",
    "PerformanceThreshold",
    "WorkflowMetrics",
    "WorkflowMetricsCollector",
    "WorkflowReportingSystem",
]


class WorkflowReportingSystem:
    """What the runs of a Sequence did, over all of them."""

    def __init__(self, controller: WorkflowController) -> None:
        self._controller = controller
        self.metrics = WorkflowMetricsCollector()
        self._thresholds = Thresholds()

    def get_execution_metrics(self) -> WorkflowMetrics:
        """Counts, durations and the success rate, as they are now."""
        return self.metrics.metrics()

    def get_performance_summary(self) -> PerformanceSummary:
        """Which nodes take how long."""
        return self.metrics.performance()

    def get_error_analysis(self) -> ErrorReport:
        """Which nodes failed, and how."""
        return self.metrics.errors()

    def get_execution_status(self) -> dict[str, Any]:
        """What goes on now: controller_state, is_active, current_node, execution_path and the totals."""
        controller, metrics = self._controller, self.get_execution_metrics()
        entries = controller.execution_history.entries
        running = [entry.effective_name for entry in entries if entry.status == "running"]
        return {
            "controller_state": controller.state,
            "is_active": bool(controller.runs),
            "current_node": running[-1] if running else None,
            "execution_path": controller.execution_history.get_execution_sequence(),
            "total_executed": metrics.total_nodes_executed,
            "successful_executions": metrics.successful_executions,
            "failed_executions": metrics.failed_executions,
        }

    get_live_status = get_execution_status

    def set_performance_threshold(self, name: str, threshold: PerformanceThreshold) -> None:
        """Alert about nodes that take longer. The same name again replaces the threshold."""
        self._thresholds.by_name[name] = threshold
        watch = self._controller.watch
        if self._thresholds.check not in watch.measures:
            watch.measures.append(self._thresholds.check)
        watch.changed()

    add_performance_threshold = set_performance_threshold

    def set_global_threshold(
        self, max_duration: float | None = None, warning_duration: float | None = None, **more: Any
    ) -> None:
        """A threshold for all nodes that have none of their own; seconds."""
        self.set_performance_threshold("global", PerformanceThreshold(None, max_duration, warning_duration, **more))

    def set_node_threshold(
        self, node: str, max_duration: float | None = None, warning_duration: float | None = None, **more: Any
    ) -> None:
        """A threshold for one node, by name; seconds."""
        threshold = PerformanceThreshold(node, max_duration, warning_duration, **more)
        self.set_performance_threshold(f"node:{node}", threshold)

    def get_performance_alerts(self) -> list[PerformanceAlert]:
        """The latest alerts, 1000 at most, oldest first."""
        return list(self._thresholds.alerts)

    def get_recent_alerts(self, limit: int = 10, severity: str | None = None) -> list[PerformanceAlert]:
        """The last `limit` alerts (of a severity), oldest first."""
        wanted = [alert for alert in self._thresholds.alerts if severity in (None, alert.severity)]
        return wanted[-limit:] if limit > 0 else []

    def get_alert_summary(self) -> dict[str, Any]:
        """How many alerts there are: total, by_severity, by_node."""
        return self._thresholds.summary()

    def clear_alerts(self) -> None:
        """Forget the alerts."""
        self._thresholds.alerts.clear()

    def subscribe(self, event: str, callback: Callable[[dict[str, Any]], Any]) -> str:
        """Call `callback(data)` for each event of a type, `"*"` for all; the id for `unsubscribe`.

        Raises ValueError for an unknown type. What the callback raises is logged."""
        if event != "*" and event not in EVENTS:
            raise ValueError(f"there is no event {event!r}; there are {', '.join(EVENTS)}, and '*' for all")

        def listen(kind: str, data: dict[str, Any]) -> None:
            if event in ("*", kind):
                callback({"event_type": kind, **data})

        return self._controller.watch.subscribe(listen)

    def subscribe_to_events(self, callback: Callable[[str, dict[str, Any]], Any]) -> str:
        """Call `callback(type, data)` for every event; the id for `unsubscribe`."""
        return self._controller.watch.subscribe(callback)

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription; False if there is none of that id."""
        return self._controller.watch.unsubscribe(subscription)

    def export_report(self, format: str = "markdown") -> str:
        """All figures as one text: markdown, json, csv or html. Raises ValueError for another format."""
        return render(
            format,
            {
                "metrics": asdict(self.get_execution_metrics()),
                "performance": asdict(self.get_performance_summary()),
                "errors": asdict(self.get_error_analysis()),
                "alerts": self.get_alert_summary(),
            },
        )
