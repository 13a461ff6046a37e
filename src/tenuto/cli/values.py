"""Values as users give them and as they are printed: JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenuto.cli.faults import CommandError


def arguments(input: str | None, args: str | None) -> list[Any]:
    """The arguments that `--input` (one) or `--args` (several) give; none without either. Raises CommandError."""
    if input is not None and args is not None:
        raise CommandError("give --input for one argument or --args for several, not both")
    if input is not None:
        return [parsed("--input", input)]
    if args is None:
        return []
    values = parsed("--args", args)
    if not isinstance(values, list):
        raise CommandError(
            f'--args takes a JSON list, such as [1, "two"], not {_kind(values)}; --input takes one value'
        )
    return values


def parsed(option: str, text: str) -> Any:
    """The value of the JSON `text`, or of the file or stream that it names. Raises CommandError."""
    source = text
    if text == "-":
        text, source = sys.stdin.read(), "stdin"
    elif text.startswith("@"):
        source = text[1:]
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{option}: {source} can't be read: {error}") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        hint = " (a text needs quotes: '\"text\"')" if error.pos == 0 and text[:1].isalpha() else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise CommandError(f"{option} is not JSON: {error.msg} at {place} of {_short(source)}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{option} is not JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _kind(value: Any) -> str:
    names = {dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def instant(nanoseconds: int | None) -> str | None:
    """A time for machines: ISO 8601 in UTC, to the microsecond."""
    return None if nanoseconds is None else moment(datetime.fromtimestamp(nanoseconds / 1e9, UTC))


def moment(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds")


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print `value` on stdout; characters that the terminal can't show are escaped."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    print(json.dumps(value, indent=indent, ensure_ascii=encoding != "utf8"), flush=True)
