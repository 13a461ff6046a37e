"""Checkpoints: the shared state and what has run, as JSON files."""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["Checkpoints"]

DIRECTORY = Path(".checkpoints")
_DAY = 86400.0
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


class Checkpoints:
    """Checkpoints of one Sequence, in `.checkpoints` of the current directory. Nothing is written unless asked for.

    What JSON can't hold is replaced by a text that says so."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence

    def save(self, name: str | None = None) -> str:
        """Write one; its id."""
        sequence = self._sequence
        checkpoint = f"{_UNSAFE.sub('_', name or sequence.name)}-{uuid.uuid4().hex[:12]}"
        data = {
            "id": checkpoint,
            "name": name or sequence.name,
            "workflow_name": sequence.name,
            "time": time.time(),
            "state": {key: _storable(value) for key, value in sequence.state.store.items()},
            "outputs": {key: _storable(value) for key, value in sequence.state.outputs.items()},
            "executed": sequence.controller.execution_history.get_execution_sequence(),
        }
        DIRECTORY.mkdir(exist_ok=True)
        # Under another name first: a checkpoint is there as a whole or not at all.
        draft = DIRECTORY / f".{checkpoint}"
        draft.write_text(json.dumps(data, indent=1))
        draft.rename(_path(checkpoint))
        return checkpoint

    def load(self, checkpoint: str) -> dict[str, Any]:
        """Set the shared state's keys to those of a checkpoint; all of the checkpoint. Raises KeyError."""
        data = self._read(_path(checkpoint))
        if data is None:
            raise KeyError(f"there is no checkpoint {checkpoint!r} in {DIRECTORY.resolve()}")
        store = self._sequence.state.store
        store.clear()
        store.update(data["state"])
        return data

    def list(self) -> list[dict[str, Any]]:
        """id, name and time of each, oldest first."""
        read = [self._read(path) for path in DIRECTORY.glob("*.json")]
        own = [data for data in read if data is not None and data.get("workflow_name") == self._sequence.name]
        return [{key: data[key] for key in ("id", "name", "time")} for data in sorted(own, key=lambda d: d["time"])]

    def delete(self, checkpoint: str) -> bool:
        """Remove one; False if there is none."""
        try:
            _path(checkpoint).unlink()
        except FileNotFoundError:
            return False
        return True

    def remove_older(self, days: float) -> int:
        """Remove those older than `days`; how many."""
        limit = time.time() - days * _DAY
        return sum(self.delete(found["id"]) for found in self.list() if found["time"] < limit)

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            data = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return data if isinstance(data, dict) else None


def _path(checkpoint: str) -> Path:
    if _UNSAFE.search(checkpoint):
        raise KeyError(f"{checkpoint!r} is no id of a checkpoint")
    return DIRECTORY / f"{checkpoint}.json"


def _storable(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return f"<not stored: {type(value).__name__}>"
    return value
