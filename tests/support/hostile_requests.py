"""Requests that nobody should send, made from an OpenAPI document: wrong types, odd names, broken and huge JSON.

The same seed gives the same requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

Json = Any


class HostileRequest(NamedTuple):
    method: str
    path: str
    """As it goes over the wire, with the query string."""
    body: bytes | None


#: In place of a segment of the path; encoded already.
SEGMENTS = (
    "%00", "%FF%FE", "..%2F..%2Fetc%2Fpasswd", "%2e%2e", "-1", "0", "null", "true", "99999999999999999999", "%20",
    "a" * 3000, "%F0%9F%92%A9", "a%0D%0AX-Evil:%201", "${workflow.input}", "%25%32%66", "*", "'%3B--", "%zz",
)  # fmt: skip
#: In place of the value of a query parameter.
VALUES = (
    "", "0", "-1", "1", "true", "null", "NaN", "1e400", "-1e400", "99999999999999999999", "9223372036854775807", "1.5",
    "\0", "%ff", "é" * 50, "a" * 5000, "[]", "{}", "*", "status IN (", "a:b:DESC", "startTime:DESC", "workflowId:",
)  # fmt: skip
#: In place of any JSON value.
JUNK: tuple[Json, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**40, "", " ", "\0",
    "a", "${workflow.input}", "${workflow.secrets.x}", "${" * 30, "../../x", "é" * 300, [], [[]], [None], {}, {"": {}},
    {"\0": "\0"}, {"a": {"b": [1, {"c": None}]}}, "COMPLETED", "2030-01-01", ["x"] * 200, "http://127.0.0.1:1/",
)  # fmt: skip
#: In place of a whole body.
BODIES = (
    b"", b" ", b"null", b"[]", b"{}", b"{", b"[[", b'"', b'"a"', b"NaN", b"Infinity", b"-", b"1e999", b"\xff", b"\0",
    b'{"a":NaN}', b'"\\ud800"', b'{"name":"\\udfff"}', b'{"a":1}{"a":2}', b"[1,2", b"'a'", b"[" * 100_000,
    b"[" * 900 + b"]" * 900, b'{"a":' * 940 + b"1" + b"}" * 940, b'{"input":' * 965 + b"1" + b"}" * 965,
    b"9" * 5000, b'{"' + b"a" * 100_000 + b'":1}', b'\xef\xbb\xbf{"a":1}', b"[" + b"{}," * 3000 + b"{}]",
)  # fmt: skip


class HostileRequests:
    """Requests for every operation of a document. `names` are things that exist, so that some requests get far."""

    def __init__(self, document: Json, names: list[str], seed: int) -> None:
        self._paths = document["paths"]
        self._schemas = document["components"]["schemas"]
        self._names = names
        self._random = Random(seed)

    def each(self, count: int) -> Iterator[HostileRequest]:
        """`count` requests for every operation, in a random order."""
        operations = [(path, method) for path, methods in self._paths.items() for method in methods] * count
        self._random.shuffle(operations)
        for path, method in operations:
            yield self.request(path, method)

    def request(self, path: str, method: str) -> HostileRequest:
        operation = self._paths[path][method]
        query: list[str] = []
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", self._segment())
            elif self._random.random() < 0.6:
                repeats = self._random.choice((1, 1, 1, 2, 300))
                query += [f"{quote(parameter['name'])}={self._parameter(parameter)}"] * repeats
        if self._random.random() < 0.05:
            query.append(self._random.choice(("&&&", "=", "a", "%", "%C3%28=1", "a=b;c=d", "x[]=1")))
        return HostileRequest(method.upper(), path + ("?" + "&".join(query) if query else ""), self._body(operation))

    def _segment(self) -> str:
        known = self._random.random() < 0.6
        return quote(self._random.choice(self._names), safe="") if known else self._random.choice(SEGMENTS)

    def _parameter(self, parameter: Json) -> str:
        if self._random.random() < 0.4:
            return quote(str(self._value(parameter["schema"], 0)))
        if self._random.random() < 0.4:
            return quote(self._random.choice(self._names))
        return quote(self._random.choice(VALUES))

    def _body(self, operation: Json) -> bytes | None:
        content = operation.get("requestBody", {}).get("content", {})
        if self._random.random() < 0.15:
            return self._random.choice(BODIES)
        if not content:
            return None if self._random.random() < 0.8 else self._random.choice(BODIES)
        if "text/plain" in content:
            return str(self._random.choice(JUNK)).encode()
        return json.dumps(self._value(content["application/json"]["schema"], 0)).encode()

    def _value(self, schema: Json, depth: int) -> Json:
        """Something much like what the schema wants, with some of it wrong."""
        if self._random.random() < 0.1 or depth > 6:
            return self._random.choice(JUNK)
        if "$ref" in schema:
            return self._value(self._schemas[schema["$ref"].rpartition("/")[2]], depth)
        if "anyOf" in schema:
            return self._value(self._random.choice(schema["anyOf"]), depth)
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                size = self._random.choice((0, 1, 1, 2, 3))
                return [self._value(schema.get("items", {}), depth + 1) for _ in range(size)]
            case "string":
                return self._random.choice(self._names) if self._random.random() < 0.7 else self._random.choice(VALUES)
            case "integer" | "number":
                return self._random.choice((0, 1, 2, 10, -1, 1.5, 2**31 - 1, 2**31, 2**63, "3", 10**30))
            case "boolean":
                return self._random.choice((True, False, "True", "false", 1))
        return self._random.choice(JUNK)

    def _object(self, schema: Json, depth: int) -> Json:
        value: dict[str, Json] = {}
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            if self._random.random() < (0.95 if name in required else 0.3):
                value[name] = self._value(field, depth + 1)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) or "properties" not in schema:
            for _ in range(self._random.choice((0, 1, 2))):
                value[self._random.choice(self._names)] = self._value(extra or {}, depth + 1)
        return value
