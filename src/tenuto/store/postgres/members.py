"""Membership: joining, staying, taking partitions and giving them away, and the fence that goes with it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from tenuto.model.errors import LeaseLostError, StoreError
from tenuto.store.postgres.options import Options
from tenuto.store.postgres.sessions import Session
from tenuto.store.postgres.statements import Statements
from tenuto.store.postgres.texts import escape
from tenuto.store.process_name import process_name
from tenuto.store.protocol import PARTITIONS, Lease, Rank

_MERCY = 3
"""Seconds after a connection was lost in which other members aren't judged by theirs: the server may have cut all. So
many more have those whose time was over when nobody could renew it."""
_SILENCE = 2.0
"""Seconds without a renewal of ours after which we take it that others had trouble, too."""


class Membership:
    """What this process is a member as, and which partitions it holds. Everything here is done on one session, that
    of the commits, one after the other: whether an epoch is ours can be told without asking."""

    def __init__(self, options: Options, statements: Statements) -> None:
        self._pooled = options.pooled
        self._statements = statements
        self._name: str | None = None
        self._revision = 0
        self._session_key: int | None = None
        self._judges_from = 0.0
        self._merciful_until = 0.0
        self._renewed_at = 0.0
        self._held: dict[int, int] = {}
        self.peers = 0

    @property
    def held(self) -> Mapping[int, int]:
        """The partitions that are ours, with their epochs, as far as we know."""
        return self._held

    @property
    def joined(self) -> bool:
        """Are we a member, as far as we know?"""
        return self._name is not None

    @property
    def alone(self) -> bool:
        """Is there nobody who could be told anything?"""
        return self.joined and self.peers == 0

    def fence(self, epochs: Mapping[int, int]) -> dict[str, object]:
        """The values of `fence` for a commit decided under `epochs`. Raises `LeaseLostError`."""
        if self._name is None or any(self._held.get(partition) != epoch for partition, epoch in epochs.items()):
            raise lease_lost()
        return {"member": escape(self._name), "revision": self._revision}

    async def prepare(self, session: Session, now: float) -> None:
        """The first thing on a new session, at loop time `now`. What an old one may still be doing is fenced off."""
        reconnected = self._session_key is not None
        if not self._pooled:
            self._session_key = random.SystemRandom().getrandbits(62)
            await session.fetch(self._statements["hold_session"], {"session": self._session_key})
        if reconnected:
            self._judges_from = now + _MERCY
        if self._name is not None:
            values = {"member": escape(self._name), "revision": self._revision, "session": self._session_key}
            rows = await session.fetch(self._statements["fence_off"], values)
            if rows:
                self._revision = rows[0][0]
            else:
                self._forget()

    async def lease(self, session: Session, owner: str, term: int, rank: Rank, now: float) -> tuple[Lease, bool]:
        """`Store.lease` for `term` nanoseconds. Also returns whether the member is new."""
        if self._name not in (None, owner):
            raise StoreError(f"This store's member is {self._name!r}, so {owner!r} can't join through it.")
        values: dict[str, object] = {
            "member": escape(owner),
            "revision": self._revision if self._name else 0,
            "rank": int(rank),
            "term": term / 1000,
        }
        if self._name is not None and now - self._renewed_at > _SILENCE:
            self._merciful_until = now + _MERCY
        values |= self.judgement(now)
        view = _View((await session.fetch(self._statements["renew"], values))[0], rank)
        joins = not view.joined
        if joins or view.dead or (view.free and view.wanted):
            view = await self._arrange(session, owner, rank, values, joins)
        self._name = owner
        self._held = view.held
        self.peers = view.peers
        self._renewed_at = now
        return Lease(dict(view.held), view.surplus, view.peers), joins

    async def _arrange(self, session: Session, owner: str, rank: Rank, values: dict[str, object], joins: bool) -> _View:
        """Join, bury the dead and take what is free; members do that one after the other."""
        statements = self._statements
        async with session.transaction():
            await session.fetch(statements["serialize"], {"deployment": deployment(statements.schema)})
            if joins:
                extra = {"session": self._session_key, "description": _words_for_people(owner)}
                rows = await session.fetch(statements["join"], values | extra)
                self._forget()
                self._revision = rows[0][0]
            await session.fetch(statements["bury"], values)
            await session.fetch(statements["free_partitions"])
            view = _View((await session.fetch(statements["view"], values))[0], rank)
            if view.free and view.wanted:
                number = min(view.free, view.wanted)
                rows = await session.fetch(statements["take"], {"member": values["member"], "number": number})
                view.held.update((partition, epoch) for partition, epoch in rows)
        return view

    async def give(self, session: Session, partitions: Collection[int]) -> None:
        given = [partition for partition in partitions if self._held.pop(partition, None) is not None]
        if given and self._name is not None:
            await session.fetch(self._statements["give"], {"member": escape(self._name), "partitions": given})

    async def leave(self, session: Session) -> None:
        if self._name is None:
            return
        values = {"member": escape(self._name), "revision": self._revision}
        self._forget()
        await session.fetch(self._statements["leave"], values)

    def is_member(self, owner: str) -> bool:
        return self._name == owner

    def disconnected(self) -> None:
        """The session was closed, and not because it broke."""
        self._session_key = None
        self._forget()

    def judgement(self, now: float) -> dict[str, object]:
        """When other members count as dead at loop time `now`: whether the end of their sessions says so, and for how
        many seconds after the end of their time not. If we could not renew ours for a while, neither could they."""
        return {
            "judge": not self._pooled and now >= self._judges_from,
            "mercy": _MERCY if now < self._merciful_until else 0,
        }

    def _forget(self) -> None:
        self._name = None
        self._revision = 0
        self._held = {}
        self.peers = 0


class _View:
    """What `view` and `renew` tell a member of this rank."""

    def __init__(self, row: Any, rank: Rank) -> None:
        ranks: list[int] = row["ranks"] or []
        top = max([*ranks, rank])
        able = 1 + sum(other == top for other in ranks)
        share = -(-PARTITIONS // able) if rank == top else 0
        self.joined: bool = row["joined"]
        self.dead: int = row["dead"]
        self.free: int = row["free"]
        self.peers = len(ranks)
        self.held: dict[int, int] = dict(zip(row["partitions"] or (), row["epochs"] or (), strict=True))
        self.wanted = max(0, share - len(self.held))
        self.surplus = max(0, len(self.held) - share)


def lease_lost() -> LeaseLostError:
    """The error of a commit that was fenced."""
    return LeaseLostError("Another engine has taken over the partitions of this commit; nothing of it was written.")


def deployment(schema: str) -> int:
    """The key of the advisory lock under which the members of a deployment do what only one may do at a time."""
    return int.from_bytes(hashlib.blake2b(f"tenuto {schema}".encode(), digest_size=8).digest(), signed=True)


def _words_for_people(owner: str) -> str:
    since = datetime.now(UTC).replace(microsecond=0).isoformat()
    return escape(f"{owner}: {process_name()} since {since}")
