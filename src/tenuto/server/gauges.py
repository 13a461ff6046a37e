"""What a server is like at the moment when Prometheus asks: queues, pollers, what runs, what is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenuto.engine.clock import SECOND
from tenuto.engine.task_queues import Backlog
from tenuto.server.execution_metrics import MOST_NAMES, OTHER

if TYPE_CHECKING:
    from tenuto.server.services import Services

Key = tuple[str, str]


class Gauges(Collector):
    """Register it once the server's engine has started."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        """Nothing; the registry needs not ask for all values just to learn their names."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._queues()
        yield from self._work()
        yield from self._events()
        yield from self._others()

    def _queues(self) -> Iterator[Metric]:
        now = self._services.clock.now()
        depth = GaugeMetricFamily("tenuto_queue_tasks", "Tasks that wait in a queue.", labels=["type", "domain"])
        age = GaugeMetricFamily(
            "tenuto_queue_age_seconds",
            "Seconds that the next task of a queue has waited; the longest waiting one, where priorities are equal.",
            labels=["type", "domain"],
        )
        pollers = GaugeMetricFamily(
            "tenuto_queue_pollers", "Polls that wait for tasks of a queue.", labels=["type", "domain"]
        )
        for (task_type, domain), backlog in _bounded(self._services.graphs.queues.backlogs()).items():
            labels = [task_type, domain]
            depth.add_metric(labels, backlog.size)
            age.add_metric(labels, (now - backlog.next_since) / SECOND if backlog.next_since else 0)
            pollers.add_metric(labels, backlog.pollers)
        yield from (depth, age, pollers)

    def _work(self) -> Iterator[Metric]:
        services = self._services
        residents = services.engine.residents
        yield _gauge("tenuto_system_tasks_running", "System tasks that run.", services.graphs.work.running)
        yield _gauge("tenuto_scripts_running", "Scripts that run.", services.cage.running)
        yield _gauge("tenuto_scripts_waiting", "Scripts that wait for a free helper process.", services.cage.waiting)
        yield _gauge("tenuto_executions_in_memory", "Executions in memory, ended ones included.", len(residents))
        yield _gauge("tenuto_executions_in_memory_open", "Open executions in memory.", residents.open)
        yield _gauge("tenuto_executions_in_memory_limit", "From how many on executions are parked.", residents.capacity)
        yield _gauge("tenuto_requests_waiting", "Requests that wait for a commit.", services.engine.asking)

    def _others(self) -> Iterator[Metric]:
        engine, queues = self._services.engine, self._services.graphs.queues
        yield _gauge("tenuto_partitions", "Partitions of 256 that this server owns.", len(engine.ownership.epochs))
        yield _gauge("tenuto_peers", "Other processes that share the store.", engine.ownership.peers)
        yield _gauge("tenuto_tasks_shown", "Waiting tasks that are shown to other servers.", queues.board.shown)
        lost = CounterMetricFamily("tenuto_partitions_lost", "Partitions that others took: they heard nothing of us.")
        lost.add_metric([], engine.ownership.lost)
        yield lost
        taken = CounterMetricFamily("tenuto_tasks_taken", "Tasks of other servers that were handed out here.")
        taken.add_metric([], queues.seeker.taken)
        yield taken

    def _events(self) -> Iterator[Metric]:
        messages = GaugeMetricFamily(
            "tenuto_event_queue_messages", "Messages that wait for event handlers.", labels=["queue"]
        )
        sizes = self._services.events.own_sizes()
        for queue in sorted(sizes, key=lambda queue: sizes[queue])[:-MOST_NAMES]:
            sizes[OTHER] = sizes.get(OTHER, 0) + sizes.pop(queue)
        for queue, size in sizes.items():
            messages.add_metric([queue], size)
        yield messages
        runs = CounterMetricFamily("tenuto_schedule_runs", "Starts that schedules asked for.", labels=["state"])
        for state, count in self._services.scheduler.runs.counts.items():
            runs.add_metric([state], count)
        yield runs


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def _bounded(backlogs: dict[Key, Backlog]) -> dict[Key, Backlog]:
    """The queues with the most tasks; the others added up."""
    if len(backlogs) <= MOST_NAMES:
        return backlogs
    ranked = sorted(backlogs.items(), key=lambda each: (each[1].size, each[1].pollers), reverse=True)
    rest = [backlog for _, backlog in ranked[MOST_NAMES:]]
    waiting = [backlog.next_since for backlog in rest if backlog.next_since]
    other = Backlog(
        sum(backlog.size for backlog in rest), min(waiting, default=0), sum(backlog.pollers for backlog in rest)
    )
    return dict(ranked[:MOST_NAMES]) | {(OTHER, ""): other}
