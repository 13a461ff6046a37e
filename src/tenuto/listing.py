"""What a list query can say."""

from __future__ import annotations

from tenuto.store.protocol import ExecutionFilter


def parse_query(query: str | None) -> ExecutionFilter:
    return ExecutionFilter()
