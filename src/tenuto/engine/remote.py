"""What a process asks of executions that another process owns: requests go through the inbox, and the answers and the
ends of runs are looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tenuto.engine.lookout import Lookout
from tenuto.model import messages as msg
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import Hint, Store, StoredExecution, partition_of

#: Histories that are read with one statement, and messages that are sent with one.
HISTORIES, MESSAGES = 50, 500

#: A run by its workflow id and run id; without a run id the latest.
Key = tuple[str, str | None]


class Remote:
    """The executions of others. One of a store; `close` it before the store."""

    def __init__(self, store: Store, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id
        self._answers: Lookout[str, bytes] = Lookout(store.answers)
        self._ends: Lookout[Key, StoredExecution | None] = Lookout(self._ended)
        self._post = Post(store)

    async def ask(self, message: msg.Message) -> msg.Answer:
        """Have the owner of the target carry out a request. Waits for as long as there is no answer."""
        request_id = self._new_id()
        data = msg.encode(msg.Message(message.target, message.body, request_id))
        await self._post.send(partition_of(message.target.workflow_id), data)
        return msg.decode_answer(await self._answers.find(request_id))

    async def end(self, ref: ExecutionRef) -> StoredExecution | None:
        """A run once it has closed, None if there is no such run."""
        return await self._ends.find((ref.workflow_id, ref.run_id))

    def hinted(self, hint: Hint) -> None:
        """Something may have happened elsewhere."""
        if hint.answers:
            self._answers.poke()
        if hint.closed:
            self._ends.poke()

    async def close(self) -> None:
        """Whoever waits is cancelled."""
        await self._post.close()
        await self._answers.close()
        await self._ends.close()

    async def _ended(self, keys: Sequence[Key]) -> dict[Key, StoredExecution | None]:
        rows = await self._store.rows([ExecutionRef(*key) for key in keys])
        found = dict(zip(keys, rows, strict=True))
        ended: dict[Key, StoredExecution | None] = {key: None for key, row in found.items() if row is None}
        closed = [
            (key, ExecutionRef(key[0], row.run_id))
            for key, row in found.items()
            if row is not None and row.status is not ExecutionStatus.RUNNING
        ]
        if closed:
            runs = await self._store.load([ref for _, ref in closed[:HISTORIES]], closed_history=True)
            ended.update(zip((key for key, _ in closed[:HISTORIES]), runs, strict=True))
        if len(closed) > HISTORIES:
            self._ends.poke()  # the others come with the next look
        return ended


class Post:
    """Sends messages: those that come while others are being sent go together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unsent: list[tuple[int, bytes, asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def send(self, partition: int, data: bytes) -> None:
        """Return once the message is on record. Raises StoreError."""
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unsent.append((partition, data, sent))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._run(), name="tenuto: requests to others")
        await sent

    async def close(self) -> None:
        """Send nothing any more; whoever waits is cancelled."""
        for _, _, sent in self._unsent:
            sent.cancel()
        self._unsent.clear()
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _run(self) -> None:
        while self._unsent:
            messages, self._unsent = self._unsent[:MESSAGES], self._unsent[MESSAGES:]
            error: Exception | None = None
            try:
                await self._store.send([(partition, data) for partition, data, _ in messages])
            except Exception as failure:  # noqa: BLE001 - those who wait are told
                error = failure
            for _, _, sent in messages:
                if sent.done():
                    continue
                if error is None:
                    sent.set_result(None)
                else:
                    sent.set_exception(error)
