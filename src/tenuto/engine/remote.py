"""What a process asks of executions that another process owns: requests go through the inbox, and the answers and the
ends of runs are looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenuto.engine.lookout import Lookout
from tenuto.model import messages as msg
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import ExecutionRow, Hint, Store, partition_of

#: A run by its workflow id and run id; without a run id the latest.
Key = tuple[str, str | None]


class Remote:
    """The executions of others. One of a store; `close` it before the store."""

    def __init__(self, store: Store, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id
        self._answers: Lookout[str, bytes] = Lookout(store.answers)
        self._ends: Lookout[Key, ExecutionRow | None] = Lookout(self._ended)

    async def ask(self, message: msg.Message) -> msg.Answer:
        """Have the owner of the target carry out a request. Waits for as long as there is no answer."""
        request_id = self._new_id()
        data = msg.encode(msg.Message(message.target, message.body, request_id))
        await self._store.send([(partition_of(message.target.workflow_id), data)])
        return msg.decode_answer(await self._answers.find(request_id))

    async def end(self, ref: ExecutionRef) -> ExecutionRow | None:
        """The row of a run once it has closed, None if there is no such run."""
        return await self._ends.find((ref.workflow_id, ref.run_id))

    def hinted(self, hint: Hint) -> None:
        """Something may have happened elsewhere."""
        if hint.answers:
            self._answers.poke()
        if hint.closed:
            self._ends.poke()

    async def close(self) -> None:
        """Whoever waits is cancelled."""
        await self._answers.close()
        await self._ends.close()

    async def _ended(self, keys: Sequence[Key]) -> dict[Key, ExecutionRow | None]:
        rows = await self._store.rows([ExecutionRef(*key) for key in keys])
        return {
            key: row
            for key, row in zip(keys, rows, strict=True)
            if row is None or row.status is not ExecutionStatus.RUNNING
        }
