"""A helper process of the cage: `python -m tenuto.cage.helper`.

Reads its limits, says that it is ready, then answers one request after the other. It ends when its input does, which is
also when its parent dies.
"""

from __future__ import annotations

import sys

import msgspec

from tenuto.cage.confinement import allow_cpu, confine
from tenuto.cage.javascript import JavaScript
from tenuto.cage.jq_programs import Jq
from tenuto.cage.limits import CageLimits
from tenuto.cage.wire import Answer, Request, frame, read_frame


def main() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    first = read_frame(requests)
    if first is None:
        return
    limits = msgspec.msgpack.decode(first, type=CageLimits)
    decode = msgspec.msgpack.Decoder(Request).decode
    languages = Languages(limits)
    confine(limits)
    answer = Answer("done")
    while True:
        try:
            answers.write(frame(answer))
            answers.flush()
        except BrokenPipeError:
            return
        languages.javascript.prepare()
        content = read_frame(requests)
        if content is None:
            return
        answer = languages.answer(decode(content))


class Languages:
    def __init__(self, limits: CageLimits) -> None:
        self._limits = limits
        self.javascript = JavaScript(limits)
        self._jq = Jq(limits)
        # Whatever is loaded on first use has to be loaded before files are out of reach.
        for run in (self.javascript.run, self._jq.run):
            run(Request(language="jq", script="1", input=b"1"))

    def answer(self, request: Request) -> Answer:
        """What comes of the request. Raises nothing."""
        allow_cpu(self._limits.seconds)
        try:
            answer = (self.javascript if request.language == "javascript" else self._jq).run(request)
        except MemoryError:
            return Answer("limit", b"out of memory")
        if answer.outcome == "done" and len(answer.content) > self._limits.result_size:
            size = len(answer.content), self._limits.result_size
            return Answer("limit", b"the result has %d bytes, more than %d" % size)
        return answer


if __name__ == "__main__":
    main()
