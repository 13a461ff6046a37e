"""What a task says of an execution that it starts, checked: the values come from expressions."""

from __future__ import annotations

from tenuto.model.json_values import Json

STRATEGIES = ("FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING")


class BadStart(Exception):
    """The parameters say of no execution how to start it."""


def version_of(value: Json) -> int | None:
    """A version; None for the latest. Raises BadStart."""
    if value is None or value == "":
        return None
    number = _number(value)
    if number is None or number < 1:
        raise BadStart(f"the version must be a number from 1, not {_shown(value)}")
    return number


def priority_of(value: Json) -> int:
    """A priority; 0 if none is given. Raises BadStart."""
    number = 0 if value is None or value == "" else _number(value)
    if number is None or not 0 <= number <= 99:
        raise BadStart(f"the priority must be a number from 0 to 99, not {_shown(value)}")
    return number


def domains_of(value: Json) -> dict[str, str]:
    """Domains by task type; empty if none are given. Raises BadStart."""
    if value is None or value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(domain, str) for domain in value.values()):
        raise BadStart(f"taskToDomain must be an object of names, not {_shown(value)}")
    return value


def input_of(value: Json) -> dict[str, Json]:
    """An input; empty if none is given. Raises BadStart."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadStart(f"the input must be an object, not {_shown(value)}")
    return value


def text_of(value: Json) -> str:
    """A name or key; empty if none is given. Raises BadStart."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadStart(f"{_shown(value)} is no text")
    return value.strip()


def strategy_of(value: Json) -> str:
    """What to do if there is an execution with the same idempotency key. Raises BadStart."""
    if value is None or value == "":
        return "FAIL"
    if value not in STRATEGIES:
        raise BadStart(f"the idempotencyStrategy must be one of {', '.join(STRATEGIES)}, not {_shown(value)}")
    return str(value)


def _number(value: Json) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20 else None


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
