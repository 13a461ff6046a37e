"""Tasks as workers get them: with the secrets that their definitions name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.model.graph_messages import GraphTaken
from tenuto.model.json_values import decode_json, encode_json

if TYPE_CHECKING:
    from tenuto.server.services import Services


class PolledTasks:
    """Renders a task that is handed out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(self, taken: GraphTaken) -> bytes:
        if not taken.template and not taken.metadata:
            return taken.view
        view = decode_json(taken.view)
        view["inputData"], _ = self._services.graphs.host.with_secrets(view["inputData"], taken.template)
        if taken.metadata:
            secret = self._services.configuration.secrets.lookup
            view["runtimeMetadata"] = {name: value for name in taken.metadata if (value := secret(name)) is not None}
        return encode_json(view)
