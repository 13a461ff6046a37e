"""What every request meets, whatever its route: paths, methods, bodies, limits, faults."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tenuto import __version__
from tenuto.model.errors import StoreBusyError
from tenuto.server.routes import secrets as secret_routes
from tests.integration.server.conftest import Served, ServerMaker

# -- health --------------------------------------------------------------------------------------------------------


async def test_health_is_answered_in_both_places(server: Served) -> None:
    for url in (f"{server.url}/health", f"{server.url}/api/health"):
        answer = await server.client.get(url)
        assert answer.status_code == 200
        assert answer.json() == {"healthy": True, "healthResults": []}


async def test_ready_until_the_server_stops(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.get(f"{server.url}/ready")).status_code == 200
        server.services.stopping.set()
        answer = await server.client.get(f"{server.url}/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "the server is stopping")


async def test_the_version_is_bare_text(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.get("/version")
    assert answer.text == __version__
    assert answer.headers["content-type"].startswith("text/plain")


async def test_the_settings_that_are_no_secret(make_server: ServerMaker) -> None:
    async with make_server(secrets_key="A" * 43 + "=") as server:
        config = (await server.client.get("/admin/config")).json()
    assert config["body_limit"] == 16 * 1024 * 1024
    assert not {"secrets_key", "admin_key", "db"} & set(config)


async def test_requests_are_counted_by_route(make_server: ServerMaker) -> None:
    async with make_server() as server:
        await server.client.get("/secrets/one")
        await server.client.get("/secrets/two")
        await server.client.get("/nowhere/at/all")
        text = (await server.client.get(f"{server.url}/metrics")).text
    assert 'tenuto_http_requests_total{method="GET",route="/api/secrets/{key}",status="404"} 2.0' in text
    assert 'route="none",status="404"} 1.0' in text


# -- paths and methods ---------------------------------------------------------------------------------------------


async def test_an_unknown_path_is_404_as_json(server: Served) -> None:
    answer = await server.client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json() == {
        "status": 404,
        "message": "there is nothing at /api/nowhere",
        "instance": answer.json()["instance"],
        "retryable": False,
    }


async def test_a_wrong_method_is_405_and_says_what_is_possible(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.patch("/secrets/x")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert answer.json()["status"] == 405


async def test_options_says_what_is_possible(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.options("/secrets/x")
        unknown = await server.client.options("/nowhere")
    assert (answer.status_code, answer.headers["allow"]) == (200, "DELETE, GET, HEAD, OPTIONS, PUT")
    assert unknown.status_code == 404


async def test_head_is_get_without_the_body(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.head(f"{server.url}/health")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_slash_at_the_end_makes_no_difference(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.get("/roles/")).status_code == 200


async def test_names_in_paths_are_decoded(make_server: ServerMaker) -> None:
    async with make_server() as server:
        for name, encoded in (
            ("a b", "a%20b"),
            ("conductor:w:r", "conductor%3Aw%3Ar"),
            ("a/b", "a%2Fb"),
            ("ü", "%C3%BC"),
        ):
            assert (await server.client.put(f"/environment/{encoded}", content="v")).status_code == 200
            assert name in [variable["name"] for variable in (await server.client.get("/environment")).json()]


async def test_a_path_that_is_not_utf8_is_400(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.get("/secrets/%ff")).status_code == 400


async def test_accept_is_not_negotiated(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.get("/roles", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"] == "application/json"


# -- query strings -------------------------------------------------------------------------------------------------


async def test_booleans_numbers_and_empty_values_in_queries(make_server: ServerMaker) -> None:
    async with make_server() as server:
        schema = {"name": "s", "type": "JSON"}
        for flag in ("True", "true", "1", "TRUE"):
            assert (await server.client.post(f"/schema?newVersion={flag}", json=schema)).status_code == 200
        for flag in ("", "False", "false"):
            assert (await server.client.post(f"/schema?newVersion={flag}", json=schema)).status_code == 200
        assert [found["version"] for found in (await server.client.get("/schema")).json()] == [1, 2, 3, 4]
        await server.client.post("/prompts/p?version=", content="text")
        wrong = await server.client.get("/prompts/p?version=two")
        assert (wrong.status_code, wrong.json()["message"].startswith("query parameter 'version'")) == (400, True)
        assert (await server.client.get("/prompts/p?version=%ff")).status_code == 400


async def test_a_missing_parameter_is_named(make_server: ServerMaker) -> None:
    async with make_server() as server:
        await server.client.put("/users/ada", json={"name": "Ada"})
        answer = await server.client.get("/users/ada/checkPermissions?id=x")
    assert answer.status_code == 400
    assert "type" in answer.json()["message"]


# -- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["{", "nope", '{"name": NaN}', '{"name": Infinity}', "[" * 5000, '{"a":1}{', "\x00"])
async def test_malformed_json_is_400(make_server: ServerMaker, body: str) -> None:
    async with make_server() as server:
        answer = await server.client.post("/schema", content=body)
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("the body is not valid JSON")
        assert (await server.client.get("/schema")).json() == []


async def test_a_body_that_is_no_utf8_is_400(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.post("/schema", content=b'{"name":"\xff"}')).status_code == 400
        assert (await server.client.put("/secrets/x", content=b"\xff")).status_code == 400


async def test_the_path_of_what_is_wrong_in_a_body(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.post("/schema", json=[{"name": "a"}, {"name": "b", "version": "x"}])
    assert answer.status_code == 400
    (fault,) = answer.json()["validationErrors"]
    assert fault["path"] == "$[1].version"


async def test_null_means_the_default_and_numbers_may_be_text(make_server: ServerMaker) -> None:
    async with make_server() as server:
        body = {"name": "s", "version": "7", "type": None, "unknown": 1, "createTime": None}
        assert (await server.client.post("/schema", json=body)).status_code == 200
        (schema,) = (await server.client.get("/schema")).json()
    assert (schema["version"], schema["type"]) == (7, "JSON")


async def test_a_missing_body_is_400(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.post("/schema")).status_code == 400


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("plain", "plain"),
        ('"quoted \\" text"', 'quoted " text'),
        ('{"a": 1}', '{"a": 1}'),
        ('"half', '"half'),
        ("12", "12"),
    ],
)
async def test_bodies_of_text(make_server: ServerMaker, sent: str, kept: str) -> None:
    async with make_server() as server:
        await server.client.put("/environment/x", content=sent, headers={"Content-Type": "application/json"})
        assert (await server.client.get("/environment/x")).text == kept


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1000):
        yield b"x" * 1000


async def test_bodies_are_limited_chunked_or_not(make_server: ServerMaker) -> None:
    async with make_server(body_limit=10_000) as server:
        assert (await server.client.put("/secrets/fits", content=b"x" * 10_000)).status_code == 200
        whole = await server.client.put("/secrets/large", content=b"x" * 10_001)
        chunked = await server.client.put("/secrets/large", content=_chunks(11_000))
        far_too_large = await server.client.put("/secrets/large", content=b"x" * 1_000_000)
        for answer in (whole, chunked, far_too_large):
            assert answer.status_code == 413
            assert "10000 bytes" in answer.json()["message"]
        assert (await server.client.get("/secrets")).json() == ["fits"]
        assert (await server.client.put("/secrets/more", content=_chunks(9_000))).status_code == 200


async def test_a_client_that_asks_first_need_not_send_too_much(make_server: ServerMaker) -> None:
    async with make_server(body_limit=1000) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        writer.write(
            b"PUT /api/secrets/x HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n"
        )
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "request_text",
    [
        b"NOT HTTP\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/schema HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/secrets/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_requests_that_are_no_http_leave_the_server_alive(make_server: ServerMaker, request_text: bytes) -> None:
    async with make_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        writer.write(request_text)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b" 500 " not in answer.partition(b"\r\n")[0]
        assert (await server.client.get(f"{server.url}/health")).status_code == 200


async def test_a_client_that_hangs_up_while_it_sends_stores_nothing(make_server: ServerMaker) -> None:
    async with make_server() as server:
        sending = socket.create_connection(("127.0.0.1", urlsplit(server.url).port))
        sending.sendall(b"PUT /api/secrets/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(0)
        sending.close()
        assert (await server.client.get("/secrets")).json() == []


# -- faults --------------------------------------------------------------------------------------------------------


async def test_what_nobody_foresaw_is_500_without_internals(
    make_server: ServerMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(secret_routes, "_names", broken)
    async with make_server() as server:
        with caplog.at_level(logging.ERROR):
            answer = await server.client.get("/secrets")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    request = answer.json()["message"].rpartition(" ")[2]
    assert request in caplog.text
    assert "hunter2" in caplog.text


async def test_a_store_that_fails_is_503_and_worth_another_try(
    make_server: ServerMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: object, **options: object) -> int:
        raise StoreBusyError("/var/lib/secret/path is busy")

    async with make_server() as server:
        monkeypatch.setattr(server.services.store, "put_document", broken)
        answer = await server.client.put("/secrets/x", content="y")
        monkeypatch.undo()
    assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    assert "/var/lib" not in answer.text
