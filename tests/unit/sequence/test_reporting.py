"""Metrics, thresholds, alerts, subscriptions, reports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenuto.sequence import InstantClock, Sequence, node, parallel
from tenuto.sequence.reporting import PerformanceThreshold


def clocked(**seconds: float) -> tuple[Sequence, InstantClock]:
    """A chain of nodes that take so long."""
    clock = InstantClock()

    def taking(name: str, time: float) -> Any:
        def work(x: int) -> int:
            clock.advance(time)
            return x

        return node(name)(work)

    return Sequence(*[taking(name, time) for name, time in seconds.items()], name="w", clock=clock), clock


def failing(fallback: bool = False) -> Any:
    made = node("failing")(lambda x: 1 / 0)
    if fallback:
        made.fallback_value = 0
    return made


add = node("add")(lambda x: x + 1)


def test_metrics_before_the_first_run() -> None:
    metrics = Sequence(add).controller.reporting.get_execution_metrics()
    assert (metrics.total_nodes_executed, metrics.success_rate, metrics.average_node_duration) == (0, 0.0, 0.0)
    assert metrics.execution_start_time is None


def test_metrics_accumulate() -> None:
    workflow, clock = clocked(a=1.0, b=3.0)
    start = clock.time()
    workflow.execute(1)
    workflow.execute(1)
    metrics = workflow.controller.reporting.get_execution_metrics()
    assert metrics.total_nodes_executed == metrics.successful_executions == 4
    assert (metrics.total_execution_time, metrics.average_node_duration) == (8.0, 2.0)
    assert (metrics.min_node_duration, metrics.max_node_duration) == (1.0, 3.0)
    assert (metrics.unique_nodes_count, metrics.node_execution_counts) == (2, {"a": 2, "b": 2})
    assert (metrics.execution_start_time, metrics.execution_end_time) == (start, start + 8)
    assert metrics.success_rate == 1.0


def test_failures_count_once_whatever_the_attempts() -> None:
    workflow = Sequence(add >> failing(), clock=InstantClock())
    with pytest.raises(ZeroDivisionError):
        workflow.execute(1, config={"error_config": {"max_retries": 3}})
    metrics = workflow.controller.reporting.get_execution_metrics()
    assert (metrics.total_nodes_executed, metrics.failed_executions, metrics.success_rate) == (2, 1, 0.5)
    saved = Sequence(failing(fallback=True))
    assert saved.execute(1) == 0
    assert saved.controller.reporting.get_execution_metrics().success_rate == 1.0


def test_metrics_of_a_run_under_way_and_of_branches() -> None:
    workflow: Sequence
    look = node("look")(lambda x: workflow.controller.reporting.get_execution_metrics().total_nodes_executed)
    workflow = Sequence(add >> parallel(add, add.alias("b")) >> look)
    assert workflow.execute(1) == 3
    assert workflow.controller.reporting.get_execution_metrics().total_nodes_executed == 4


def test_thresholds() -> None:
    workflow, _ = clocked(fast=0.1, slow=1.5, slowest=4.0)
    reporting = workflow.controller.reporting
    called: list[Any] = []
    threshold = PerformanceThreshold(
        node_name=None, max_duration=2.0, warning_duration=1.0, alert_callback=called.append
    )
    reporting.set_performance_threshold("production", threshold)
    assert not reporting.get_performance_alerts()
    workflow.execute(1)
    warning, critical = reporting.get_performance_alerts()
    assert called == [warning, critical]
    assert (warning.node_name, warning.severity, warning.threshold_duration) == ("slow", "warning", 1.0)
    assert (critical.node_name, critical.severity, critical.violation_factor) == ("slowest", "critical", 2.0)
    assert (critical.threshold_name, critical.actual_duration) == ("production", 4.0)
    assert critical.message == "critical: slowest took 4.000 s, over the 2.000 s of 'production'"
    assert (critical["severity"], critical["alert"], critical.get("nothing")) == ("critical", critical, None)
    assert critical["threshold"] is threshold
    assert critical["entry"].effective_name == "slowest"
    assert reporting.get_recent_alerts(5, "warning") == [warning]
    assert reporting.get_recent_alerts(1) == [critical]
    assert reporting.get_alert_summary() == {
        "total": 2,
        "by_severity": {"warning": 1, "critical": 1},
        "by_node": {"slow": 1, "slowest": 1},
    }
    reporting.clear_alerts()
    assert reporting.get_performance_alerts() == []


def test_a_nodes_own_threshold_beats_the_global_one() -> None:
    workflow, _ = clocked(a=2.0, b=2.0)
    reporting = workflow.controller.reporting
    reporting.set_global_threshold(max_duration=1.0)
    reporting.set_node_threshold("a", max_duration=5.0)
    workflow.execute(1)
    assert [alert.node_name for alert in reporting.get_performance_alerts()] == ["b"]


def test_a_failing_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    workflow, _ = clocked(a=2.0)
    workflow.controller.reporting.set_performance_threshold("t", PerformanceThreshold("a", 1.0, 0.5, lambda a: 1 / 0))
    assert workflow.execute(1) == 1
    assert "callback of threshold 't' failed" in caplog.text


def test_execution_error_is_told_once_a_failure() -> None:
    for fallback in (False, True):
        workflow = Sequence(add >> failing(fallback), name="w", clock=InstantClock())
        told: list[dict[str, Any]] = []
        subscription = workflow.controller.reporting.subscribe("execution_error", told.append)
        config = {"error_config": {"max_retries": 3}}
        if fallback:
            assert workflow.execute(1, config=config) == 0
        else:
            with pytest.raises(ZeroDivisionError):
                workflow.execute(1, config=config)
        (data,) = told
        assert (data["node_name"], data["error"], data["error_type"]) == (
            "failing",
            "division by zero",
            "ZeroDivisionError",
        )
        assert (data["attempts"], data["handled"], data["workflow_name"]) == (3, fallback, "w")
        assert isinstance(data["exception"], ZeroDivisionError)
        assert {"execution_id", "timestamp"} <= set(data)
        assert workflow.controller.reporting.unsubscribe(subscription) is True
        assert workflow.controller.reporting.unsubscribe(subscription) is False


def test_all_events() -> None:
    workflow = Sequence(add >> failing(), clock=InstantClock())
    told: list[str] = []
    typed: list[str] = []
    workflow.controller.reporting.subscribe("*", lambda data: told.append(data["event_type"]))
    workflow.controller.reporting.subscribe_to_events(lambda kind, data: typed.append(kind))
    with pytest.raises(ZeroDivisionError):
        workflow.execute(1, config={"error_config": {"max_retries": 2}})
    assert (
        told
        == typed
        == [
            "execution_started",
            "node_execution_started",
            "node_execution_completed",
            "node_execution_started",
            "node_retry",
            "node_execution_failed",
            "execution_error",
        ]
    )
    told.clear()
    fine = Sequence(add)
    fine.controller.subscribe(lambda kind, data: told.append(kind))
    fine.execute(1)
    fine.controller.pause()
    fine.controller.resume()
    fine.controller.restart()
    assert told[-4:] == ["execution_completed", "workflow_paused", "workflow_resumed", "workflow_restarted"]


def test_subscribers_cant_break_a_run(caplog: pytest.LogCaptureFixture) -> None:
    workflow = Sequence(add)
    workflow.controller.reporting.subscribe("execution_started", lambda data: 1 / 0)
    assert workflow.execute(1) == 2
    assert "a subscriber to execution_started failed" in caplog.text
    with pytest.raises(ValueError, match="no event 'unknown'"):
        workflow.controller.reporting.subscribe("unknown", print)


def test_performance_and_errors() -> None:
    workflow, _ = clocked(a=1.0, b=1.0, c=1.0, d=1.0, e=1.0, slow=20.0)
    workflow.execute(1)
    summary = workflow.controller.reporting.get_performance_summary()
    assert (summary.median_duration, summary.slowest_nodes[0]) == (1.0, ("slow", 20.0))
    assert (summary.bottlenecks, summary.outliers) == (["slow"], [("slow", 20.0)])
    assert len(summary.fastest_nodes) == 5
    broken = Sequence(failing(), name="w")
    with pytest.raises(ZeroDivisionError):
        broken.execute(1)
    errors = broken.controller.reporting.get_error_analysis()
    assert (errors.total_errors, errors.error_rate, errors.most_common_error) == (1, 1.0, "ZeroDivisionError")
    assert (errors.failed_nodes, errors.details[0]["error"]) == ({"failing": 1}, "division by zero")
    assert Sequence(add).controller.reporting.get_performance_summary().median_duration == 0.0


def test_status_and_reports() -> None:
    workflow, _ = clocked(a=1.0, b=2.0)
    workflow.execute(1)
    reporting = workflow.controller.reporting
    status = reporting.get_live_status()
    assert (status["controller_state"], status["is_active"], status["execution_path"]) == (
        "completed",
        False,
        ["a", "b"],
    )
    assert json.loads(reporting.export_report("json"))["metrics"]["total_nodes_executed"] == 2
    assert "| metrics | total_nodes_executed | 2 |" in reporting.export_report()
    assert "metrics,total_nodes_executed,2" in reporting.export_report("csv")
    assert "<td>total_nodes_executed</td><td>2</td>" in reporting.export_report("html")
    with pytest.raises(ValueError, match="not 'pdf'"):
        reporting.export_report("pdf")
