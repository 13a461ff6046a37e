"""The table of who may do what.

A permission is `<AREA>_READ` or `<AREA>_WRITE`; each route belongs to an area (`Family`). Roles are sets of
permissions. A grant gives one subject access to one target (a definition, a secret ...) without the permission for
the whole area.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tenuto.server.identity.caller import Caller

#: What a permission can be about, and the kinds of targets that grants in it name.
AREAS: Final[Mapping[str, tuple[str, ...]]] = {
    "METADATA": ("WORKFLOW_DEF",),
    "TASK_METADATA": ("TASK_DEF",),
    "WORKFLOW": ("WORKFLOW_DEF",),
    "TASK": ("TASK_DEF",),
    "QUEUE": (),
    "EVENT": (),
    "SCHEDULER": (),
    "WEBHOOK": (),
    "HUMAN": (),
    "SECRET": ("SECRET_NAME", "SECRET"),
    "ENVIRONMENT": (),
    "PROMPT": (),
    "INTEGRATION": (),
    "SCHEMA": (),
    "APPLICATION": ("APPLICATION",),
    "ADMIN": (),
}

#: What a grant can be about.
TARGET_KINDS: Final = (
    "WORKFLOW_DEF",
    "TASK_DEF",
    "APPLICATION",
    "USER",
    "SECRET",
    "SECRET_NAME",
    "TAG",
    "DOMAIN",
)

#: The accesses that a grant can give, and the two that READ and WRITE permissions stand for.
ACCESSES: Final = ("CREATE", "READ", "UPDATE", "DELETE", "EXECUTE")

PERMISSIONS: Final = frozenset(f"{area}_{action}" for area in AREAS for action in ("READ", "WRITE"))

_OURS = PERMISSIONS - {"ADMIN_READ", "ADMIN_WRITE", "APPLICATION_READ", "APPLICATION_WRITE"}
_DEFINITIONS = {"METADATA", "TASK_METADATA", "EVENT", "SCHEDULER", "WEBHOOK", "SCHEMA", "PROMPT", "INTEGRATION"}
_EXECUTIONS = {"WORKFLOW", "TASK", "QUEUE", "HUMAN"}


def _both(areas: set[str]) -> frozenset[str]:
    return frozenset(f"{area}_{action}" for area in areas for action in ("READ", "WRITE"))


def _read(areas: set[str]) -> frozenset[str]:
    return frozenset(f"{area}_READ" for area in areas)


#: The roles that are always there.
SYSTEM_ROLES: Final[Mapping[str, frozenset[str]]] = {
    "ADMIN": PERMISSIONS,
    "USER": _OURS,
    "METADATA_MANAGER": _both(_DEFINITIONS) | _read({"WORKFLOW", "TASK", "QUEUE"}),
    "WORKFLOW_MANAGER": _both(_EXECUTIONS) | _read(_DEFINITIONS),
    "WORKER": _both({"TASK"}) | _read({"TASK_METADATA", "SCHEMA", "QUEUE"}),
    "READ_ONLY": _read(set(AREAS) - {"ADMIN", "APPLICATION", "SECRET"}),
    "USER_READ_ONLY": _read(set(AREAS) - {"ADMIN", "APPLICATION", "SECRET"}),
}


def may(caller: Caller, area: str, access: str, name: str) -> bool:
    """Whether the caller may do this with the target `name` of an area, by a role or by a grant."""
    if caller.has(permission(area, access)):
        return True
    return any(caller.granted(access, kind, name) for kind in AREAS[area])


def permission(area: str, access: str) -> str:
    """The permission that gives `access` to everything in an area."""
    return f"{area}_READ" if access == "READ" else f"{area}_WRITE"
