"""Whether a script can be parsed, found out without running it: for definitions that are being registered."""

from __future__ import annotations

from tenuto.cage.cage import Cage


async def check_javascript(cage: Cage, script: str, *, body: bool = False) -> None:
    """Raises ScriptError if `script`, or with `body` a function of that body, is no JavaScript."""
    await cage.check("javascript", script, body=body)


async def check_jq(cage: Cage, program: str) -> None:
    """Raises ScriptError if `program` is no jq, or calls what is not defined."""
    await cage.check("jq", program)
