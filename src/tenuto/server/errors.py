"""What a request that can't be done is answered with: a status and a JSON body that says why."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from tenuto.model.errors import PayloadError, RPCError, RPCStatusCode, StoreError
from tenuto.model.json_values import encode_json

logger = logging.getLogger("tenuto.server")

INSTANCE = socket.gethostname()

_STATUSES: Mapping[RPCStatusCode, int] = {
    RPCStatusCode.INVALID_ARGUMENT: 400,
    RPCStatusCode.OUT_OF_RANGE: 400,
    RPCStatusCode.UNAUTHENTICATED: 401,
    RPCStatusCode.PERMISSION_DENIED: 403,
    RPCStatusCode.NOT_FOUND: 404,
    RPCStatusCode.ALREADY_EXISTS: 409,
    RPCStatusCode.FAILED_PRECONDITION: 409,
    RPCStatusCode.ABORTED: 409,
    RPCStatusCode.RESOURCE_EXHAUSTED: 429,
    RPCStatusCode.UNIMPLEMENTED: 501,
    RPCStatusCode.UNAVAILABLE: 503,
    RPCStatusCode.DEADLINE_EXCEEDED: 504,
}


class ApiError(Exception):
    """Ends a request with `status`; `message` says what is wrong, where, and what to do.

    `faults` are those of a document that was refused, as `fault` makes them. `code` is what clients tell errors of one
    status apart by. `headers` go with the answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retryable: bool = False,
        faults: Sequence[Mapping[str, Any]] = (),
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retryable = retryable
        self.faults = list(faults)
        self.code = code
        self.headers = headers


def fault(path: str, message: str, invalid: Any = None) -> dict[str, Any]:
    """One entry of `validationErrors`: what is wrong at `path` of a document."""
    return {"path": path, "message": message, "invalidValue": invalid}


def not_found(message: str) -> ApiError:
    return ApiError(404, message)


def bad_request(message: str) -> ApiError:
    return ApiError(400, message)


def conflict(message: str) -> ApiError:
    return ApiError(409, message)


def error_for(error: Exception, request_id: str) -> ApiError:
    """`error` as its caller gets to see it. What nobody foresaw is logged under `request_id` and not shown."""
    match error:
        case ApiError():
            return error
        case RPCError():
            status = _STATUSES.get(error.status, 500)
            return ApiError(status, error.message, retryable=status in (429, 503, 504))
        case PayloadError():
            return bad_request(str(error))
        case StoreError():
            logger.error("the store failed a request: %s", error, extra={"action": "store_failed", "id": request_id})
            return ApiError(503, "the store can't do this now; try again", retryable=True)
    logger.error("request %s failed", request_id, exc_info=error, extra={"action": "request_failed", "id": request_id})
    return ApiError(500, f"internal error; the server's log has it under request {request_id}")


def error_response(error: ApiError) -> Response:
    """The answer that `error` stands for."""
    body: dict[str, Any] = {
        "status": error.status,
        "message": error.message,
        "instance": INSTANCE,
        "retryable": error.retryable,
    }
    if error.code is not None:
        body["error"] = error.code
    if error.faults:
        body["validationErrors"] = error.faults
    return Response(encode_json(body), error.status, error.headers, "application/json")
