"""The answer to a request about many things."""

from __future__ import annotations

from msgspec import Struct, field

from tenuto.server.errors import ApiError


class BulkResponse(Struct, rename="camel"):
    """What was done, and why the rest was not."""

    bulk_error_results: dict[str, str] = field(default_factory=dict)
    bulk_successful_results: list[object] = field(default_factory=list)
    message: str = "Bulk Request has been processed."


def failed(error: ApiError) -> str:
    """Why one item was not done."""
    return error.message
