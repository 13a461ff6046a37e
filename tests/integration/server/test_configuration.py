"""Stored configuration: what is kept, how, and by several servers at a time."""

from __future__ import annotations

import asyncio
import logging
import stat
from pathlib import Path

import pytest

from tenuto.server.configuration import Configuration
from tenuto.server.settings import Settings, SettingsError
from tenuto.server.vault import open_vault
from tests.integration.server.conftest import Served, ServerMaker, served

KEY = "A" * 43 + "="
OTHER_KEY = "B" * 42 + "A="


# -- secrets -------------------------------------------------------------------------------------------------------


async def test_secrets_are_not_readable_in_the_store(tmp_path: Path) -> None:
    database = tmp_path / "tenuto.db"
    async with served(Settings(db=f"sqlite:///{database}", port=0)) as server:
        await server.client.put("/secrets/password", content="correct horse battery staple")
        await server.client.post(
            "/integrations/provider/openai", json={"type": "openai", "configuration": {"api_key": "sk-verysecret"}}
        )
    key_file = tmp_path / "tenuto.db.secrets-key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    for file in tmp_path.iterdir():
        if file != key_file:
            content = file.read_bytes()
            assert b"correct horse" not in content, file
            assert b"sk-verysecret" not in content, file
    async with served(Settings(db=f"sqlite:///{database}", port=0)) as server:
        assert (await server.client.get("/secrets/password")).text == "correct horse battery staple"
        assert server.services.configuration.secrets.lookup("password") == "correct horse battery staple"


async def test_a_secret_stored_with_another_key_is_an_error_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = f"sqlite:///{tmp_path}/tenuto.db"
    async with served(Settings(db=db, port=0, secrets_key=KEY)) as server:
        await server.client.put("/secrets/password", content="x")
    with caplog.at_level(logging.ERROR):
        async with served(Settings(db=db, port=0, secrets_key=OTHER_KEY)) as server:
            answer = await server.client.get("/secrets/password")
            assert (answer.status_code, "secrets_key" in answer.json()["message"]) == (409, True)
            assert (await server.client.get("/secrets/password/exists")).json() is True
            await server.client.put("/secrets/password", content="y")
            assert (await server.client.get("/secrets/password")).text == "y"
    assert "'secret password' can't be decrypted" in caplog.text


async def test_names_of_secrets(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.put("/secrets/a.b", content="x")).status_code == 400
        assert (await server.client.put("/secrets/" + "a" * 256, content="x")).status_code == 400
        assert (await server.client.delete("/secrets/none")).status_code == 404
        assert (await server.client.get("/secrets/none/tags")).status_code == 404


async def test_deleting_a_secret_takes_its_tags_along(make_server: ServerMaker) -> None:
    async with make_server() as server:
        await server.client.put("/secrets/x", content="1")
        await server.client.put("/secrets/x/tags", json=[{"key": "a", "value": 1}])
        await server.client.delete("/secrets/x")
        await server.client.put("/secrets/x", content="2")
        assert (await server.client.get("/secrets/v2")).json() == [{"name": "x", "tags": []}]


@pytest.mark.parametrize("key", ["short", "?" * 44, ""])
def test_keys_that_are_none_are_refused(key: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(key)
    with pytest.raises(SettingsError, match="32 bytes"):
        open_vault(Settings(db="memory://", secrets_key_file=str(file)))


def test_servers_on_a_shared_database_need_a_key_of_their_choice() -> None:
    with pytest.raises(SettingsError, match="secrets_key"):
        open_vault(Settings(db="postgresql://somewhere/db"))


# -- tags ----------------------------------------------------------------------------------------------------------


async def test_tags_keep_the_types_of_their_values(server: Served) -> None:
    tags = [
        {"key": "n", "value": 1, "type": "METADATA"},
        {"key": "b", "value": True, "type": "METADATA"},
        {"key": "t", "value": "1", "type": "METADATA"},
        {"key": "o", "value": {"a": [None, 1.5]}, "type": "METADATA"},
        {"key": "orders", "value": 3, "type": "RATE_LIMIT"},
    ]
    for path in ("/metadata/workflow/orders/tags", "/metadata/task/charge/tags", "/scheduler/schedules/nightly/tags"):
        assert (await server.client.put(path, json=tags)).status_code == 200
        assert (await server.client.get(path)).json() == tags
    assert server.services.configuration.tags.rate_limit("orders") == 3
    assert len((await server.client.get("/metadata/tags")).json()) == 5


async def test_tags_that_are_none_are_refused(make_server: ServerMaker) -> None:
    async with make_server() as server:
        for body in ({"value": 1}, [{"key": 1}], "text", [[]]):
            assert (await server.client.put("/metadata/workflow/w/tags", json=body)).status_code == 400


async def test_many_writers_of_one_things_tags_lose_nothing(make_server: ServerMaker) -> None:
    async with make_server() as server:
        path = "/metadata/workflow/w/tags"
        answers = await asyncio.gather(
            *(server.client.post(path, json={"key": f"k{number}", "value": number}) for number in range(12))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert {tag["key"] for tag in (await server.client.get(path)).json()} == {f"k{n}" for n in range(12)}


# -- the rest ------------------------------------------------------------------------------------------------------


async def test_prompts_have_versions(server: Served) -> None:
    await server.client.post("/prompts/p?description=one&models=a:b&models=c:d", content="Hi ${name}, ${ name } ${x.y}")
    await server.client.post("/prompts/p?version=5&models=a:b,c:d", content="five")
    await server.client.post("/prompts/p?autoIncrement=true", content="six")
    await server.client.put("/prompts/p", content="six again")
    found = (await server.client.get("/prompts/p/versions")).json()
    assert [(prompt["version"], prompt["template"]) for prompt in found] == [
        (1, "Hi ${name}, ${ name } ${x.y}"),
        (5, "five"),
        (6, "six again"),
    ]
    assert found[0]["variables"] == ["name", "x.y"]
    assert found[0]["integrations"] == found[1]["integrations"] == ["a:b", "c:d"]
    assert (await server.client.get("/prompts/p?version=5")).json()["template"] == "five"
    assert (await server.client.get("/prompts/p?version=2")).status_code == 404
    assert (await server.client.post("/prompts/test", json={"prompt": "x", "model": "gpt"})).status_code == 501
    assert (await server.client.delete("/prompts/p")).status_code == 200
    assert (await server.client.get("/prompts/p")).status_code == 404


async def test_masked_keys_of_integrations_survive_being_sent_back(make_server: ServerMaker) -> None:
    async with make_server() as server:
        path = "/integrations/provider/openai"
        body = {"type": "openai", "category": "AI_MODEL", "configuration": {"api_key": "sk-1", "region": "eu"}}
        await server.client.post(path, json=body)
        shown = (await server.client.get(path)).json()
        assert shown["configuration"] == {"api_key": "********", "region": "eu"}
        await server.client.post(path, json={**shown, "description": "new"})
        stored = server.services.configuration.integrations
        provider = stored.providers.get("openai")
        assert provider is not None
        assert stored.configuration("openai", provider.sealed) == {"api_key": "sk-1", "region": "eu"}
        assert (await server.client.post(path, json={"category": "BANANA"})).status_code == 400


async def test_tokens_of_models_are_counted(make_server: ServerMaker) -> None:
    async with make_server() as server:
        path = "/integrations/provider/openai"
        assert (await server.client.post(f"{path}/integration/gpt", json={})).status_code == 404
        await server.client.post(path, json={"type": "openai"})
        await server.client.post(f"{path}/integration/gpt", json={"description": "big"})
        for used in (10, 5):
            await server.client.post(f"{path}/integration/gpt/metrics", json=used)
        assert (await server.client.get(f"{path}/integration/gpt/metrics")).json() == 15
        assert (await server.client.get(f"{path}/metrics")).json() == {"gpt": 15}
        assert (await server.client.post(f"{path}/integration/gpt/metrics", json=-1)).status_code == 400


async def test_new_versions_of_schemas_at_the_same_time_are_all_kept(make_server: ServerMaker) -> None:
    async with make_server() as server:
        bodies = [{"name": "s", "data": {"n": number}} for number in range(8)]
        await asyncio.gather(*(server.client.post("/schema?newVersion=true", json=body) for body in bodies))
        found = (await server.client.get("/schema")).json()
    assert [schema["version"] for schema in found] == list(range(1, 9))
    assert sorted(schema["data"]["n"] for schema in found) == list(range(8))


async def test_names_that_are_none_are_refused(make_server: ServerMaker) -> None:
    async with make_server() as server:
        for name in ("%20", "a%00b", "a%0Ab", "a" * 256):
            assert (await server.client.put(f"/environment/{name}", content="x")).status_code == 400
        assert (await server.client.post("/applications", json={"name": " "})).status_code == 400


async def test_what_another_server_writes_is_seen(make_server: ServerMaker) -> None:
    async with make_server(secrets_key=KEY) as server:
        services = server.services
        other = Configuration(services.store, services.clock, services.settings)
        await other.open()
        assert other.directory.is_open
        app = (await server.client.post("/applications", json={"name": "a"})).json()
        await server.client.post(f"/applications/{app['id']}/accessKeys")
        await other.secrets.put("shared", "value", "me", 0)
        await other.reload()
        assert not other.directory.is_open
        await services.configuration.reload()
        assert services.configuration.secrets.lookup("shared") == "value"
        await other.secrets.stored.delete("shared")
        await services.configuration.reload()
        assert services.configuration.secrets.lookup("shared") is None
