"""How structs become JSON objects and come back: a table of parts says where each field goes.

A codec turns one value into JSON and back. A part puts one field of a struct into an object, at a path; a record is a
struct with its parts. Reading raises `Malformed`, to which each level on the way out adds where it was.

What protobuf's JSON can't hold exactly is written twice: in the standard form for other tools, and exactly in a
neighbour that only we read.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, Protocol, get_args

import msgspec

from tenuto._timestamps import text_of, time_of

Json = Any
Object = dict[str, Json]

ABSENT: Final = object()
INT64 = range(-(2**63), 2**63)
LONGEST = 315_576_000_000  # seconds, the limit of protobuf's Duration

_digits = re.compile(r"-?[0-9]{1,19}")
_duration = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?s")
_camel = re.compile(r"([A-Z][a-z]+)+")
_plain_key = re.compile(r"[A-Za-z_]\w*")


class Malformed(ValueError):
    """This JSON does not say what it should. `path` leads to the place from wherever it is caught."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.problem, self.path = problem, path

    def under(self, path: str) -> Malformed:
        return Malformed(self.problem, path + self.path)


def expected(what: str, found: Json) -> Malformed:
    shown = repr(found)
    return Malformed(f"expected {what}, found {shown if len(shown) <= 60 else shown[:57] + '...'}")


def object_of(node: Json) -> Mapping[str, Json]:
    if not isinstance(node, dict):
        raise expected("an object", node)
    return node


class Codec(Protocol):
    def write(self, value: Any) -> Json: ...

    def read(self, node: Json) -> Any: ...


class Text:
    def write(self, value: str) -> Json:
        return value

    def read(self, node: Json) -> str:
        if not isinstance(node, str):
            raise expected("a string", node)
        try:
            node.encode()
        except UnicodeEncodeError:
            raise expected("a string of Unicode characters", node) from None
        return node


class Flag:
    def write(self, value: bool) -> Json:
        return value

    def read(self, node: Json) -> bool:
        if not isinstance(node, bool):
            raise expected("true or false", node)
        return node


class Int32:
    """A number that is written as one."""

    def write(self, value: int) -> Json:
        return int(value)

    def read(self, node: Json) -> int:
        if isinstance(node, str) and _digits.fullmatch(node):
            node = int(node)
        if not isinstance(node, int) or isinstance(node, bool) or node not in INT64:
            raise expected("an integer", node)
        return node


class Int64(Int32):
    """A number that is written as a string, because JavaScript would round it."""

    def write(self, value: int) -> Json:
        return str(int(value))


class Double:
    def write(self, value: float) -> Json:
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def read(self, node: Json) -> float:
        if node in ("NaN", "Infinity", "-Infinity") or (isinstance(node, int | float) and not isinstance(node, bool)):
            try:
                return float(node)
            except OverflowError:
                pass
        raise expected("a number", node)


class Time:
    def write(self, value: int) -> Json:
        return text_of(value)

    def read(self, node: Json) -> int:
        if not isinstance(node, str):
            raise expected("a time", node)
        try:
            time = time_of(node)
        except ValueError as error:
            raise Malformed(str(error)) from None
        if time not in INT64:
            raise expected("a time between the years 1678 and 2262", node)
        return time


class OptionalTime(Time):
    """Go's tools write the year 1 for a time that is not set."""

    def read(self, node: Json) -> Any:
        return None if node == "0001-01-01T00:00:00Z" else super().read(node)


class Named:
    """A name in an object of its own, as in `{"name": "default"}`."""

    def write(self, value: str) -> Json:
        return {"name": value}

    def read(self, node: Json) -> str:
        name: str = value_at(object_of(node), ("name",), Text())
        return name


class Enum:
    """A member by its name in protobuf: `RETRY_STATE_TIMEOUT`. Older tools write `Timeout`, which is understood too.

    `unspecified` is what a tool means that says so. Where `open`, numbers without a name stand for themselves.
    """

    def __init__(
        self, prefix: str, members: type[IntEnum], unspecified: IntEnum | None = None, *, open: bool = False
    ) -> None:
        self.prefix, self.open = prefix, open
        self.names = {int(member): member.name for member in members}
        self.members: dict[str | int, int] = {key: member for member in members for key in (member.name, int(member))}
        if unspecified is not None:
            self.members |= {"UNSPECIFIED": unspecified, 0: unspecified}

    def write(self, value: int) -> Json:
        name = self.names.get(value)
        return int(value) if name is None else self.prefix + name

    def read(self, node: Json) -> int:
        if isinstance(node, str):
            found = self.members.get(bare(node, self.prefix))
        elif isinstance(node, int) and not isinstance(node, bool):
            found = self.members.get(node, node if self.open and node in INT64 else None)
        else:
            found = None
        if found is None:
            raise expected(f"one of {', '.join(self.prefix + name for name in self.names.values())}", node)
        return int(found) if self.open else found


class Prefixed(Text):
    """A word of which protobuf makes an enum, but which may be any here."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def write(self, value: str) -> Json:
        return self.prefix + value

    def read(self, node: Json) -> str:
        return bare(super().read(node), self.prefix)


def bare(name: str, prefix: str) -> str:
    """`RETRY_STATE_IN_PROGRESS` or `InProgress` -> `IN_PROGRESS`."""
    if name.startswith(prefix):
        return name[len(prefix) :]
    return screaming(name) if _camel.fullmatch(name) else name


def screaming(name: str) -> str:
    """`TimerFired` -> `TIMER_FIRED`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


def camel(name: str) -> str:
    """`timer_id` -> `timerId`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


class Bytes:
    def write(self, value: bytes) -> Json:
        return base64.b64encode(value).decode()

    def read(self, node: Json) -> bytes:
        """Either alphabet, padded or not, as protobuf's JSON allows."""
        if isinstance(node, str):
            plain = node.replace("-", "+").replace("_", "/").rstrip("=")
            try:
                return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
            except (binascii.Error, ValueError):
                pass
        raise expected("base64", node)


class Encoded(Bytes):
    """A string that protobuf keeps as bytes."""

    def write(self, value: str) -> Json:  # type: ignore[override]
        return super().write(value.encode())

    def read(self, node: Json) -> str:  # type: ignore[override]
        try:
            return super().read(node).decode()
        except UnicodeDecodeError:
            raise expected("base64 of UTF-8 text", node) from None


class Items:
    """An array, as the `kind` of sequence that the struct has."""

    def __init__(self, codec: Codec, kind: Callable[[list[Any]], Any] = list) -> None:
        self.codec, self.kind = codec, kind

    def write(self, value: Sequence[Any]) -> Json:
        return [self.codec.write(item) for item in value]

    def read(self, node: Json) -> Any:
        if not isinstance(node, list):
            raise expected("an array", node)
        return self.kind([within(f"[{i}]", self.codec, item) for i, item in enumerate(node)])


class Wrapped:
    """A collection in an object of its own, as in `{"payloads": [...]}`. Empty ones leave the object empty."""

    def __init__(self, key: str, codec: Codec, empty: Callable[[], Any]) -> None:
        self.key, self.codec, self.empty = key, codec, empty

    def write(self, value: Any) -> Json:
        return {self.key: self.codec.write(value)} if value else {}

    def read(self, node: Json) -> Any:
        return value_at(object_of(node), (self.key,), self.codec, self.empty)


class Values:
    """An object whose keys are the user's."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def write(self, value: Mapping[str, Any]) -> Json:
        return {key: self.codec.write(item) for key, item in value.items()}

    def read(self, node: Json) -> dict[str, Any]:
        return {Text().read(key): within(step(key), self.codec, item) for key, item in object_of(node).items()}


def step(key: str) -> str:
    """`key` as one step of a path."""
    return f".{key}" if _plain_key.fullmatch(key) else f"[{json.dumps(key)}]"


def within(path: str, codec: Codec, node: Json) -> Any:
    """What `node`, which lies at `path`, says."""
    try:
        return codec.read(node)
    except Malformed as problem:
        raise problem.under(path) from None


def node_at(node: Mapping[str, Json], path: Sequence[str]) -> Json:
    """What lies at `path`. As in protobuf's JSON, null and nothing are the same: ABSENT."""
    found: Json = node
    for depth, key in enumerate(path):
        try:
            found = object_of(found).get(key)
        except Malformed as problem:
            raise problem.under("".join(map(step, path[:depth]))) from None
        if found is None:
            return ABSENT
    return found


def value_at(
    node: Mapping[str, Json], path: Sequence[str], codec: Codec, absent: Callable[[], Any] | None = None
) -> Any:
    """What the node at `path` says, or `absent()`; without that it must be there."""
    found = node_at(node, path)
    if found is not ABSENT:
        return within("".join(map(step, path)), codec, found)
    if absent is None:
        raise Malformed("is missing", "".join(map(step, path)))
    return absent()


def optional_at(node: Mapping[str, Json], path: Sequence[str], codec: Codec) -> Any:
    """What the node at `path` says, ABSENT if it isn't there."""
    return value_at(node, path, codec, lambda: ABSENT)


def put(node: Object, path: Sequence[str], value: Json) -> None:
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value


class Part:
    """One field of a struct, and where it lies in the object.

    None is not written, nor are empty values that are the struct's own default. What is not there is read as the
    struct's default, as None where the struct allows it, as `absent()`; else it is missing.
    """

    def __init__(
        self,
        field: str,
        codec: Codec,
        name: str | None = None,
        *,
        absent: Callable[[], Any] | None = None,
        keep: Callable[[Any], bool] | None = None,
    ) -> None:
        self.field, self.codec, self.absent, self.keep = field, codec, absent, keep
        self.path = tuple((name or camel(field)).split("."))

    def write(self, struct: Any, default: Any, node: Object) -> None:
        value = getattr(struct, self.field)
        if self.wanted(struct, value, default):
            put(node, self.path, self.codec.write(value))

    def wanted(self, struct: Any, value: Any, default: Any) -> bool:
        if value is None:
            return False
        return self.keep(struct) if self.keep else bool(value) or value != default

    def read(self, node: Mapping[str, Json]) -> Any:
        return optional_at(node, self.path, self.codec)


class DurationPart(Part):
    """Seconds as `"0.5s"`, and as a number in `<name>Seconds` where that isn't exact.

    Where `optional`, other tools write `"0s"` for what is not set; our own 0 has the neighbour.
    """

    def __init__(self, field: str, name: str | None = None, *, optional: bool = False) -> None:
        super().__init__(field, Double(), name)
        self.optional = optional
        self.exact = (*self.path[:-1], self.path[-1] + "Seconds")

    def write(self, struct: Any, default: Any, node: Object) -> None:
        value = getattr(struct, self.field)
        if not self.wanted(struct, value, default):
            return
        text = _duration_text(value)
        put(node, self.path, text)
        if float(text[:-1]) != value or (self.optional and not value):
            put(node, self.exact, self.codec.write(value))

    def read(self, node: Mapping[str, Json]) -> Any:
        exact = optional_at(node, self.exact, self.codec)
        if exact is not ABSENT:
            return exact
        found = node_at(node, self.path)
        if found is ABSENT:
            return ABSENT
        if not isinstance(found, str) or not _duration.fullmatch(found):
            raise expected('a duration like "10s" or "0.5s"', found).under("".join(map(step, self.path)))
        seconds = float(found[:-1])
        return ABSENT if self.optional and not seconds else seconds


def _duration_text(seconds: float) -> str:
    bounded = 0.0 if math.isnan(seconds) else min(max(float(seconds), -LONGEST), LONGEST)
    text = f"{bounded:.9f}".rstrip("0").rstrip(".")
    return ("0" if text == "-0" else text) + "s"


class IdPart(Part):
    """An id or None. Older tools write `""` for what is not set, so our own `""` is null, which is not set to them."""

    def write(self, struct: Any, default: Any, node: Object) -> None:
        value = getattr(struct, self.field)
        if value is not None:
            put(node, self.path, value or None)

    def read(self, node: Mapping[str, Json]) -> Any:
        found = optional_at(node, self.path, self.codec)
        if found is not ABSENT:
            return found or ABSENT
        parent = node_at(node, self.path[:-1])
        return "" if parent is not ABSENT and self.path[-1] in parent else ABSENT


class SpreadPart(Part):
    """A struct within the struct whose own parts lie in the same object. It is there if `anchor` is."""

    def __init__(self, field: str, record: Record, anchor: str) -> None:
        super().__init__(field, record, anchor)
        self.record = record

    def write(self, struct: Any, default: Any, node: Object) -> None:
        value = getattr(struct, self.field)
        if value is not None:
            self.record.write_onto(value, node)

    def read(self, node: Mapping[str, Json]) -> Any:
        return ABSENT if node_at(node, self.path) is ABSENT else self.record.read(node)


class OneOfPart(Part):
    """A field whose struct decides the key it lies under. Without any of the keys it is `absent()`."""

    def __init__(self, field: str, records: Mapping[str, Record], absent: Callable[[], Any]) -> None:
        super().__init__(field, Text(), absent=absent)
        self.records = records
        self.keys = {record.struct: key for key, record in records.items()}

    def write(self, struct: Any, default: Any, node: Object) -> None:
        value = getattr(struct, self.field)
        key = self.keys[type(value)]
        node[key] = self.records[key].write(value)

    def read(self, node: Mapping[str, Json]) -> Any:
        for key, record in self.records.items():
            found = optional_at(node, (key,), record)
            if found is not ABSENT:
                return found
        return ABSENT


class Record:
    """A struct and its parts. Of several parts for one field, the first that is there is read."""

    def __init__(self, struct: type[msgspec.Struct], *parts: Part) -> None:
        self.struct, self.parts = struct, list(parts)
        fields = msgspec.structs.fields(struct)
        self.defaults = {field.name: _default(field) for field in fields}
        self.optional = {field.name for field in fields if field.required and type(None) in get_args(field.type)}

    def write(self, value: Any) -> Json:
        node: Object = {}
        self.write_onto(value, node)
        return node

    def write_onto(self, value: Any, node: Object) -> None:
        for part in self.parts:
            part.write(value, self.defaults[part.field], node)

    def read(self, node: Json) -> Any:
        return self.struct(**self.read_fields(object_of(node)))

    def read_fields(self, node: Mapping[str, Json]) -> dict[str, Any]:
        """The fields of the struct; those that keep its default are not among them."""
        values: dict[str, Any] = {}
        for part in self.parts:
            if part.field not in values:
                value = part.read(node)
                if value is not ABSENT:
                    values[part.field] = value
        for part in self.parts:
            if part.field not in values and self.defaults[part.field] is ABSENT:
                values[part.field] = self.substitute(part)
        return values

    def substitute(self, part: Part) -> Any:
        """What to take for a field that isn't there and has no default in the struct."""
        if part.absent is not None:
            return part.absent()
        if part.field in self.optional:
            return None
        raise Malformed("is missing", "".join(map(step, part.path)))


def _default(field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return ABSENT if field.default is msgspec.NODEFAULT else field.default
