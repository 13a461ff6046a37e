"""What every store does with documents in the same way."""

from __future__ import annotations

from tenuto.model.errors import ConflictError
from tenuto.store.protocol import Document


def check_revision(document: Document, current: int, expected: int | None) -> int:
    """The revision that `document` gets where `current` (0: none) is there. Raises `ConflictError` if that isn't what
    its writer expected."""
    if expected is not None and expected != current:
        there = f"there is revision {current}" if current else "there is none"
        wanted = f"revision {expected}" if expected else "none"
        raise ConflictError(
            f"Document {document.key!r} of {document.collection!r} was not written: {there} where {wanted} was"
            " expected. Read it again and repeat the change.",
            current,
        )
    return current + 1
