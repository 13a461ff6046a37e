"""Whether spans are wanted, and where they go. What is not wanted is not imported."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tenuto.server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from tenuto.server.tracing import Tracing

logger = logging.getLogger("tenuto.server")

STANDARD = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracing_for(settings: Settings, environ: Mapping[str, str]) -> Tracing | None:
    """Makes spans if `otel_endpoint` or the standard variables name a collector; None if not.

    Raises SettingsError if `otel_endpoint` is set and the extra `otel` is not installed."""
    by_variable = next((name for name in STANDARD if environ.get(name)), None)
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not (settings.otel_endpoint or by_variable):
        return None
    try:
        from tenuto.server import tracing
    except ImportError as error:
        problem = f"spans need the extra otel: pip install 'tenuto[otel]' ({error})"
        if settings.otel_endpoint:
            raise SettingsError(f"otel_endpoint: {problem}") from None
        logger.warning("%s is set, but %s", by_variable, problem, extra={"action": "tracing_off"})
        return None
    return tracing.exporting(settings.otel_endpoint)
