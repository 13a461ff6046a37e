"""Hooks for tests of steps: they change nothing until told to, and note the delays."""

from __future__ import annotations

from typing import Any

from tenuto.activities.step_hooks import StepAt


class Hooks:
    """Attempts are retried at once. `results` and `errors` are by step name, the other sets hold names."""

    def __init__(self) -> None:
        self.delays: list[tuple[StepAt, float]] = []
        self.results: dict[str, Any] = {}
        self.errors: dict[str, Exception] = {}
        self.timed_out: set[str] = set()
        self.skipped: set[str] = set()

    def step_result(self, step: StepAt) -> tuple[Any] | None:
        return (self.results[step.name],) if step.name in self.results else None

    def step_error(self, step: StepAt) -> Exception | None:
        return self.errors.get(step.name)

    def step_times_out(self, step: StepAt) -> bool:
        return step.name in self.timed_out

    def retry_delay(self, step: StepAt, seconds: float) -> float:
        self.delays.append((step, seconds))
        return 0.0

    def skips_sleep(self, sleep: StepAt) -> bool:
        return sleep.name in self.skipped

    def event_times_out(self, wait: StepAt) -> bool:
        return wait.name in self.timed_out
