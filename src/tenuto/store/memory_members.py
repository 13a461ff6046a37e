"""Who shares a memory store, and which partitions each of them owns."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from tenuto.store.protocol import PARTITIONS, Lease, Rank


class Member(Struct):
    rank: Rank
    until: int


class Members:
    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._epochs = [0] * PARTITIONS
        self._owners: list[str | None] = [None] * PARTITIONS

    def lease(self, owner: str, now: int, until: int, rank: Rank) -> Lease:
        self._members[owner] = Member(rank, until)
        for name in [name for name, member in self._members.items() if member.until < now]:
            self.leave(name)
        top = max(member.rank for member in self._members.values())
        able = sum(member.rank is top for member in self._members.values())
        share = -(-PARTITIONS // able) if rank is top else 0
        held = self._held(owner)
        for partition, holder in enumerate(self._owners):
            if holder is None and len(held) < share:
                self._owners[partition] = owner
                self._epochs[partition] += 1
                held[partition] = self._epochs[partition]
        return Lease(held, max(0, len(held) - share), len(self._members) - 1)

    def give(self, owner: str, partitions: Collection[int]) -> None:
        for partition in partitions:
            if self._owners[partition] == owner:
                self._owners[partition] = None

    def leave(self, owner: str) -> None:
        self.give(owner, range(PARTITIONS))
        self._members.pop(owner, None)

    def alive(self, name: str) -> bool:
        return name in self._members

    def owners(self) -> list[str]:
        """Those who own partitions."""
        return sorted({owner for owner in self._owners if owner is not None})

    def hold(self, names: Collection[str], epochs: Mapping[int, int]) -> bool:
        """Do these members own all these partitions, under these epochs?"""
        return all(
            self._owners[partition] in names and self._epochs[partition] == epoch for partition, epoch in epochs.items()
        )

    def _held(self, owner: str) -> dict[int, int]:
        return {partition: self._epochs[partition] for partition, holder in enumerate(self._owners) if holder == owner}
