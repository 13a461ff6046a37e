"""Histories in files, as `tenuto history --output FILE` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tenuto.client import WorkflowHistory

__all__ = ["history_files", "read_history"]


def history_files(places: Iterable[Path]) -> Iterator[Path]:
    """The files among `places`, and all `*.json` in and below those that are folders, by name. Raises FileNotFoundError
    for a place that isn't there."""
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*.json") if path.is_file())
        elif place.exists():
            yield place
        else:
            raise FileNotFoundError(f"there is no file or folder {place}")


def read_history(path: Path) -> WorkflowHistory:
    """The history in a file. Its workflow id is the one it names, else the file's name. Raises ValueError that names
    the file for what is no history, OSError for what can't be read."""
    text = path.read_text(encoding="utf-8")
    try:
        return WorkflowHistory.from_json(_workflow_id(text) or path.stem, text)
    except ValueError as error:
        raise ValueError(f"{path} is not a history: {error}") from None


def _workflow_id(text: str) -> str | None:
    try:
        found = msgspec.json.decode(text)["events"][0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    except (msgspec.DecodeError, LookupError, TypeError, UnicodeEncodeError):
        return None  # whoever reads the whole of it says what is wrong
    return found if isinstance(found, str) else None
