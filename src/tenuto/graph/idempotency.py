"""Executions that are started once for a key."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5


def idempotent_id(workflow_type: str, key: str, number: int) -> str:
    """The id of the execution for a key. Since it follows from the key, whoever owns it decides between starts that
    come at the same time. `number` goes up when another one may be started after the one before has ended."""
    return str(uuid5(NAMESPACE_OID, f"{workflow_type}\x00{key}\x00{number}"))
