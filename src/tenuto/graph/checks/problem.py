"""A mistake in a definition."""

from __future__ import annotations

from msgspec import Struct

from tenuto.model.json_values import Json


class Problem(Struct, frozen=True):
    """`path` names the place in the document: `tasks[1].decisionCases.a[0].taskReferenceName`."""

    path: str
    message: str
    invalid_value: Json = None


def under(path: str, name: str) -> str:
    """The path of what is called `name` in the object at `path`."""
    if name.replace("_", "").replace("-", "").isalnum():
        return f"{path}.{name}" if path else name
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"
