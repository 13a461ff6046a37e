"""Secrets don't leave a run: neither in its output nor in its reason."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from tenuto.model.json_values import Json, encode_json

MASK = "***"
#: A shorter secret is hidden only where it is the whole text: replaced inside others, it would garble them all.
_SHORTEST_INSIDE = 4


class Redaction:
    """Replaces secret values by `***`, also where they were percent-encoded or escaped for JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {secret for secret in secrets if secret}
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
