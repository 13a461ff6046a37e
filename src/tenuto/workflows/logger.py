"""A logger for workflow code."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from tenuto.workflows.context import current, in_workflow


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Names the workflow with every record, and is silent while history is replayed."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        if in_workflow():
            started = current().started
            kwargs["extra"] = {
                "workflow_id": started.workflow_id,
                "run_id": started.run_id,
                "workflow_type": started.workflow_type,
                **(kwargs.get("extra") or {}),
            }
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:
        if in_workflow() and current().replaying:
            return False
        return super().isEnabledFor(level)


logger = LoggerAdapter(logging.getLogger("tenuto.workflow"), None)
