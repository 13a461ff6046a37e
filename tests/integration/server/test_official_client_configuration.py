"""The published Python client's authorization, secret, prompt, integration, schema and tag clients against a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.models.authentication_config import AuthenticationConfig
from conductor.client.http.models.create_or_update_application_request import CreateOrUpdateApplicationRequest
from conductor.client.http.models.create_or_update_role_request import CreateOrUpdateRoleRequest
from conductor.client.http.models.integration_api_update import IntegrationApiUpdate
from conductor.client.http.models.integration_update import IntegrationUpdate
from conductor.client.http.models.schema_def import SchemaDef, SchemaType
from conductor.client.http.models.subject_ref import SubjectRef, SubjectType
from conductor.client.http.models.target_ref import TargetRef, TargetType
from conductor.client.http.models.upsert_group_request import UpsertGroupRequest
from conductor.client.http.models.upsert_user_request import UpsertUserRequest
from conductor.client.http.rest import ApiException, AuthorizationException
from conductor.client.orkes.models.access_type import AccessType
from conductor.client.orkes.models.metadata_tag import MetadataTag
from conductor.client.orkes_clients import OrkesClients

from tests.integration.server.conftest import Served

T = TypeVar("T")

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_HTTP2_ENABLED", "false")
    Configuration.AUTH_TOKEN = None


async def in_thread(work: Callable[[OrkesClients], T], server: Served, key: tuple[str, str] | None = None) -> T:
    """Run blocking client code beside the server's loop, and close its connections."""

    def run() -> T:
        settings = AuthenticationSettings(*key) if key else None
        configuration = Configuration(base_url=server.url, authentication_settings=settings)
        made: list[ApiClient] = []
        before = ApiClient.__init__

        def remember(self: ApiClient, *args: Any, **options: Any) -> None:
            before(self, *args, **options)
            made.append(self)

        ApiClient.__init__ = remember  # type: ignore[method-assign]
        try:
            return work(OrkesClients(configuration))
        finally:
            ApiClient.__init__ = before  # type: ignore[method-assign]
            for client in made:
                client.rest_client.close()

    return await asyncio.to_thread(run)


async def test_applications_and_keys(server: Served) -> None:
    def work(clients: OrkesClients) -> tuple[str, str]:
        client = clients.get_authorization_client()
        app = client.create_application(CreateOrUpdateApplicationRequest("billing"))
        assert app.name == "billing"
        assert app.create_time > 0
        assert [found.id for found in client.list_applications()] == [app.id]
        renamed = client.update_application(CreateOrUpdateApplicationRequest("invoices"), app.id)
        assert renamed.name == client.get_application(app.id).name == "invoices"
        tags = [MetadataTag("team", "money"), MetadataTag("level", 3)]
        client.set_application_tags(tags, app.id)
        assert [(tag.key, tag.value) for tag in client.get_application_tags(app.id)] == [
            ("team", "money"),
            ("level", 3),
        ]
        client.delete_application_tags(tags[:1], app.id)
        assert [tag.key for tag in client.get_application_tags(app.id)] == ["level"]
        client.add_role_to_application_user(app.id, "USER")
        client.remove_role_from_application_user(app.id, "USER")
        client.add_role_to_application_user(app.id, "ADMIN")
        key = client.create_access_key(app.id)
        return key.id, key.secret

    key = await in_thread(work, server)

    def with_key(clients: OrkesClients) -> None:
        client = clients.get_authorization_client()
        app = client.list_applications()[0]
        assert client.get_app_by_access_key_id(key[0])["id"] == app.id
        assert client.get_user_info_from_token()["id"] == f"app:{app.id}"
        assert client.generate_token(*key)["token"]
        other = client.create_access_key(app.id)
        assert client.toggle_access_key_status(app.id, other.id).status == "INACTIVE"
        assert {found.id: found.status for found in client.get_access_keys(app.id)} == {
            key[0]: "ACTIVE",
            other.id: "INACTIVE",
        }
        client.delete_access_key(app.id, other.id)
        second = client.create_application(CreateOrUpdateApplicationRequest("gone soon"))
        client.delete_application(second.id)
        with pytest.raises(ApiException) as refused:
            client.get_application(second.id)
        assert refused.value.status == 404

    await in_thread(with_key, server, key)


async def test_a_wrong_key_gets_no_token(server: Served) -> None:
    await server.client.put("/secrets/x", content="y")
    app = (await server.client.post("/applications", json={"name": "one"})).json()
    await server.client.post(f"/applications/{app['id']}/accessKeys")

    def work(clients: OrkesClients) -> None:
        with pytest.raises(AuthorizationException) as refused:
            clients.get_secret_client().get_secret("x")
        assert refused.value.status == 401

    await in_thread(work, server, ("no", "key"))


async def test_users_groups_and_grants(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        client = clients.get_authorization_client()
        group = client.upsert_group(
            UpsertGroupRequest(description="Finance", roles=["USER"], default_access={"WORKFLOW_DEF": ["READ"]}), "fin"
        )
        assert group.description == "Finance"
        assert [role.name for role in group.roles] == ["USER"]
        user = client.upsert_user(UpsertUserRequest(name="Ada", roles=["USER"]), "ada@example.com")
        assert user.name == "Ada"
        client.upsert_user(UpsertUserRequest(name="Bob", roles=["WORKER"]), "bob@example.com")
        client.add_user_to_group("fin", "ada@example.com")
        client.add_users_to_group("fin", ["bob@example.com"])
        assert {member.id for member in client.get_users_in_group("fin")} == {"ada@example.com", "bob@example.com"}
        client.remove_users_from_group("fin", ["bob@example.com"])
        client.remove_user_from_group("fin", "ada@example.com")
        assert client.get_users_in_group("fin") == []
        client.add_user_to_group("fin", "ada@example.com")
        assert [found.id for found in client.get_user("ada@example.com").groups] == ["fin"]
        assert {found.id for found in client.list_users()} == {"ada@example.com", "bob@example.com"}
        assert [found.id for found in client.list_groups()] == ["fin"]

        target = TargetRef(TargetType.WORKFLOW_DEF, "orders")
        client.grant_permissions(SubjectRef(SubjectType.GROUP, "fin"), target, [AccessType.READ, AccessType.EXECUTE])
        client.grant_permissions(SubjectRef(SubjectType.USER, "bob@example.com"), target, [AccessType.EXECUTE])
        granted = client.get_permissions(target)
        assert [(s.type, s.id) for s in granted["EXECUTE"]] == [("GROUP", "fin"), ("USER", "bob@example.com")]
        assert [(s.type, s.id) for s in granted["READ"]] == [("GROUP", "fin")]
        (of_group,) = client.get_granted_permissions_for_group("fin")
        assert (of_group.target.id, of_group.access) == ("orders", ["READ", "EXECUTE"])
        (of_user,) = client.get_granted_permissions_for_user("bob@example.com")
        assert of_user.access == ["EXECUTE"]
        checked = client.check_permissions("bob@example.com", "WORKFLOW_DEF", "orders")
        assert (checked["EXECUTE"], checked["DELETE"]) == (True, False)
        client.remove_permissions(SubjectRef(SubjectType.GROUP, "fin"), target, [AccessType.READ])
        assert "READ" not in client.get_permissions(target)
        client.delete_group("fin")
        client.delete_user("bob@example.com")
        assert client.get_permissions(target) == {}

    await in_thread(work, server)


async def test_roles(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        client = clients.get_authorization_client()
        assert "ADMIN" in client.list_system_roles()
        assert client.list_custom_roles() == []
        available = client.list_available_permissions()
        client.create_role(CreateOrUpdateRoleRequest("operator", available["WORKFLOW"]))
        assert [role.name for role in client.list_custom_roles()] == ["operator"]
        client.update_role("operator", CreateOrUpdateRoleRequest("operator", ["WORKFLOW_READ"]))
        assert client.get_role("operator")["permissions"] == [{"name": "WORKFLOW_READ"}]
        assert {"ADMIN", "USER", "WORKER", "operator"} <= {role.name for role in client.list_all_roles()}
        with pytest.raises(ApiException) as taken:
            client.create_role(CreateOrUpdateRoleRequest("operator", []))
        assert taken.value.status == 409
        client.delete_role("operator")
        assert client.list_custom_roles() == []

    await in_thread(work, server)


async def test_gateway_authentication(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        client = clients.get_authorization_client()
        config = AuthenticationConfig()
        config.id, config.application_id, config.authentication_type = "edge", "app", "API_KEY"
        config.api_keys = ["k1"]
        assert client.create_gateway_auth_config(config) == "edge"
        assert client.get_gateway_auth_config("edge").api_keys == ["k1"]
        config.api_keys = ["k2"]
        client.update_gateway_auth_config("edge", config)
        assert [found.api_keys for found in client.list_gateway_auth_configs()] == [["k2"]]
        client.delete_gateway_auth_config("edge")
        assert client.list_gateway_auth_configs() == []

    await in_thread(work, server)


async def test_secrets(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        client = clients.get_secret_client()
        client.put_secret("db_password", 'p"w\\ä')
        client.put_secret("api-key", "abc")
        assert client.get_secret("db_password") == 'p"w\\ä'
        assert client.list_all_secret_names() == {"db_password", "api-key"}
        assert client.list_secrets_that_user_can_grant_access_to() == ["api-key", "db_password"]
        assert client.secret_exists("api-key") is True
        assert client.secret_exists("none") is False
        client.set_secret_tags([MetadataTag("team", "x")], "api-key")
        assert [(tag.key, tag.value) for tag in client.get_secret_tags("api-key")] == [("team", "x")]
        client.delete_secret_tags([MetadataTag("team", "x")], "api-key")
        assert client.get_secret_tags("api-key") == []
        client.delete_secret("api-key")
        with pytest.raises(ApiException) as gone:
            client.get_secret("api-key")
        assert gone.value.status == 404

    await in_thread(work, server)


async def test_prompts_and_integrations(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        prompts, integrations = clients.get_prompt_client(), clients.get_integration_client()
        prompts.save_prompt("greet", "says hello", 'Say "hi"\nto ${name}', models=["openai:gpt"])
        prompt = prompts.get_prompt("greet")
        assert (prompt.template, prompt.variables, prompt.version) == ('Say "hi"\nto ${name}', ["name"], 1)
        assert prompt.integrations == ["openai:gpt"]
        prompts.save_prompt("greet", "again", "Hello ${name}", auto_increment=True)
        assert prompts.get_prompt("greet").version == 2
        assert [found.name for found in prompts.get_prompts()] == ["greet"]
        prompts.update_tag_for_prompt_template("greet", [MetadataTag("a", 1)])
        assert prompts.get_tags_for_prompt_template("greet")[0].value == 1
        prompts.delete_tag_for_prompt_template("greet", [MetadataTag("a", 1)])
        assert prompts.get_prompt("none") is None

        details = IntegrationUpdate(
            type="openai", category="AI_MODEL", description="models", enabled=True, configuration={"api_key": "s3cret"}
        )
        integrations.save_integration("openai", details)
        integrations.save_integration_api(
            "openai", "gpt", IntegrationApiUpdate(description="m", enabled=True, max_tokens=100)
        )
        found = integrations.get_integration("openai")
        assert (found.type, found.models_count, found.configuration) == ("openai", 1, {"api_key": "********"})
        assert integrations.get_integration_api("openai", "gpt").description == "m"
        assert [api.api for api in integrations.get_integration_apis("openai")] == ["gpt"]
        assert [one.name for one in integrations.get_integrations()] == ["openai"]
        assert integrations.get_integration_available_apis("openai") == ["gpt"]
        assert integrations.get_providers_and_integrations() == ["openai:gpt"]
        assert integrations.get_integration_provider_defs() == []
        integrations.associate_prompt_with_integration("openai", "gpt", "greet")
        assert [one.name for one in integrations.get_prompts_with_integration("openai", "gpt")] == ["greet"]
        integrations.put_tag_for_integration_provider([MetadataTag("t", "v")], "openai")
        assert len(integrations.get_tags_for_integration_provider("openai")) == 1
        integrations.delete_tag_for_integration_provider([MetadataTag("t", "v")], "openai")
        assert integrations.get_token_usage_for_integration_provider("openai") == {"gpt": "0"}
        assert integrations.get_integration("none") is None
        integrations.delete_integration("openai")
        prompts.delete_prompt("greet")

    await in_thread(work, server)


async def test_schemas(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        client = clients.get_schema_client()
        client.register_schema(SchemaDef("order", 1, SchemaType.JSON, {"type": "object"}))
        client.register_schema(SchemaDef("order", 2, SchemaType.JSON, {"type": "array"}))
        assert client.get_schema("order", 1).data == {"type": "object"}
        assert [found.version for found in client.get_all_schemas()] == [1, 2]
        client.delete_schema("order", 1)
        client.delete_schema_by_name("order")
        assert client.get_all_schemas() == []

    await in_thread(work, server)


async def test_tags_of_definitions(server: Served) -> None:
    def work(clients: OrkesClients) -> None:
        client = clients.get_metadata_client()
        client.add_workflow_tag(MetadataTag("team", "a"), "orders")
        client.set_workflow_tags([MetadataTag("n", 1), MetadataTag("team", "b")], "orders")
        assert [(tag.key, tag.value) for tag in client.get_workflow_tags("orders")] == [("n", 1), ("team", "b")]
        client.delete_workflow_tag(MetadataTag("team", "b"), "orders")
        assert [tag.key for tag in client.get_workflow_tags("orders")] == ["n"]
        client.setWorkflowRateLimit(5, "orders")
        assert client.getWorkflowRateLimit("orders") == 5
        client.removeWorkflowRateLimit("orders")
        assert client.getWorkflowRateLimit("orders") is None
        client.addTaskTag(MetadataTag("x", "y"), "charge")
        client.setTaskTags([MetadataTag("z", True)], "charge")
        assert client.getTaskTags("charge")[0].value is True
        client.deleteTaskTag(MetadataTag("z", True), "charge")
        assert client.getTaskTags("charge") == []

    await in_thread(work, server)
