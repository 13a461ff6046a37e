"""Recorded values for people and for machines that know nothing of the types they had."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.model.payloads import Payload


def plain(payload: Payload | None) -> Any:
    """What a payload holds, as JSON knows it; bytes as base64."""
    from tenuto.model.payloads import JSON, NULL

    if payload is None or payload.encoding == NULL:
        return None
    if payload.encoding == JSON:
        return json.loads(payload.data)
    return base64.b64encode(payload.data).decode()


def plain_all(payloads: Sequence[Payload]) -> list[Any]:
    return [plain(payload) for payload in payloads]
