"""`asyncComplete`: the call is made here, and somebody outside completes the task later."""

from __future__ import annotations

from tenuto.model.json_values import Json
from tenuto.model.system_tasks import SystemTask


def completes_from_outside(task: SystemTask, keys: dict[str, Json]) -> bool:
    """Whether the definition or `keys` of the input say so; an expression may have turned the switch into text."""
    switches = (task.node.get("asyncComplete"), keys.get("asyncComplete"))
    return any(str(switch).strip().lower() == "true" for switch in switches)
