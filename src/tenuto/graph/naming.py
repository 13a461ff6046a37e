"""Names of tasks in loops."""

from __future__ import annotations


def with_scope(base: str, scope: tuple[int, ...]) -> str:
    """The reference name of a task inside of loops, whose current iterations are `scope`: `charge__2`."""
    return base + "".join(f"__{iteration}" for iteration in scope)
