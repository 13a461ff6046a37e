"""What the nodes of a run share: keys they set, and each other's outputs."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenuto.sequence.errors import NodeNotFoundError

if TYPE_CHECKING:
    from tenuto.sequence.history import NodeExecution

__all__ = ["ParallelResults", "SharedState", "workflow_state"]


class SharedState:
    """A mapping that every node of a run can read and write; annotate a parameter with it to get it.

    The keys that nodes set stay from one `execute` to the next of the same Sequence; outputs are those of one run. A
    key that was set hides an output of the same name. A missing key gives None (`get` takes another default); an int
    is the n-th result of the run, -1 the latest. Iterating yields pairs. Single accesses are safe from any thread; for
    several that belong together there is `lock`.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._begin({} if values is None else dict(values), threading.RLock())

    def _begin(self, store: MutableMapping[str, Any], lock: threading.RLock) -> None:
        #: What nodes have set, by key.
        self.store: MutableMapping[str, Any] = store
        self.lock = lock
        self.outputs: dict[str, Any] = {}
        self.results: list[Any] = []
        self.executions: list[NodeExecution] = []
        #: The dict given to `execute(config=...)`.
        self.config: dict[str, Any] = {}
        self.initial_input: Any = None
        self.current_input: Any = None
        self.final_output: Any = None

    def for_next_run(self) -> SharedState:
        """A state with the same keys, and no outputs yet."""
        state = SharedState.__new__(SharedState)
        state._begin(self.store, self.lock)
        return state

    @classmethod
    def view(cls, state: SharedState, store: MutableMapping[str, Any]) -> SharedState:
        """The same outputs and results as `state`, with keys kept elsewhere."""
        view = cls.__new__(cls)
        view.__dict__.update(state.__dict__)
        view.store = store
        return view

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int):
            try:
                return self.results[key]
            except IndexError:
                raise IndexError(f"there is no result number {key}, the run has {len(self.results)} so far") from None
        return self.get(key)

    def get(self, key: str, default: Any = None) -> Any:
        """What is under `key`, or `default`."""
        _check(key)
        try:
            return self.store[key]
        except KeyError:
            return self.outputs.get(key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        _check(key)
        self.store[key] = value

    def __delitem__(self, key: str) -> None:
        _check(key)
        del self.store[key]

    def __contains__(self, key: object) -> bool:
        return key in self.store or key in self.outputs

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._all().items())

    def __len__(self) -> int:
        return len(self._all())

    def keys(self) -> list[str]:
        """All keys: those that were set, and the names of the nodes that have run."""
        return list(self._all())

    def values(self) -> list[Any]:
        """What is under the keys, in their order."""
        return list(self._all().values())

    def items(self) -> list[tuple[str, Any]]:
        """Keys with their values."""
        return list(self._all().items())

    def setdefault(self, key: str, default: Any = None) -> Any:
        """What is under `key`, which is set to `default` first if nothing is."""
        with self.lock:
            if key not in self:
                self[key] = default
            return self[key]

    def update(self, *others: Mapping[str, Any], **values: Any) -> None:
        """Set several keys at once."""
        with self.lock:
            for key, value in dict(*others, **values).items():
                self[key] = value

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a key that was set; its value, or `default`."""
        return self.store.pop(key, default)

    def clear(self) -> None:
        """Remove all keys that were set."""
        self.store.clear()

    def _all(self) -> dict[str, Any]:
        return {**self.outputs, **self.store}

    @property
    def previous_output(self) -> Any:
        """The latest result of the run, or None."""
        return self.results[-1] if self.results else None

    @property
    def execution_count(self) -> int:
        """How many nodes have finished in this run."""
        return len(self.executions)

    def get_node_output(self, name: str, index: int = -1) -> Any:
        """What the node `name` returned, the last time or the `index`-th. Raises NodeNotFoundError."""
        outputs = [execution.output_value for execution in self.executions if execution.effective_name == name]
        try:
            return outputs[index]
        except IndexError:
            if not outputs and name in self.outputs:
                return self.outputs[name]
            raise NodeNotFoundError(
                f"node {name!r} has {len(outputs)} outputs in this run; asked for number {index}"
            ) from None

    def get_node_attribute(self, name: str, path: str) -> Any:
        """What lies at `path` (`"user.email"`: keys or attributes) in the node's output; None if nothing does."""
        found = self.get_node_output(name)
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)
        return found

    def get_parallel_outputs(self) -> dict[str, Any]:
        """The results of the latest parallel block of the run; empty if there is none."""
        blocks = (result for result in reversed(self.results) if isinstance(result, ParallelResults))
        return dict(next(blocks, {}))

    def to_dict(self) -> dict[str, Any]:
        """Everything by key, as a dict of its own."""
        return self._all()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SharedState:
        """A state with these keys set."""
        return cls(values)

    def save(self, path: str | Path, format: str = "json") -> None:
        """Write what was set to a file, as json or pickle. Raises TypeError if it can't be written as json."""
        data = json.dumps(dict(self.store)).encode() if format == "json" else pickle.dumps(dict(self.store))
        Path(path).write_bytes(data)

    @classmethod
    def load(cls, path: str | Path, format: str = "json") -> SharedState:
        """Read what `save` wrote. A pickle runs code: load only files that you wrote."""
        data = Path(path).read_bytes()
        return cls(json.loads(data) if format == "json" else pickle.loads(data))  # noqa: S301 - said above

    def __repr__(self) -> str:
        return f"SharedState({self._all()!r})"


class ParallelResults(dict[str, Any]):
    """Results of a parallel block, by branch. Looking up a key also finds the outputs of nodes that ran before the
    block ended; iteration, length and equality are about the branches alone."""

    __slots__ = ("_earlier",)

    def __init__(self, results: Mapping[str, Any], earlier: Mapping[str, Any]) -> None:
        super().__init__(results)
        self._earlier = earlier

    def __missing__(self, key: str) -> Any:
        return self._earlier[key]

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or key in self._earlier

    def get(self, key: str, default: Any = None) -> Any:
        """The branch's result, or the earlier node's output, or `default`."""
        return dict.get(self, key, self._earlier.get(key, default))

    def __reduce__(self) -> tuple[Any, ...]:
        return ParallelResults, (dict(self), dict(self._earlier))


#: The state of the run that the current code belongs to.
current_state: ContextVar[SharedState] = ContextVar("tenuto_sequence_state")


def workflow_state(key: str | int, attribute: str | None = None) -> Any:
    """What is under `key` in the state of the run that called this code: for helpers that are no nodes.

    With `attribute` (`"user.email"`), what lies there in a node's output. Raises RuntimeError outside of a run."""
    try:
        state = current_state.get()
    except LookupError:
        raise RuntimeError("workflow_state() is for code that a running sequence calls; no run is under way") from None
    if attribute is not None and isinstance(key, str):
        return state.get_node_attribute(key, attribute)
    return state[key]


def _check(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"a key of the shared state is a str (or an int, to read the n-th result), not {key!r}")
