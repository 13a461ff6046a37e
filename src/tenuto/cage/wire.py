"""What the cage and its helper processes say to each other: MessagePack in frames, each after its length."""

from __future__ import annotations

from typing import BinaryIO, Literal, TypeAlias

import msgspec

Language: TypeAlias = Literal["javascript", "jq"]

LENGTH_BYTES = 4


class Request(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Run a script on `input`, or, if that is None, only check its syntax."""

    language: Language
    script: str
    input: bytes | None
    """JSON."""

    body: bool = False
    """JavaScript only: the script is the body of a function."""


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """What came of a request. `content` is JSON of the result (nothing after a check), else a message as UTF-8."""

    outcome: Literal["done", "error", "timeout", "limit"]
    content: bytes = b""


def frame(message: msgspec.Struct) -> bytes:
    """`message` as it is sent."""
    content = _encoder.encode(message)
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def read_frame(stream: BinaryIO) -> bytes | None:
    """The content of the next frame; None at the end of the stream, also if it ends within a frame: whoever sent it
    died."""
    header = stream.read(LENGTH_BYTES)
    size = int.from_bytes(header, "big")
    content = stream.read(size)
    return content if len(header) == LENGTH_BYTES and len(content) == size else None


_encoder = msgspec.msgpack.Encoder()
