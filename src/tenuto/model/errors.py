"""What the engine and the stores raise.

TenutoError
  +-- RPCError (status)             a request that could not be done
  +-- StoreError                    the store could not read or write
  |     +-- StoreBusyError          somebody else held it for too long
  |     +-- StoreFullError          no room
  |     +-- StoreFormatError        not a Tenuto database, damaged, or of another version
  |     +-- StoreOwnedError         another engine process owns this file
  |     +-- LeaseLostError          a commit was fenced: another process owns the partition now
  |     +-- ConflictError           a document is not as the writer expected it
  +-- PayloadError                  a value can't be stored
"""

from __future__ import annotations

from enum import IntEnum


class TenutoError(Exception):
    """Base of every error that Tenuto itself raises."""


class RPCStatusCode(IntEnum):
    """The gRPC status codes that requests end with."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(TenutoError):
    """A request could not be done; `status` says of which kind the reason is."""

    def __init__(self, message: str, status: RPCStatusCode) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class StoreError(TenutoError):
    """The store could not read or write; what was asked for was not recorded."""


class StoreBusyError(StoreError):
    """The store was held by others for longer than the wait allows."""


class StoreFullError(StoreError):
    """The store has no room left; free some and the engine goes on by itself."""


class StoreFormatError(StoreError):
    """The file is not a Tenuto database, is damaged, or was written by another version."""


class StoreOwnedError(StoreError):
    """Another engine process owns this database."""


class LeaseLostError(StoreError):
    """Another process owns this partition now; nothing of this commit was written."""


class ConflictError(StoreError):
    """A document has another revision than the writer expected; nothing was written."""

    def __init__(self, message: str, revision: int) -> None:
        super().__init__(message)
        #: The revision that is there, 0 if there is no document.
        self.revision = revision


class PayloadError(TenutoError, TypeError):
    """A value can't be stored, or a stored value can't be read as the type asked for."""
