"""STAND-IN until the real one lands."""

from __future__ import annotations
import re
from typing import Any

MISSING: Any = object()
_E = re.compile(r"\$\{([^${}]*)\}")


class ExpressionError(Exception): ...


def _get(path: str, scope: Any) -> Any:
    parts = path.strip().split(".")
    value = scope.root(parts[0])
    if value is MISSING:
        return None
    for part in parts[1:]:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except Exception:
            return None
    return value


def evaluate(template: Any, scope: Any) -> Any:
    if isinstance(template, dict):
        return {k: evaluate(v, scope) for k, v in template.items()}
    if isinstance(template, list):
        return [evaluate(v, scope) for v in template]
    if not isinstance(template, str):
        return template
    whole = _E.fullmatch(template)
    if whole:
        return _get(whole[1], scope)
    return _E.sub(lambda m: str(_get(m[1], scope)), template)
