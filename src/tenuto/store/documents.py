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


def behind(prefix: str) -> str | None:
    """The first text behind all those that start with `prefix`, by code points; None if there is none."""
    for end in range(len(prefix), 0, -1):
        last = ord(prefix[end - 1])
        if last < 0x10FFFF:
            # Surrogates are no characters: what lies behind U+D7FF is U+E000.
            return prefix[: end - 1] + chr(0xE000 if last == 0xD7FF else last + 1)
    return None
