"""jq, inside of a helper process. libjq can't be interrupted: its time limit is the one of the process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jq  # type: ignore[import-not-found]

from tenuto.cage.limits import CageLimits
from tenuto.cage.wire import Answer, Request

# `halt` would end the program as if it had no further results.
BEFORE = 'def halt: error("halt can not be used here"); def halt_error: error; def halt_error($status): error; '
# Results leave as JSON text that jq writes itself: as Python values they would lose the digits of long integers.
AFTER = "\n| tojson"
COMPILED_PROGRAMS = 64


class Jq:
    def __init__(self, limits: CageLimits) -> None:
        self._limits = limits

    def run(self, request: Request) -> Answer:
        """Run the program, or check it. The result is the list of all its results. Raises nothing but MemoryError."""
        try:
            program = _compiled(request.script)
            return (
                Answer("done") if request.input is None else self._results(program.input_text(request.input.decode()))
            )
        except ValueError as error:
            return Answer("error", str(error).strip().encode())

    def _results(self, results: Iterable[str]) -> Answer:
        texts: list[str] = []
        size = 0
        for text in results:
            texts.append(text)
            size += len(text) + 1
            if size > self._limits.result_size:  # there may be no end to them
                return Answer("limit", b"the results are longer than %d bytes" % self._limits.result_size)
        return Answer("done", f"[{','.join(texts)}]".encode())


@lru_cache(COMPILED_PROGRAMS)
def _compiled(program: str) -> Any:
    try:
        return jq.compile(BEFORE + program + AFTER)
    except ValueError:
        jq.compile(program)  # raises the error that speaks of the program as its author wrote it
        raise
