"""Monitoring: what runs did, which nodes were slow, and who wants to be told.

You learn:
- `controller.reporting` counts over all runs: success rate, durations, failures by node;
- a PerformanceThreshold raises an alert for nodes that take longer, and may call you;
- `subscribe("execution_error", callback)` is told once for each node that has finally failed.

    python -m examples.sequence_monitoring
"""

import time
from typing import Any

from tenuto.sequence import Sequence, node
from tenuto.sequence.reporting import PerformanceAlert, PerformanceThreshold


@node("fetch")
def fetch(size: int) -> list[int]:
    if size < 0:
        raise ValueError("a size is not negative")
    return list(range(size))


@node("crunch")
def crunch(numbers: list[int]) -> int:
    time.sleep(0.6 if len(numbers) > 3 else 0)
    return sum(numbers)


def monitored() -> Sequence:
    workflow = Sequence(fetch >> crunch, name="numbers")
    reporting = workflow.controller.reporting
    threshold = PerformanceThreshold(node_name="crunch", max_duration=30.0, warning_duration=0.5, alert_callback=page)
    reporting.set_performance_threshold("production", threshold)
    reporting.subscribe("execution_error", tell)
    return workflow


def page(alert: PerformanceAlert) -> None:
    print(f"{alert.severity}: {alert.node_name} took too long")


def tell(event: dict[str, Any]) -> None:
    print(f"{event['node_name']} failed: {event['error']}")


def main() -> None:
    workflow = monitored()
    for size in [3, 9, -1]:
        try:
            print(f"{size}: {workflow.execute(size)}")
        except ValueError as error:
            print(f"{size}: {error}")
    metrics = workflow.controller.reporting.get_execution_metrics()
    print(f"{metrics.total_nodes_executed} nodes, {metrics.success_rate:.0%} of them well")
    print(f"{len(workflow.controller.reporting.get_performance_alerts())} alert")


if __name__ == "__main__":
    main()
