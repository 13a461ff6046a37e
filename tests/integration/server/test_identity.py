"""Access keys, tokens, roles and grants, as a client meets them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto.server.settings import Settings
from tenuto.testing.clock import ManualClock
from tests.integration.server.conftest import Served, ServerMaker, served

#: What somebody with no permission at all is refused, by the area that it needs.
READS = {
    "METADATA": "/metadata/workflow",
    "TASK_METADATA": "/metadata/taskdefs",
    "SECRET": "/secrets-v2",
    "ENVIRONMENT": "/environment",
    "PROMPT": "/prompts",
    "INTEGRATION": "/integrations/provider",
    "SCHEMA": "/schema",
    "APPLICATION": "/applications",
    "ADMIN": "/roles",
}


async def make_key(server: Served, *roles: str, headers: dict[str, str] | None = None) -> tuple[str, dict[str, str]]:
    """An application with these roles: its id, and its access key."""
    client = server.client
    app = (await client.post("/applications", json={"name": "app"}, headers=headers)).json()
    for role in roles:
        answer = await client.post(f"/applications/{app['id']}/roles/{role}", headers=headers)
        assert answer.status_code == 200, answer.text
    key = (await client.post(f"/applications/{app['id']}/accessKeys", headers=headers)).json()
    return app["id"], {"keyId": key["id"], "keySecret": key["secret"]}


async def token_headers(server: Served, key: dict[str, str]) -> dict[str, str]:
    answer = await server.client.post("/token", json=key)
    assert answer.status_code == 200, answer.text
    return {"X-Authorization": answer.json()["token"]}


async def closed(server: Served) -> dict[str, str]:
    """Close an open server; returns what its administrator sends along."""
    _, key = await make_key(server, "ADMIN")
    return await token_headers(server, key)


async def limited(server: Served, admin: dict[str, str], *roles: str) -> tuple[str, dict[str, str]]:
    """Another caller: its application's id, and what it sends along."""
    app, key = await make_key(server, *roles, headers=admin)
    return app, await token_headers(server, key)


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json().get("error")


# -- tokens --------------------------------------------------------------------------------------------------------


async def test_an_open_server_has_no_tokens_and_lets_everybody_in(server: Served) -> None:
    assert (await server.client.post("/token", json={"keyId": "a", "keySecret": "b"})).status_code == 404
    assert (await server.client.get("/applications")).status_code == 200
    assert (await server.client.get("/token/userInfo")).json()["id"] == "anonymous"


async def test_the_first_key_closes_the_server(server: Served) -> None:
    headers = await closed(server)
    assert refusal(await server.client.get("/applications")) == (401, "INVALID_TOKEN")
    assert (await server.client.get("/applications", headers=headers)).status_code == 200
    assert (await server.client.get(f"{server.url}/health")).status_code == 200
    assert (await server.client.get("/nowhere")).status_code == 404


async def test_a_first_key_without_a_role_is_the_administrators(server: Served) -> None:
    _, key = await make_key(server)
    headers = await token_headers(server, key)
    assert (await server.client.get("/roles", headers=headers)).status_code == 200


async def test_wrong_keys_get_no_token(server: Served) -> None:
    _, key = await make_key(server, "ADMIN")
    for wrong in ({**key, "keySecret": "no"}, {**key, "keyId": "no"}, {**key, "keySecret": ""}):
        assert refusal(await server.client.post("/token", json=wrong)) == (401, "INVALID_CREDENTIALS")
    assert (await server.client.post("/token", json={"keyId": "x"})).status_code == 400


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.eyJrZXkiOiJ4IiwiZXhwIjo5OTk5OTk5OTk5fQ."])
async def test_tokens_of_others_are_invalid(make_server: ServerMaker, token: str) -> None:
    async with make_server() as server:
        await closed(server)
        answer = await server.client.get("/applications", headers={"X-Authorization": token})
    assert refusal(answer) == (401, "INVALID_TOKEN")


async def test_tokens_expire() -> None:
    clock = ManualClock()
    async with served(Settings(db="memory://", port=0, token_ttl=60), clock) as server:
        headers = await closed(server)
        assert (await server.client.get("/roles", headers=headers)).status_code == 200
        clock.advance(61)
        assert refusal(await server.client.get("/roles", headers=headers)) == (401, "EXPIRED_TOKEN")


async def test_a_key_that_is_off_or_gone_ends_its_tokens(server: Served) -> None:
    admin = await closed(server)
    app, headers = await limited(server, admin, "ADMIN")
    (key,) = (await server.client.get(f"/applications/{app}/accessKeys", headers=admin)).json()
    path = f"/applications/{app}/accessKeys/{key['id']}"
    await server.client.post(f"{path}/status", headers=admin)
    assert refusal(await server.client.get("/roles", headers=headers)) == (401, "INVALID_TOKEN")
    await server.client.post(f"{path}/status", headers=admin)
    assert (await server.client.get("/roles", headers=headers)).status_code == 200
    await server.client.delete(path, headers=admin)
    assert refusal(await server.client.get("/roles", headers=headers)) == (401, "INVALID_TOKEN")


async def test_deleting_an_application_ends_its_keys(server: Served) -> None:
    admin = await closed(server)
    app, headers = await limited(server, admin, "USER")
    await server.client.delete(f"/applications/{app}", headers=admin)
    assert refusal(await server.client.get("/schema", headers=headers)) == (401, "INVALID_TOKEN")


async def test_secrets_of_keys_are_shown_once_and_kept_as_a_hash(make_server: ServerMaker) -> None:
    async with make_server() as server:
        app, key = await make_key(server, "ADMIN")
        headers = await token_headers(server, key)
        shown = (await server.client.get(f"/applications/{app}/accessKeys", headers=headers)).text
        stored = await server.services.store.documents("access_keys")
    assert key["keySecret"] not in shown
    assert all(key["keySecret"].encode() not in document.data for document in stored)


async def test_with_the_last_key_the_server_is_open_again_and_says_so(
    make_server: ServerMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_server() as server:
        app, key = await make_key(server, "ADMIN")
        headers = await token_headers(server, key)
        with caplog.at_level(logging.WARNING):
            await server.client.delete(f"/applications/{app}/accessKeys/{key['keyId']}", headers=headers)
        assert "this server is open" in caplog.text
        assert (await server.client.get("/roles")).status_code == 200


async def test_a_configured_key_administers_a_server_that_is_never_open(make_server: ServerMaker) -> None:
    async with make_server(admin_key="root:s3cret") as server:
        assert (await server.client.get("/roles")).status_code == 401
        headers = await token_headers(server, {"keyId": "root", "keySecret": "s3cret"})
        assert (await server.client.get("/roles", headers=headers)).status_code == 200


async def test_tokens_and_keys_outlive_a_restart(tmp_path: Path) -> None:
    settings = Settings(db=f"sqlite:///{tmp_path}/tenuto.db", port=0)
    async with served(settings) as server:
        headers = await closed(server)
    async with served(settings) as server:
        assert (await server.client.get("/roles")).status_code == 401
        assert (await server.client.get("/roles", headers=headers)).status_code == 200


# -- roles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "readable"),
    [
        ("ADMIN", set(READS)),
        ("USER", set(READS) - {"ADMIN", "APPLICATION"}),
        ("METADATA_MANAGER", {"METADATA", "TASK_METADATA", "PROMPT", "INTEGRATION", "SCHEMA"}),
        ("WORKFLOW_MANAGER", {"METADATA", "TASK_METADATA", "PROMPT", "INTEGRATION", "SCHEMA"}),
        ("WORKER", {"TASK_METADATA", "SCHEMA"}),
        ("READ_ONLY", set(READS) - {"ADMIN", "APPLICATION", "SECRET"}),
    ],
)
async def test_what_roles_may_read(make_server: ServerMaker, role: str, readable: set[str]) -> None:
    async with make_server() as server:
        _, headers = await limited(server, await closed(server), role)
        statuses = {area: (await server.client.get(path, headers=headers)).status_code for area, path in READS.items()}
    assert {area for area, status in statuses.items() if status == 200} == readable
    assert {status for status in statuses.values() if status != 200} <= {403}


async def test_readers_change_nothing(make_server: ServerMaker) -> None:
    async with make_server() as server:
        _, headers = await limited(server, await closed(server), "READ_ONLY")
        for path in ("/secrets/x", "/environment/x", "/metadata/workflow/w/tags"):
            answer = await server.client.put(path, json=[], headers=headers)
            assert refusal(answer) == (403, "FORBIDDEN"), path
        for path in ("/schema", "/prompts/p", "/applications", "/roles"):
            answer = await server.client.post(path, json={"name": "x"}, headers=headers)
            assert refusal(answer) == (403, "FORBIDDEN"), path


async def test_a_role_of_ones_own_gives_what_it_lists(make_server: ServerMaker) -> None:
    async with make_server() as server:
        admin = await closed(server)
        role = {"name": "secretary", "permissions": ["SECRET_READ", "SECRET_WRITE"]}
        await server.client.post("/roles", json=role, headers=admin)
        _, headers = await limited(server, admin, "secretary")
        assert (await server.client.put("/secrets/x", content="1", headers=headers)).status_code == 200
        assert (await server.client.put("/environment/x", content="1", headers=headers)).status_code == 403
        await server.client.put("/roles/secretary", json={"permissions": ["SECRET_READ"]}, headers=admin)
        assert (await server.client.put("/secrets/x", content="1", headers=headers)).status_code == 403
        wrong = await server.client.post("/roles", json={"name": "y", "permissions": ["FLY"]}, headers=admin)
        assert (wrong.status_code, "FLY" in wrong.json()["message"]) == (400, True)


async def test_roles_that_are_always_there_stay_as_they_are(make_server: ServerMaker) -> None:
    async with make_server() as server:
        assert (await server.client.put("/roles/ADMIN", json={"permissions": []})).status_code == 409
        assert (await server.client.delete("/roles/USER")).status_code == 409
        app = (await server.client.post("/applications", json={"name": "a"})).json()
        assert (await server.client.post(f"/applications/{app['id']}/roles/KING")).status_code == 400


async def test_nobody_gets_more_rights_through_an_application(make_server: ServerMaker) -> None:
    async with make_server() as server:
        admin = await closed(server)
        (administrator,) = (await server.client.get("/applications", headers=admin)).json()
        role = {"name": "clerk", "permissions": ["APPLICATION_READ", "APPLICATION_WRITE", "SECRET_READ"]}
        await server.client.post("/roles", json=role, headers=admin)
        clerk, headers = await limited(server, admin, "clerk")
        for path in (f"/applications/{clerk}/roles/ADMIN", f"/applications/{clerk}/roles/USER"):
            assert (await server.client.post(path, headers=headers)).status_code == 403
        stolen = await server.client.post(f"/applications/{administrator['id']}/accessKeys", headers=headers)
        assert stolen.status_code == 403
        assert (await server.client.post(f"/applications/{clerk}/roles/clerk", headers=headers)).status_code == 200


# -- grants --------------------------------------------------------------------------------------------------------


async def grant(
    server: Served, admin: dict[str, str], subject: tuple[str, str], target: tuple[str, str], *access: str
) -> None:
    body = {
        "subject": {"type": subject[0], "id": subject[1]},
        "target": {"type": target[0], "id": target[1]},
        "access": list(access),
    }
    answer = await server.client.post("/auth/authorization", json=body, headers=admin)
    assert answer.status_code == 200, answer.text


async def test_a_grant_gives_access_to_one_target(make_server: ServerMaker) -> None:
    async with make_server() as server:
        admin = await closed(server)
        for name in ("mine", "yours"):
            await server.client.put(f"/secrets/{name}", content=name, headers=admin)
        app, headers = await limited(server, admin, "WORKER")
        assert (await server.client.get("/secrets/mine", headers=headers)).status_code == 403
        await grant(server, admin, ("USER", f"app:{app}"), ("SECRET_NAME", "mine"), "READ")
        assert (await server.client.get("/secrets/mine", headers=headers)).text == "mine"
        assert (await server.client.get("/secrets/yours", headers=headers)).status_code == 403
        assert (await server.client.put("/secrets/mine", content="x", headers=headers)).status_code == 403
        assert (await server.client.get("/secrets", headers=headers)).json() == ["mine"]


async def test_grants_come_through_groups_roles_and_tags(make_server: ServerMaker) -> None:
    async with make_server() as server:
        admin = await closed(server)
        for name in ("by-group", "by-role", "by-tag"):
            await server.client.put(f"/secrets/{name}", content=name, headers=admin)
        await server.client.put("/secrets/by-tag/tags", json=[{"key": "team", "value": "a"}], headers=admin)
        app, headers = await limited(server, admin, "WORKER")
        await server.client.put("/groups/g", json={"description": "", "roles": []}, headers=admin)
        await server.client.post(f"/groups/g/users/app:{app}", headers=admin)
        await grant(server, admin, ("GROUP", "g"), ("SECRET_NAME", "by-group"), "READ")
        await grant(server, admin, ("ROLE", "WORKER"), ("SECRET_NAME", "by-role"), "READ")
        await grant(server, admin, ("USER", f"app:{app}"), ("TAG", "team:a"), "READ")
        for name in ("by-group", "by-role", "by-tag"):
            assert (await server.client.get(f"/secrets/{name}", headers=headers)).text == name
        await server.client.delete("/groups/g", headers=admin)
        assert (await server.client.get("/secrets/by-group", headers=headers)).status_code == 403


async def test_grants_that_make_no_sense_are_refused(make_server: ServerMaker) -> None:
    good: dict[str, Any] = {
        "subject": {"type": "USER", "id": "a"},
        "target": {"type": "TASK_DEF", "id": "t"},
        "access": ["READ"],
    }
    async with make_server() as server:
        for change in (
            {"subject": {"type": "ROBOT", "id": "a"}},
            {"target": {"type": "MOON", "id": "a"}},
            {"target": {"type": "TASK_DEF", "id": ""}},
            {"access": ["FLY"]},
            {"access": []},
        ):
            answer = await server.client.post("/auth/authorization", json={**good, **change})
            assert answer.status_code == 400, change


async def test_an_application_may_be_the_target_of_a_grant(make_server: ServerMaker) -> None:
    async with make_server() as server:
        admin = await closed(server)
        app, headers = await limited(server, admin, "WORKER")
        assert (await server.client.get(f"/applications/{app}", headers=headers)).status_code == 403
        await grant(server, admin, ("USER", f"app:{app}"), ("APPLICATION", app), "READ")
        assert (await server.client.get(f"/applications/{app}", headers=headers)).status_code == 200
        assert (await server.client.post(f"/applications/{app}/roles/ADMIN", headers=headers)).status_code == 403


# -- definitions and executions ------------------------------------------------------------------------------------


def definition(name: str) -> dict[str, Any]:
    task = {"name": "work", "taskReferenceName": "w", "type": "SIMPLE"}
    return {"name": name, "version": 1, "tasks": [task], "schemaVersion": 2}


async def test_grants_on_one_workflow(make_server: ServerMaker) -> None:
    async with make_server() as server:
        client, admin = server.client, await closed(server)
        for name in ("mine", "yours"):
            answer = await client.post("/metadata/workflow", json=definition(name), headers=admin)
            assert answer.status_code == 200, answer.text
        app, headers = await limited(server, admin, "WORKER")
        subject = ("USER", f"app:{app}")
        assert (await client.post("/workflow/mine", json={}, headers=headers)).status_code == 403
        await grant(server, admin, subject, ("WORKFLOW_DEF", "mine"), "EXECUTE", "READ")

        started = await client.post("/workflow", json={"name": "mine"}, headers=headers)
        assert started.status_code == 200, started.text
        assert (await client.post("/workflow/mine", json={}, headers=headers)).status_code == 200
        for path, body in (("/workflow", {"name": "yours"}), ("/workflow/yours", {})):
            assert (await client.post(path, json=body, headers=headers)).status_code == 403
        inline = {"name": "mine", "workflowDef": definition("mine")}
        assert (await client.post("/workflow", json=inline, headers=headers)).status_code == 403

        assert (await client.get(f"/workflow/{started.text}", headers=headers)).json()["status"] == "RUNNING"
        assert (await client.put(f"/workflow/{started.text}/pause", headers=headers)).status_code == 200
        assert (await client.delete(f"/workflow/{started.text}", headers=headers)).status_code == 200
        other = (await client.post("/workflow/yours", json={}, headers=admin)).text
        assert (await client.get(f"/workflow/{other}", headers=headers)).status_code == 403
        assert (await client.put(f"/workflow/{other}/pause", headers=headers)).status_code == 403
        assert (await client.get("/workflow/no-such-id", headers=headers)).status_code == 403

        assert (await client.get("/metadata/workflow/names", headers=headers)).json() == ["mine"]
        assert [found["name"] for found in (await client.get("/metadata/workflow", headers=headers)).json()] == ["mine"]
        assert (await client.get("/metadata/workflow/mine", headers=headers)).status_code == 200
        assert (await client.get("/metadata/workflow/yours", headers=headers)).status_code == 403
        changed = await client.post("/metadata/workflow?overwrite=true", json=definition("mine"), headers=headers)
        assert changed.status_code == 403
        await grant(server, admin, subject, ("WORKFLOW_DEF", "mine"), "UPDATE", "DELETE")
        changed = await client.post("/metadata/workflow?overwrite=true", json=definition("mine"), headers=headers)
        assert changed.status_code == 200, changed.text
        batch = await client.put("/metadata/workflow", json=[definition("mine"), definition("yours")], headers=headers)
        assert batch.json()["bulkSuccessfulResults"] == ["mine"]
        assert (await client.delete("/metadata/workflow/yours/1", headers=headers)).status_code == 403
        assert (await client.delete("/metadata/workflow/mine/1", headers=headers)).status_code == 200


async def test_grants_on_one_task_definition(make_server: ServerMaker) -> None:
    async with make_server() as server:
        client, admin = server.client, await closed(server)
        await client.post("/metadata/taskdefs", json=[{"name": "mine"}, {"name": "yours"}], headers=admin)
        await client.post("/roles", json={"name": "nobody", "permissions": []}, headers=admin)
        app, headers = await limited(server, admin, "nobody")
        await grant(server, admin, ("USER", f"app:{app}"), ("TASK_DEF", "mine"), "READ", "UPDATE")
        assert [found["name"] for found in (await client.get("/metadata/taskdefs", headers=headers)).json()] == ["mine"]
        assert (await client.put("/metadata/taskdefs", json={"name": "mine"}, headers=headers)).status_code == 200
        assert (await client.put("/metadata/taskdefs", json={"name": "yours"}, headers=headers)).status_code == 403
        both = [{"name": "mine"}, {"name": "yours"}]
        assert (await client.post("/metadata/taskdefs", json=both, headers=headers)).status_code == 403
        assert (await client.delete("/metadata/taskdefs/mine", headers=headers)).status_code == 403


async def test_who_may_take_tasks(make_server: ServerMaker) -> None:
    async with make_server() as server:
        admin = await closed(server)
        statuses = {}
        for role in ("WORKER", "USER", "WORKFLOW_MANAGER", "METADATA_MANAGER", "READ_ONLY"):
            _, headers = await limited(server, admin, role)
            answer = await server.client.get("/tasks/poll/work", headers=headers)
            statuses[role] = answer.status_code
    assert statuses == {
        "WORKER": 204,
        "USER": 204,
        "WORKFLOW_MANAGER": 204,
        "METADATA_MANAGER": 403,
        "READ_ONLY": 403,
    }


async def test_tags_of_a_deleted_definition_are_gone(make_server: ServerMaker) -> None:
    async with make_server() as server:
        client = server.client
        await client.post("/metadata/workflow", json=definition("w"))
        await client.put("/metadata/workflow/w/tags", json=[{"key": "a", "value": 1}])
        await client.delete("/metadata/workflow/w/1")
        assert (await client.get("/metadata/workflow/w/tags")).json() == []
