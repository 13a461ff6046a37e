"""The definitions that this engine knows: in memory, and in the store.

Whoever decides needs them without waiting, so all are kept; a definition that was just written is seen by everything
that begins after its acknowledgement, with other servers too if they look (`fresh`), else within about a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine.following import Following
from tenuto.graph.definitions import (
    Snapshot,
    TaskDef,
    WorkflowDef,
    decode_task_def,
    decode_workflow_def,
    encode_snapshot,
    to_json,
)
from tenuto.graph.plan import inner_lists
from tenuto.model.errors import ConflictError
from tenuto.model.json_values import Json, decode_json, encode_json
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

WORKFLOWS, TASKS, CODE = "workflow_def", "task_def", "workflow_code"
#: Seconds for which a name that is not there is not looked for again, and how many such names are remembered.
MISSED, MOST_MISSED = 1.0, 10_000
#: The document whose revision grows with every change.
CHANGES = ("server", "definitions")


class Catalog:
    """Workflow and task definitions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._workflows: dict[str, dict[int, WorkflowDef]] = {}
        self._tasks: dict[str, TaskDef] = {}
        #: Looks up a variable of the environment that is kept on the server; set by whoever keeps it.
        self.environment: Callable[[str], str | None] = lambda name: None
        #: Looks up a schema by its name and version; set by whoever keeps them.
        self.schema: Callable[[str, int], Json] = lambda name, version: None
        #: How many executions of a workflow may run at a time by what it is tagged with; set by whoever keeps the tags.
        self.rate_limit: Callable[[str], int | None] = lambda name: None
        self._snapshots: dict[tuple[str, int], bytes] = {}
        self._writing = asyncio.Lock()
        self._following = Following(engine.store, CHANGES, self._read)
        #: On which task queues workers have served durable code, by type.
        self._code: dict[str, str] = {}
        #: Names of which there was no definition when it was looked for.
        self._missed: dict[str, float] = {}
        #: Revisions of the documents that were read or written.
        self._revisions: dict[tuple[str, str], int] = {}

    async def load(self) -> None:
        """Read everything from the store."""
        await self._following.reload()

    async def fresh(self) -> None:
        """See every definition that was registered before the call, at whichever server."""
        if self._engine.ownership.peers:
            await self._following.fresh()

    async def look(self) -> None:
        """See what other servers have changed; to be called about once a second, too."""
        if self._engine.ownership.peers:
            await self._following.look()

    def is_settled(self, name: str) -> bool:
        if not self._engine.ownership.peers or name in self._workflows or name in self._code:
            return True
        return self._missed.get(name, float("-inf")) > asyncio.get_running_loop().time() - MISSED

    async def look_up(self, name: str) -> None:
        """Find out whether another server has registered something of that name."""
        await self._engine.patiently(self.fresh)
        if len(self._missed) >= MOST_MISSED:
            self._missed.clear()
        self._missed[name] = asyncio.get_running_loop().time()

    async def _read(self) -> None:
        async with self._writing:
            await self._read_all()

    async def _read_all(self) -> None:
        workflows, tasks, code = await self._all(WORKFLOWS), await self._all(TASKS), await self._all(CODE)
        revisions = {(found.collection, found.key): found.revision for found in (*workflows, *tasks, *code)}
        if revisions == self._revisions:
            return
        self._revisions = revisions
        self._workflows.clear()
        self._tasks.clear()
        self._snapshots.clear()
        self._code = {document.key: document.data.decode() for document in code}
        for document in workflows:
            self._keep_workflow(decode_workflow_def(decode_json(document.data)))
        for document in tasks:
            definition = decode_task_def(decode_json(document.data))
            self._tasks[definition.name] = definition

    async def _all(self, collection: str) -> list[Document]:
        found: list[Document] = []
        after = ""
        while True:
            page = await self._engine.store.documents(collection, after=after, limit=500)
            found += page
            if len(page) < 500:
                return found
            after = page[-1].key

    def _keep_workflow(self, definition: WorkflowDef) -> None:
        self._workflows.setdefault(definition.name, {})[definition.version] = definition
        self._snapshots.pop((definition.name, definition.version), None)

    # -- looking up (tenuto.graph.context.Definitions) -----------------------------------------------------------------

    def workflow(self, name: str, version: int | None = None) -> WorkflowDef | None:
        """A definition; the latest without `version`."""
        versions = self._workflows.get(name)
        if not versions:
            return None
        return versions.get(max(versions) if version is None else version)

    def workflows(self) -> dict[str, dict[int, WorkflowDef]]:
        """All definitions by name and version."""
        return self._workflows

    def latest_version(self, name: str) -> int | None:
        return max(self._workflows.get(name, ()), default=None)

    def task(self, name: str) -> TaskDef | None:
        return self._tasks.get(name)

    def tasks(self) -> dict[str, TaskDef]:
        """All task definitions by name."""
        return self._tasks

    def code(self, workflow_type: str) -> str | None:
        return self._engine.turns.queue_of(workflow_type) or self._code.get(workflow_type)

    def snapshot(self, name: str, version: int | None) -> bytes | None:
        definition = self.workflow(name, version)
        if definition is None:
            return None
        key = (definition.name, definition.version)
        if key not in self._snapshots:
            self._snapshots[key] = self.snapshot_of(definition)
        return self._snapshots[key]

    def snapshot_of(self, definition: WorkflowDef) -> bytes:
        """`definition` with the task definitions that it uses, encoded: what an execution copies at its start."""
        names: set[str] = set()
        _collect_names(definition, names)
        tasks = {name: self._tasks[name] for name in sorted(names) if name in self._tasks}
        return encode_snapshot(Snapshot(workflow=definition, tasks=tasks))

    # -- writing -----------------------------------------------------------------------------------------------------

    async def put_workflow(self, definition: WorkflowDef, *, overwrite: bool) -> bool:
        """Store a definition. False if there is one and `overwrite` doesn't allow to replace it."""
        key = _workflow_key(definition.name, definition.version)
        async with self._writing:
            if not overwrite and self.workflow(definition.name, definition.version) is not None:
                return False
            try:
                await self._put(WORKFLOWS, key, to_json(definition), None if overwrite else 0)
            except ConflictError:
                await self._read_all()
                return False
            self._keep_workflow(definition)
            await self._announce()
            return True

    async def delete_workflow(self, name: str, version: int) -> bool:
        """Forget a definition; executions that run have their own copy. False if there is none."""
        async with self._writing:
            there = await self._delete(WORKFLOWS, _workflow_key(name, version))
            versions = self._workflows.get(name, {})
            versions.pop(version, None)
            self._snapshots.pop((name, version), None)
            if not versions:
                self._workflows.pop(name, None)
            await self._announce()
            return there

    async def put_task(self, definition: TaskDef) -> None:
        """Store a task definition."""
        async with self._writing:
            await self._put(TASKS, definition.name, to_json(definition), None)
            self._tasks[definition.name] = definition
            self._snapshots.clear()
            await self._announce()

    async def delete_task(self, name: str) -> bool:
        """Forget a task definition. False if there is none."""
        async with self._writing:
            there = await self._delete(TASKS, name)
            self._tasks.pop(name, None)
            self._snapshots.clear()
            await self._announce()
            return there

    async def register_code(self, task_queue: str, types: Collection[str]) -> None:
        """A worker of this process serves durable code of these types: graphs that live elsewhere can call it, too."""
        if not self._engine.store.shared:
            return
        async with self._writing:
            new = [each for each in types if self._code.get(each) != task_queue]
            for each in new:
                document = Document(CODE, each, task_queue.encode(), updated=self._engine.clock.now())
                revision = await self._engine.patiently(partial(self._engine.store.put_document, document))
                self._revisions[CODE, each] = revision
                self._code[each] = task_queue
            if new:
                await self._engine.patiently(self._announce)

    async def _put(self, collection: str, key: str, value: object, expected: int | None) -> None:
        document = Document(collection, key, encode_json(value), updated=self._engine.clock.now())
        self._revisions[collection, key] = await self._engine.store.put_document(document, expected)

    async def _delete(self, collection: str, key: str) -> bool:
        self._revisions.pop((collection, key), None)
        return await self._engine.store.delete_document(collection, key)

    async def _announce(self) -> None:
        if self._engine.store.shared:
            await self._following.announce(self._engine.clock.now())


def _workflow_key(name: str, version: int) -> str:
    return f"{name}/{version:010d}"


def _collect_names(definition: WorkflowDef, names: set[str]) -> None:
    lists = [definition.tasks]
    while lists:
        for node in lists.pop():
            names.add(node.name)
            lists += inner_lists(node)
