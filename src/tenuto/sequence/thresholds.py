"""How long nodes may take, and alerts about those that took longer."""

from __future__ import annotations

import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.sequence.history import NodeExecution

__all__ = ["PerformanceAlert", "PerformanceThreshold", "Thresholds"]

logger = logging.getLogger(__name__)

#: Alerts that are kept; older ones are forgotten.
KEPT = 1000


@dataclass
class PerformanceThreshold:
    """A node that took longer than `max_duration` is critical, one over `warning_duration` a warning. Seconds; None:
    no such limit. `node_name` None: all nodes that have no threshold of their own. `alert_callback` gets each alert."""

    node_name: str | None = None
    max_duration: float | None = None
    warning_duration: float | None = None
    alert_callback: Callable[[PerformanceAlert], Any] | None = None
    description: str = ""


@dataclass
class PerformanceAlert:
    """A node took too long. Durations are seconds, `timestamp` seconds since the epoch; `violation_factor` is how many
    times the threshold it took. Can be read as a mapping, too: its own fields, and alert, entry and threshold."""

    alert_id: str
    node_name: str
    execution_id: str
    threshold_name: str
    #: "critical" or "warning".
    severity: str
    actual_duration: float
    threshold_duration: float
    violation_factor: float
    timestamp: float
    message: str
    entry: Any = None
    threshold: PerformanceThreshold | None = None

    def __getitem__(self, key: str) -> Any:
        if key == "alert":
            return self
        try:
            return getattr(self, key)
        except AttributeError:
            raise KeyError(key) from None

    def get(self, key: str, default: Any = None) -> Any:
        """The field, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default


class Thresholds:
    """The thresholds of a Sequence by name, and the alerts they raised."""

    def __init__(self) -> None:
        self.by_name: dict[str, PerformanceThreshold] = {}
        self.alerts: deque[PerformanceAlert] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)

    def check(self, execution: NodeExecution) -> None:
        """Raise an alert if an execution took too long."""
        name = execution.effective_name
        own = [entry for entry in self.by_name.items() if entry[1].node_name == name]
        for threshold_name, threshold in own or [e for e in self.by_name.items() if e[1].node_name is None]:
            self._check(execution, threshold_name, threshold)

    def _check(self, execution: NodeExecution, name: str, threshold: PerformanceThreshold) -> None:
        for severity, limit in (("critical", threshold.max_duration), ("warning", threshold.warning_duration)):
            if limit is not None and execution.duration > limit:
                self._alert(execution, name, threshold, severity, limit)
                return

    def _alert(
        self, execution: NodeExecution, name: str, threshold: PerformanceThreshold, severity: str, limit: float
    ) -> None:
        taken = execution.duration
        alert = PerformanceAlert(
            alert_id=f"alert-{next(self._numbers)}",
            node_name=execution.effective_name,
            execution_id=execution.execution_id,
            threshold_name=name,
            severity=severity,
            actual_duration=taken,
            threshold_duration=limit,
            violation_factor=taken / limit if limit else float("inf"),
            timestamp=execution.run.time_of(execution.ended),
            message=f"{severity}: {execution.effective_name} took {taken:.3f} s, over the {limit:.3f} s of {name!r}",
            entry=execution,
            threshold=threshold,
        )
        self.alerts.append(alert)
        if threshold.alert_callback is not None:
            try:
                threshold.alert_callback(alert)
            except Exception:
                logger.exception("the callback of threshold %r failed", name)

    def summary(self) -> dict[str, Any]:
        """How many alerts there are, by severity and by node."""
        return {
            "total": len(self.alerts),
            "by_severity": dict(Counter(alert.severity for alert in self.alerts)),
            "by_node": dict(Counter(alert.node_name for alert in self.alerts)),
        }
