"""Secrets don't leave a run: neither in its output nor in its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

import msgspec

from tenuto.model.json_values import Json, decode_json, encode_json

MASK = "***"
#: A shorter secret is hidden only where it is the whole text: replaced inside others, it would garble them all.
_SHORTEST_INSIDE = 4


class Redaction:
    """Replaces secret values by `***`, also where they were percent-encoded or escaped for JSON. Of a secret that is
    JSON itself, every text in it is secret too: a task may be given just that part."""

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {text for secret in secrets for text in _texts(secret) if text}
        forms = {
            form for secret in whole for form in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret))
        }
        forms |= {encode_json(secret).decode()[1:-1] for secret in whole}
        self._whole = whole
        # The longest first: one secret may be part of another.
        self._inside = sorted((form for form in forms if len(form) >= _SHORTEST_INSIDE), key=len, reverse=True)

    def text(self, text: str) -> str:
        if text in self._whole:
            return MASK
        for form in self._inside:
            text = text.replace(form, MASK)
        return text

    def json(self, value: Json) -> Json:
        """A copy of `value` in which no text, key included, holds a secret; `value` itself if there are none."""
        if not self._whole:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.json(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item) for item in value]
        return value


def _texts(secret: str) -> list[str]:
    if not secret.lstrip().startswith(("{", "[")):
        return [secret]
    try:
        return [secret, *_leaves(decode_json(secret.encode()))]
    except (msgspec.DecodeError, RecursionError):
        return [secret]


def _leaves(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
