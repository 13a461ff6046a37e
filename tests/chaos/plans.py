"""What is done in a run, long or short."""

from __future__ import annotations

import random

from tests.chaos.run import Plan

#: Each is done about as often as the others in a long run.
KINDS = (
    "kill engine",
    "kill worker",
    "freeze engine",
    "freeze worker",
    "pause engine",
    "stop engine",
    "stop worker",
    "cut connections",
    "crash database",
    "kill backend",
)
#: Not two of these at the same time: what isn't there can't be broken.
OF_DATABASE = {"cut connections", "crash database", "kill backend"}
#: Seconds that a fault takes, with its pause, on average: starts are spread over all of them.
EACH = 7.0


def long_plan(workflows: int, rounds: int, seed: int) -> Plan:
    """Every fault so many times, in an order by chance; one in three comes together with the one before."""
    chosen = random.Random(seed)
    kinds = list(KINDS) * rounds
    chosen.shuffle(kinds)
    groups: list[list[str]] = []
    for kind in kinds:
        last = groups[-1] if groups else []
        if len(last) == 1 and not {kind, *last} <= OF_DATABASE and chosen.random() < 1 / 3:
            last.append(kind)
        else:
            groups.append([kind])
    return Plan(workflows * 3 // 5, workflows - workflows * 3 // 5, EACH * len(groups), groups)


def short_plan() -> Plan:
    """One of each, those that take long at the same time."""
    groups = [
        ["kill engine"],
        ["kill worker", "cut connections"],
        ["freeze engine", "freeze worker"],
        ["crash database"],
        ["stop engine", "stop worker"],
        ["kill backend"],
    ]
    return Plan(90, 60, 30.0, groups, pause=(0.3, 1.0))
