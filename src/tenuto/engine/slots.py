"""The slots of one worker's activities: how many are free, and for whom."""

from __future__ import annotations


class Slots:
    """Attempts of our own executions and tasks that are claimed share them: when both wait, each gets every other
    slot that becomes free."""

    __slots__ = ("_for_claims_next", "_kept", "hungry", "in_use", "total")

    def __init__(self) -> None:
        self.total = 0
        self.in_use = 0
        #: Would more tasks be claimed if there were slots?
        self.hungry = False
        #: Free slots that are kept for what will be claimed.
        self._kept = 0
        self._for_claims_next = True

    @property
    def free(self) -> int:
        """Slots that an attempt of our own may take."""
        return self.total - self.in_use - self._kept

    @property
    def for_claims(self) -> int:
        """Slots that tasks may be claimed for."""
        return self.total - self.in_use

    def reserve(self, most: int) -> int:
        """Take up to `most` slots for tasks that are about to be claimed."""
        taken = max(0, min(most, self.for_claims))
        self.in_use += taken
        self._kept = max(0, self._kept - taken)
        self.hungry = True
        return taken

    def give_back(self, number: int, *, more: bool) -> None:
        """Some of these were not needed. `more`: there are more tasks to be claimed."""
        self.in_use -= number
        self.hungry = more
        if not more:
            self._kept = 0

    def grant(self, waiting: int) -> int:
        """How many of `waiting` attempts of our own may start now."""
        free = self.free
        if not waiting or free <= 0:
            return 0
        if self.hungry:
            share = (free + self._for_claims_next) // 2
            self._for_claims_next ^= free % 2 == 1
            self._kept += share
            free -= share
        return min(waiting, free)
