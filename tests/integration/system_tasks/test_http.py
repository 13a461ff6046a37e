"""HTTP tasks against real servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import gzip
from typing import Any

import pytest

from tenuto.model.system_tasks import SystemTaskResult
from tenuto.system_tasks.registry import SystemTasks
from tenuto.system_tasks.settings import HttpSettings, SystemTaskSettings
from tests.integration.system_tasks.running import running_tasks, system_task
from tests.integration.system_tasks.servers import raw_server


async def call(tasks: SystemTasks, uri: str, method: str = "GET", **keys: Any) -> SystemTaskResult:
    return await tasks.run(system_task("HTTP", {"http_request": {"uri": uri, "method": method, **keys}}))


async def test_the_response_is_the_output(tasks: SystemTasks, base: str) -> None:
    result = await call(
        tasks, f"{base}/echo/a?x=1", "POST", body={"n": 7, "t": [True, None]}, headers={"X-One": ["a", "b"]}
    )
    assert (result.status, result.reason) == ("COMPLETED", None)
    response = result.output["response"]
    assert (response["statusCode"], response["reasonPhrase"]) == (200, "OK")
    assert response["headers"]["content-type"] == ["application/json"]
    seen = response["body"]
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/echo/a", "x=1")
    assert seen["body"] == '{"n":7,"t":[true,null]}'
    assert seen["headers"]["accept"] == seen["headers"]["content-type"] == "application/json"
    assert seen["headers"]["x-one"] == "a, b"


async def test_the_keys_may_stand_directly_in_the_input(tasks: SystemTasks, base: str) -> None:
    result = await tasks.run(system_task("HTTP", {"uri": f"{base}/echo/", "method": "put", "body": "as it is"}))
    assert result.status == "COMPLETED"
    assert result.output["response"]["body"]["method"] == "PUT"
    assert result.output["response"]["body"]["body"] == "as it is"


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2.5]", [1, 2.5]),
        ("12", 12),
        ("true", True),
        ("plain words", "plain words"),
        ("007", "007"),
        ("", None),
        ("[" * 3000, "[" * 3000),
    ],
)
async def test_json_is_parsed_and_other_text_kept(tasks: SystemTasks, base: str, text: str, body: Any) -> None:
    result = await call(tasks, f"{base}/answer?type=text/plain&body={text}")
    assert result.output["response"]["body"] == body


async def test_a_form_is_sent_as_one(tasks: SystemTasks, base: str) -> None:
    result = await call(
        tasks, f"{base}/echo/", "POST", contentType="application/x-www-form-urlencoded", body={"a": "x y", "n": 2}
    )
    assert result.output["response"]["body"]["body"] == "a=x+y&n=2"


@pytest.mark.parametrize("status", [404, 500, 302])
async def test_a_bad_status_fails_and_still_gives_the_response(tasks: SystemTasks, base: str, status: int) -> None:
    result = await call(tasks, f"{base}/answer?status={status}&body=gone&token=hidden", "POST")
    assert result.status == "FAILED"
    assert result.output["response"]["statusCode"] == status
    assert result.output["response"]["body"] == "gone"
    assert result.reason is not None
    assert f"answered {status}" in result.reason
    assert result.reason.endswith("gone")
    assert "hidden" not in result.reason


async def test_accepted_statuses_are_good(tasks: SystemTasks, base: str) -> None:
    result = await call(tasks, f"{base}/answer?status=404", acceptedStatusCodes=[404, "409"])
    assert result.status == "COMPLETED"
    assert result.output["response"]["statusCode"] == 404


async def test_async_complete_leaves_it_in_progress(tasks: SystemTasks, base: str) -> None:
    keys = {"uri": f"{base}/echo/", "method": "GET"}
    result = await tasks.run(system_task("HTTP", keys, node={"asyncComplete": True}))
    assert (result.status, result.callback_after) == ("IN_PROGRESS", 0.0)
    assert result.output["response"]["statusCode"] == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.body.path", "/echo/a"), ("$.statusCode", 200), ("$.body.none", None), ("$..method", ["GET"])],
)
async def test_output_filter(tasks: SystemTasks, base: str, path: str, value: Any) -> None:
    result = await call(tasks, f"{base}/echo/a", outputFilter=path)
    assert result.output == {"response": value}


@pytest.mark.parametrize(
    ("task_input", "says"),
    [
        ({}, "method is missing"),
        ({"http_request": "x"}, "http_request must be an object"),
        ({"method": "GET"}, "uri is missing"),
        ({"method": "FETCH", "uri": "http://localhost"}, "'FETCH' is unknown"),
        ({"method": "GET", "uri": "ftp://localhost"}, "http:// or https://"),
        ({"method": "GET", "uri": "http://a:port/"}, "can't be read"),
        ({"method": "GET", "uri": "http://localhost/a b", "encode": False}, "percent-encoded"),
        ({"method": "GET", "uri": "http://localhost", "readTimeOut": "soon"}, "readTimeOut must be a number"),
        ({"method": "GET", "uri": "http://localhost", "headers": {"a b": "c"}}, "no header name"),
        ({"method": "GET", "uri": "http://localhost", "headers": {"A": "c\r\nX: y"}}, "headers.A has a line break"),
        ({"method": "GET", "uri": "http://localhost", "headers": []}, "headers must be an object"),
        ({"method": "GET", "uri": "http://localhost", "acceptedStatusCodes": ["fine"]}, "acceptedStatusCodes"),
    ],
)
async def test_bad_input_fails_with_the_key(tasks: SystemTasks, task_input: dict[str, Any], says: str) -> None:
    result = await tasks.run(system_task("HTTP", task_input))
    assert result.status == "FAILED"
    assert result.reason is not None
    assert says in result.reason


async def test_a_bad_output_filter_fails(tasks: SystemTasks, base: str) -> None:
    for path in ("$.a[?(", "$.body[?@.a =~ /(a+)+$/]", "$.body[?(match(@.a))]"):
        result = await call(tasks, f"{base}/answer?body=[{{}}]", outputFilter=path)
        assert result.status == "FAILED"
        assert "outputFilter" in (result.reason or "")


async def test_get_follows_redirects_and_post_does_not(tasks: SystemTasks, base: str) -> None:
    uri = f"{base}/redirect?to=/echo/there"
    assert (await call(tasks, uri)).output["response"]["body"]["path"] == "/echo/there"
    assert (await call(tasks, uri, "POST")).output["response"]["statusCode"] == 302
    for to in ("/redirect?to=/redirect", "file:///etc/passwd", "http://"):
        result = await call(tasks, f"{base}/redirect?to={to}")
        assert result.status == "FAILED"


async def test_cookies_are_not_shared_between_tasks(tasks: SystemTasks, base: str) -> None:
    first = await call(tasks, f"{base}/cookie")
    assert first.output["response"]["headers"]["set-cookie"][0].startswith("session=")
    assert (await call(tasks, f"{base}/cookie")).output["response"]["body"] == {"cookies": {}}


async def test_nobody_listens(tasks: SystemTasks, unused_tcp_port: int) -> None:
    result = await call(tasks, f"http://127.0.0.1:{unused_tcp_port}/x?key=hidden")
    assert result.status == "FAILED"
    assert result.output["response"]["statusCode"] is None
    assert f"http://127.0.0.1:{unused_tcp_port}/x" in (result.reason or "")
    assert "hidden" not in (result.reason or "")


async def test_an_unknown_host(tasks: SystemTasks) -> None:
    result = await call(tasks, "http://no-such-host.invalid/")
    assert "no-such-host.invalid can't be resolved" in (result.reason or "")


async def test_silence_ends_at_the_read_timeout(tasks: SystemTasks) -> None:
    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with raw_server(silent) as base:
        result = await call(tasks, base, readTimeOut=100)
    assert "no answer within 100 ms (readTimeOut)" in (result.reason or "")


async def test_a_trickle_ends_at_the_limit_of_a_run() -> None:
    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with running_tasks(SystemTaskSettings(longest=0.3)) as tasks, raw_server(trickle) as base:
        result = await call(tasks, base)
    assert "longer than 0.3 seconds" in (result.reason or "")


async def respond_raw(tasks: SystemTasks, data: bytes) -> SystemTaskResult:
    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    async with raw_server(respond) as base:
        return await call(tasks, base)


def with_body(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_packed_bodies_are_unpacked(tasks: SystemTasks) -> None:
    result = await respond_raw(tasks, with_body(gzip.compress(b'{"a":1}'), b"Content-Encoding: gzip"))
    assert result.output["response"]["body"] == {"a": 1}


async def test_binary_comes_in_base64(tasks: SystemTasks) -> None:
    data = bytes(range(256))
    result = await respond_raw(tasks, with_body(data, b"Content-Type: image/png"))
    assert base64.b64decode(result.output["response"]["body"]) == data
    assert result.output["response"]["bodyEncoding"] == "base64"


async def test_other_charsets(tasks: SystemTasks) -> None:
    result = await respond_raw(tasks, with_body("müde".encode("latin-1"), b"Content-Type: text/plain; charset=latin-1"))
    assert result.output["response"]["body"] == "müde"


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        with_body(b"not packed", b"Content-Encoding: gzip"),
        with_body(gzip.compress(b"x" * 1000, mtime=0)[:-9], b"Content-Encoding: gzip"),
    ],
    ids=["nonsense", "too short", "not packed", "cut"],
)
async def test_broken_answers_fail(tasks: SystemTasks, data: bytes) -> None:
    result = await respond_raw(tasks, data)
    assert result.status == "FAILED"
    assert result.reason


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("declared", [False, True])
async def test_a_long_body_fails_without_being_read(packed: bool, declared: bool) -> None:
    body = gzip.compress(b"x" * 5_000_000) if packed else b"x" * 1_000_000
    written = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
        head += b"Content-Encoding: gzip\r\n" if packed else b""
        head += b"Content-Length: %d\r\n" % len(body) if declared else b""
        writer.write(head + b"\r\n")
        while True:
            writer.write(body)
            written += len(body)
            await writer.drain()

    settings = SystemTaskSettings(http=HttpSettings(response_limit=1000))
    async with running_tasks(settings) as tasks, raw_server(serve) as base:
        result = await call(tasks, base)
    assert result.status == "FAILED"
    assert "more than 1000 bytes" in (result.reason or "")
    assert result.output["response"]["statusCode"] == 200
    assert written < 50_000_000


async def test_secrets_stay_inside(tasks: SystemTasks, base: str) -> None:
    secret = 'p"s/w ord'
    keys = {
        "uri": f"{base}/echo/{secret}?key={secret}",
        "method": "POST",
        "headers": {"Authorization": f"Bearer {secret}"},
        "body": {"password": secret},
    }
    result = await tasks.run(system_task("HTTP", {"http_request": keys}, secrets=frozenset({secret, "x"})))
    seen = result.output["response"]["body"]
    assert seen["headers"]["authorization"] == "Bearer ***"
    assert seen["path"] == "/echo/***"
    assert seen["query"] == "key=***"
    assert seen["body"] == '{"password":"***"}'

    broken = {**keys, "headers": {"Authorization": secret + "\n"}}
    result = await tasks.run(system_task("HTTP", {"http_request": broken}, secrets=frozenset({secret})))
    assert secret not in (result.reason or "")


async def test_concurrency_is_bounded() -> None:
    running, most = 0, 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    settings = SystemTaskSettings(http=HttpSettings(concurrency=3))
    async with running_tasks(settings) as tasks, raw_server(serve) as base:
        results = await asyncio.gather(*(call(tasks, base) for _ in range(10)))
    assert {result.status for result in results} == {"COMPLETED"}
    assert most == 3
