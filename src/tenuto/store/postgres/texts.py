"""Texts on their way into PostgreSQL and back. Its texts hold no NUL, and ours may.

NUL is written as U+0001 U+0001, and U+0001 as U+0001 U+0002: what is stored sorts as what was meant, and begins with
what a prefix is stored as exactly if it began with the prefix. Every other text is stored as it is.
"""

from __future__ import annotations

from typing import overload


@overload
def escape(text: str) -> str: ...
@overload
def escape(text: str | None) -> str | None: ...
def escape(text: str | None) -> str | None:
    """`text` as it is stored."""
    if text is None or ("\x00" not in text and "\x01" not in text):
        return text
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")


@overload
def unescape(text: str) -> str: ...
@overload
def unescape(text: str | None) -> str | None: ...
def unescape(text: str | None) -> str | None:
    """The text that `escape` made this of."""
    if text is None or "\x01" not in text:
        return text
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")
