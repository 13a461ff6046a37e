"""A server that asks who calls: the published Python client with access keys, over a crash and a restart."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.models.create_or_update_application_request import CreateOrUpdateApplicationRequest
from conductor.client.http.models.subject_ref import SubjectRef, SubjectType
from conductor.client.http.models.target_ref import TargetRef, TargetType
from conductor.client.http.models.upsert_group_request import UpsertGroupRequest
from conductor.client.http.models.upsert_user_request import UpsertUserRequest
from conductor.client.http.rest import AuthorizationException
from conductor.client.orkes.models.access_type import AccessType
from conductor.client.orkes_clients import OrkesClients

from tests.clients.definitions import register, start, status, take, task, work_off
from tests.clients.server_process import ServerProcess, running_server, until
from tests.clients.test_python_client_workers import running_workers

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

ADMIN = ("administrator", "s3cret-of-the-administrator")


def connected(server: ServerProcess, key: tuple[str, str] | None) -> OrkesClients:
    settings = AuthenticationSettings(*key) if key else None
    return OrkesClients(Configuration(server_api_url=server.api, authentication_settings=settings))


def new_key(server: ServerProcess, name: str, *roles: str) -> tuple[tuple[str, str], str]:
    """An access key of a new application, and the application's id."""
    authorization = connected(server, ADMIN).get_authorization_client()
    application = authorization.create_application(CreateOrUpdateApplicationRequest(name))
    for role in roles:
        authorization.add_role_to_application_user(application.id, role)
    key = authorization.create_access_key(application.id)
    return (key.id, key.secret), application.id


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that knows an administrator, whose tokens are good for a second."""
    settings = {"TENUTO_ADMIN_KEY": ":".join(ADMIN), "TENUTO_TOKEN_TTL": "1"}
    with running_server(tmp_path_factory.mktemp("guarded"), settings) as server:
        yield server


def test_the_first_key_closes_an_open_server(tmp_path: Path, api_clients: None, unique: str) -> None:
    with running_server(tmp_path) as server:
        with pytest.raises(urllib.error.HTTPError) as no_token:
            urllib.request.urlopen(urllib.request.Request(f"{server.api}/token", method="POST", data=b"{}"))
        no_token.value.close()
        assert no_token.value.code == 404
        opened = connected(server, None)
        register(opened, unique, task(unique))
        authorization = opened.get_authorization_client()
        application = authorization.create_application(CreateOrUpdateApplicationRequest("first"))
        authorization.add_role_to_application_user(application.id, "ADMIN")
        key = authorization.create_access_key(application.id)
        with pytest.raises(AuthorizationException) as refused:
            start(opened, unique)
        assert refused.value.status == 401
        workflow_id = start(connected(server, (key.id, key.secret)), unique)
    with running_server(tmp_path) as server:
        known = connected(server, (key.id, key.secret))
        work_off(known, unique)
        assert status(known, workflow_id) == "COMPLETED"
        assert known.get_authorization_client().get_user_info_from_token()["id"] == f"app:{application.id}"


def test_a_token_that_expires_is_renewed(guarded: ServerProcess, api_clients: None, unique: str) -> None:
    clients = connected(guarded, ADMIN)
    register(clients, unique, task(unique))
    first = clients.configuration.AUTH_TOKEN
    assert first

    def again() -> bool:
        clients.get_metadata_client().get_workflow_def(unique)
        return first != clients.configuration.AUTH_TOKEN

    until(again)


def test_a_wrong_secret(guarded: ServerProcess, api_clients: None, unique: str) -> None:
    with pytest.raises(AuthorizationException):
        start(connected(guarded, (ADMIN[0], "wrong")), unique)


def test_roles_and_grants(guarded: ServerProcess, api_clients: None, unique: str) -> None:
    administrator = connected(guarded, ADMIN)
    for name in ("mine", "yours"):
        register(administrator, f"{unique}_{name}", task(f"{unique}_{name}"))
    key, application = new_key(guarded, unique, "WORKER")
    authorization = connected(guarded, ADMIN).get_authorization_client()
    target = TargetRef(TargetType.WORKFLOW_DEF, f"{unique}_mine")
    subject = SubjectRef(SubjectType.USER, f"app:{application}")
    authorization.grant_permissions(subject, target, [AccessType.READ, AccessType.EXECUTE])
    assert [each.id for each in authorization.get_permissions(target)["EXECUTE"]] == [f"app:{application}"]

    worker = connected(guarded, key)
    workflow_id = start(worker, f"{unique}_mine")
    assert take(worker, f"{unique}_mine").workflow_instance_id == workflow_id
    with pytest.raises(AuthorizationException) as refused:
        start(worker, f"{unique}_yours")
    assert refused.value.status == 403
    with pytest.raises(AuthorizationException):
        worker.get_authorization_client().create_application(CreateOrUpdateApplicationRequest("no"))


def test_users_and_groups(guarded: ServerProcess, api_clients: None, unique: str) -> None:
    authorization = connected(guarded, ADMIN).get_authorization_client()
    user = f"{unique}@example.com"
    authorization.upsert_user(UpsertUserRequest(name="Ada", roles=["USER"]), user)
    authorization.upsert_group(UpsertGroupRequest(description="g", roles=["USER"]), unique)
    authorization.add_user_to_group(unique, user)
    assert [each.id for each in authorization.get_users_in_group(unique)] == [user]
    assert [group.id for group in authorization.get_user(user).groups] == [unique]
    authorization.remove_user_from_group(unique, user)
    authorization.delete_group(unique)
    authorization.delete_user(user)


def test_workers_with_a_key(guarded: ServerProcess, api_clients: None, unique: str, tmp_path: Path) -> None:
    key, _ = new_key(guarded, unique, "WORKER")
    administrator = connected(guarded, ADMIN)
    register(administrator, unique, task("double", inputs={"number": 3}))
    settings = {"CONDUCTOR_AUTH_KEY": key[0], "CONDUCTOR_AUTH_SECRET": key[1], "CONDUCTOR_WORKER_ISOLATION": "thread"}
    with running_workers(guarded, tmp_path, "double", **settings):
        workflow_id = start(administrator, unique)
        until(lambda: status(administrator, workflow_id) == "COMPLETED", 45)
