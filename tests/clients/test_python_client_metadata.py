"""Definitions, tags and stored configuration through the published Python client, kept by a real server."""

import pytest
from conductor.client.http.api.event_resource_api import EventResourceApi
from conductor.client.http.models.event_handler import EventHandler
from conductor.client.http.models.integration_api_update import IntegrationApiUpdate
from conductor.client.http.models.integration_update import IntegrationUpdate
from conductor.client.http.models.save_schedule_request import SaveScheduleRequest
from conductor.client.http.models.schema_def import SchemaDef, SchemaType
from conductor.client.http.models.start_workflow_request import StartWorkflowRequest
from conductor.client.http.models.task_def import TaskDef
from conductor.client.http.models.workflow_def import WorkflowDef
from conductor.client.http.models.workflow_task import WorkflowTask
from conductor.client.http.rest import ApiException
from conductor.client.orkes.models.metadata_tag import MetadataTag
from conductor.client.orkes_clients import OrkesClients

from tests.clients.definitions import register, start, take, task
from tests.clients.server_process import until

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


def test_task_definitions(clients: OrkesClients, unique: str) -> None:
    metadata = clients.get_metadata_client()
    definition = TaskDef(
        name=unique,
        description="d",
        retry_count=2,
        retry_logic="EXPONENTIAL_BACKOFF",
        retry_delay_seconds=1,
        timeout_seconds=30,
        total_timeout_seconds=60,
        timeout_policy="RETRY",
        response_timeout_seconds=20,
        poll_timeout_seconds=15,
        concurrent_exec_limit=3,
        rate_limit_per_frequency=10,
        rate_limit_frequency_in_seconds=5,
        input_template={"a": 1},
        input_keys=["a"],
        output_keys=["b"],
        owner_email="a@example.com",
        backoff_scale_factor=2,
    )
    metadata.register_task_def(definition)
    found = metadata.get_task_def(unique)
    for name in TaskDef.attribute_map:
        given = getattr(definition, name)
        if given is not None and name != "enforce_schema":
            assert getattr(found, name) == given, name
    definition.retry_count = 5
    metadata.update_task_def(definition)
    assert metadata.get_task_def(unique).retry_count == 5
    assert unique in {each.name for each in metadata.get_all_task_defs()}
    metadata.unregister_task_def(unique)
    with pytest.raises(ApiException) as gone:
        metadata.get_task_def(unique)
    assert gone.value.is_not_found()
    with pytest.raises(ApiException) as unknown:
        metadata.update_task_def(definition)
    assert unknown.value.status == 404


def test_workflow_definitions(clients: OrkesClients, unique: str) -> None:
    metadata = clients.get_metadata_client()
    tasks = [WorkflowTask(name="a", task_reference_name="a", type="SIMPLE", input_parameters={"x": {"y": [None, 1.5]}})]
    first, second = (WorkflowDef(name=unique, version=version, tasks=tasks, timeout_seconds=0) for version in (1, 2))
    metadata.register_workflow_def(first, overwrite=False)
    metadata.register_workflow_def(second, overwrite=False)
    with pytest.raises(ApiException) as taken:
        metadata.register_workflow_def(first, overwrite=False)
    assert taken.value.status == 409
    first.description = "changed"
    metadata.update_workflow_def(first)
    assert metadata.get_workflow_def(unique, 1).description == "changed"
    latest = metadata.get_workflow_def(unique)
    assert (latest.version, latest.tasks[0].input_parameters) == (2, {"x": {"y": [None, 1.5]}})
    assert {(each.name, each.version) for each in metadata.get_all_workflow_defs()} >= {(unique, 1), (unique, 2)}
    metadata.unregister_workflow_def(unique, 2)
    assert metadata.get_workflow_def(unique).version == 1


def test_a_definition_that_cannot_run_is_refused(clients: OrkesClients, unique: str) -> None:
    twice = [task("a", "NOOP"), task("a", "NOOP")]
    with pytest.raises(ApiException) as refused:
        clients.get_metadata_client().register_workflow_def(WorkflowDef(name=unique, version=1, tasks=twice))
    assert (refused.value.status, "tasks[1]" in refused.value.message) == (400, True)


def test_tags_and_rate_limits(clients: OrkesClients, unique: str) -> None:
    metadata = clients.get_metadata_client()
    register(clients, unique, task(unique))
    metadata.add_workflow_tag(MetadataTag("team", "a"), unique)
    metadata.set_workflow_tags([MetadataTag("n", 1)], unique)
    metadata.setTaskTags([MetadataTag("z", True)], unique)
    assert [(tag.key, tag.value) for tag in metadata.get_workflow_tags(unique)] == [("n", 1)]
    assert metadata.getTaskTags(unique)[0].value is True
    metadata.setWorkflowRateLimit(1, unique)
    assert metadata.getWorkflowRateLimit(unique) == 1
    first, second = start(clients, unique), start(clients, unique)
    assert take(clients, unique).workflow_instance_id == first
    assert clients.get_workflow_client().get_workflow(second).tasks == []
    clients.get_workflow_client().terminate_workflow(first)
    assert take(clients, unique).workflow_instance_id == second
    metadata.removeWorkflowRateLimit(unique)
    assert metadata.getWorkflowRateLimit(unique) is None


def test_schedules(clients: OrkesClients, unique: str) -> None:
    schedules = clients.get_scheduler_client()
    register(clients, unique, task(unique, "NOOP"))
    request = SaveScheduleRequest(
        name=unique,
        cron_expression="* * * * * ?",
        start_workflow_request=StartWorkflowRequest(name=unique, version=1, input={"a": 1}),
        description="often",
    )
    schedules.save_schedule(request)
    found = until(lambda: clients.get_workflow_client().search(query=f"workflowType='{unique}'").results)
    execution = clients.get_workflow_client().get_workflow(found[0].workflow_id)
    assert (execution.input["a"], execution.input["_startedByScheduler"]) == (1, unique)

    schedules.pause_schedule(unique, "a break")
    paused = schedules.get_schedule(unique)
    assert (paused.paused, paused.cron_expression, paused.start_workflow_request.name) == (True, "* * * * * ?", unique)
    schedules.resume_schedule(unique)
    assert schedules.get_schedule(unique).paused is False
    assert [each.name for each in schedules.get_all_schedules(unique)] == [unique]
    assert len(schedules.get_next_few_schedule_execution_times("0 0 12 * * ?", limit=3)) == 3
    executions = until(lambda: schedules.search_schedule_executions(query=f"workflowType='{unique}'").results)
    assert (executions[0].schedule_name, executions[0].state) == (unique, "EXECUTED")
    schedules.set_scheduler_tags([MetadataTag("k", "v")], unique)
    assert [(tag.key, tag.value) for tag in schedules.get_scheduler_tags(unique)] == [("k", "v")]
    schedules.delete_scheduler_tags([MetadataTag("k", "v")], unique)
    schedules.pause_all_schedules()
    schedules.resume_all_schedules()
    schedules.requeue_all_execution_records()
    schedules.delete_schedule(unique)
    with pytest.raises(ApiException) as gone:
        schedules.get_schedule(unique)
    assert gone.value.status == 404


def test_secrets_reach_only_the_worker(clients: OrkesClients, unique: str) -> None:
    secrets = clients.get_secret_client()
    secrets.put_secret(unique, 'pä"ss\nword')
    assert secrets.get_secret(unique) == 'pä"ss\nword'
    assert (secrets.secret_exists(unique), secrets.secret_exists(f"{unique}_none")) == (True, False)
    assert unique in secrets.list_all_secret_names()
    assert unique in secrets.list_secrets_that_user_can_grant_access_to()
    secrets.set_secret_tags([MetadataTag("k", "v")], unique)
    assert secrets.get_secret_tags(unique)[0].value == "v"
    secrets.delete_secret_tags([MetadataTag("k", "v")], unique)

    register(clients, unique, task(unique, inputs={"key": f"${{workflow.secrets.{unique}}}"}))
    workflow_id = start(clients, unique)
    assert take(clients, unique).input_data == {"key": 'pä"ss\nword'}
    shown = clients.get_workflow_client().get_workflow(workflow_id)
    assert shown.tasks[0].input_data == {"key": f"${{workflow.secrets.{unique}}}"}
    secrets.delete_secret(unique)


def test_schemas(clients: OrkesClients, unique: str) -> None:
    schemas = clients.get_schema_client()
    schemas.register_schema(SchemaDef(unique, 1, SchemaType.JSON, {"type": "object", "required": ["a"]}))
    assert schemas.get_schema(unique, 1).data == {"type": "object", "required": ["a"]}
    assert unique in {each.name for each in schemas.get_all_schemas()}
    register(clients, unique, task(unique, "NOOP"), input_schema=SchemaDef(unique, 1), enforce_schema=True)
    with pytest.raises(ApiException) as refused:
        start(clients, unique, input={"b": 1})
    assert refused.value.status == 400
    start(clients, unique, input={"a": 1})
    schemas.delete_schema(unique, 1)
    schemas.register_schema(SchemaDef(unique, 2, SchemaType.JSON, {}))
    schemas.delete_schema_by_name(unique)


def test_prompts_and_integrations(clients: OrkesClients, unique: str) -> None:
    prompts, integrations = clients.get_prompt_client(), clients.get_integration_client()
    details = IntegrationUpdate(
        type="openai", category="AI_MODEL", description="models", enabled=True, configuration={"api_key": "s3cret"}
    )
    integrations.save_integration(unique, details)
    model = IntegrationApiUpdate(description="m", enabled=True, configuration={})
    integrations.save_integration_api(unique, "gpt", model)
    assert [each.api for each in integrations.get_integration_apis(unique)] == ["gpt"]
    assert integrations.get_integration(unique).configuration != {"api_key": "s3cret"}
    prompts.save_prompt(unique, "says hello", 'Say "hi"\nto ${name}', models=[f"{unique}:gpt"])
    prompt = prompts.get_prompt(unique)
    assert (prompt.template, prompt.variables) == ('Say "hi"\nto ${name}', ["name"])
    integrations.associate_prompt_with_integration(unique, "gpt", unique)
    assert [each.name for each in integrations.get_prompts_with_integration(unique, "gpt")] == [unique]
    integrations.delete_integration(unique)
    prompts.delete_prompt(unique)
    assert prompts.get_prompt(unique) is None


def test_event_handlers(clients: OrkesClients, unique: str) -> None:
    events = EventResourceApi(clients.get_workflow_client().api_client)
    register(clients, f"{unique}_target", task(unique, "NOOP"))
    register(clients, unique, task("publish", "EVENT", {"x": 1}, sink="conductor:done"))
    event = f"conductor:{unique}:done"
    action = {"action": "start_workflow", "start_workflow": {"name": f"{unique}_target", "input": {"got": "${x}"}}}
    handler = EventHandler(name=unique, event=event, actions=[action], active=True)
    events.add_event_handler(handler)
    assert [each.name for each in events.get_event_handlers_for_event(event)] == [unique]
    assert unique in {each.name for each in events.get_event_handlers()}
    start(clients, unique)
    started = until(lambda: clients.get_workflow_client().search(query=f"workflowType='{unique}_target'").results)
    assert clients.get_workflow_client().get_workflow(started[0].workflow_id).input["got"] == 1
    handler.active = False
    events.update_event_handler(handler)
    assert events.get_event_handlers_for_event(event, active_only=True) == []
    events.remove_event_handler_status(unique)
    assert events.get_event_handlers_for_event(event) == []
