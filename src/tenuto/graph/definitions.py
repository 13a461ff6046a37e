"""Workflow and task definitions, in the form that Conductor's API takes and shows.

Durations are seconds unless the name says otherwise. Instances are never changed once they are decoded.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, field

from tenuto.graph.checks.problem import under
from tenuto.model.json_values import Json, decode_json, encode_json, is_nested_deeper
from tenuto.model.lenient import convert_leniently

T = TypeVar("T")

_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(\w+)`")

#: How deep a definition may be nested.
DEPTH = 100

Seconds = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class DefinitionError(Exception):
    """A document is not a definition; `path` says where."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{message} at {path}" if path else message)
        self.path = path
        self.message = message


class Auditable(Struct, kw_only=True, rename="camel", omit_defaults=True):
    owner_app: str | None = None
    create_time: int | None = None
    update_time: int | None = None
    created_by: str | None = None
    updated_by: str | None = None
    access_policy: dict[str, Json] | None = None


class SchemaDef(Auditable, kw_only=True, rename="camel", omit_defaults=True):
    name: str = ""
    version: int = 1
    type: Literal["JSON", "AVRO", "PROTOBUF"] = "JSON"
    data: Json = None
    external_ref: str | None = None


class StateChangeEvent(Struct, kw_only=True, rename="camel", omit_defaults=True):
    type: str
    payload: dict[str, Json] = {}


class CacheConfig(Struct, kw_only=True, rename="camel", omit_defaults=True):
    key: str | None = None
    ttl_in_second: int = 0


class RateLimitConfig(Struct, kw_only=True, rename="camel", omit_defaults=True):
    rate_limit_key: str | None = None
    concurrent_exec_limit: int = 0
    policy: Literal["QUEUE", "REJECT"] = "QUEUE"


class InputExpression(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The whole input of a task as one expression, without `${}`."""

    expression: str
    type: str = "JSON_PATH"


class TaskDef(Auditable, kw_only=True, rename="camel", omit_defaults=True):
    name: str = ""
    """May be missing only where it stands inside of a workflow's task."""
    description: str | None = None
    retry_count: Count = 3
    timeout_seconds: Seconds = 0
    timeout_policy: Literal["RETRY", "TIME_OUT_WF", "ALERT_ONLY"] = "TIME_OUT_WF"
    retry_logic: Literal["FIXED", "EXPONENTIAL_BACKOFF", "LINEAR_BACKOFF"] = "FIXED"
    retry_delay_seconds: Seconds = 60
    response_timeout_seconds: Seconds = 3600
    poll_timeout_seconds: Seconds | None = None
    total_timeout_seconds: Seconds = 0
    backoff_scale_factor: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 1
    max_retry_delay_seconds: Seconds = 0
    backoff_jitter_ms: Count = 0
    concurrent_exec_limit: Count | None = None
    rate_limit_per_frequency: Count | None = None
    rate_limit_frequency_in_seconds: Seconds | None = None
    input_template: dict[str, Json] = {}
    input_keys: list[str] = []
    output_keys: list[str] = []
    isolation_group_id: str | None = None
    execution_name_space: str | None = None
    owner_email: str | None = None
    input_schema: SchemaDef | None = None
    output_schema: SchemaDef | None = None
    enforce_schema: bool = False
    base_type: str | None = None
    task_status_listener_enabled: bool = True
    runtime_metadata: list[str] = []


class SubWorkflowParams(Struct, kw_only=True, rename="camel", omit_defaults=True):
    name: str | None = None
    version: int | str | None = None
    task_to_domain: dict[str, str] | str | None = None
    workflow_definition: WorkflowDef | str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: str | None = None
    priority: int | str | None = None


class WorkflowTask(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """A node of a workflow definition."""

    name: str = ""
    task_reference_name: str = ""
    description: str | None = None
    type: str = "SIMPLE"
    input_parameters: dict[str, Json] = {}
    input_expression: InputExpression | None = None
    start_delay: Seconds = 0
    optional: bool = False
    permissive: bool = False
    async_complete: bool = False
    retry_count: Count | None = None
    task_definition: TaskDef | None = None
    rate_limited: bool | None = None
    metadata: dict[str, Json] = {}
    on_state_change: dict[str, list[StateChangeEvent]] = {}
    cache_config: CacheConfig | None = None
    dynamic_task_name_param: str | None = None
    decision_cases: dict[str, list[WorkflowTask]] = {}
    default_case: list[WorkflowTask] = []
    evaluator_type: str | None = None
    expression: str | None = None
    case_value_param: str | None = None
    case_expression: str | None = None
    script_expression: str | None = None
    fork_tasks: list[list[WorkflowTask]] = []
    join_on: list[str] = []
    join_mode: str | None = None
    join_status: str | None = None
    default_exclusive_join_task: list[str] = []
    dynamic_fork_tasks_param: str | None = None
    dynamic_fork_tasks_input_param_name: str | None = None
    dynamic_fork_join_tasks_param: str | None = None
    sub_workflow_param: SubWorkflowParams | None = None
    sink: str | None = None
    loop_condition: str | None = None
    loop_over: list[WorkflowTask] = []
    items: Json = None


class WorkflowDef(Auditable, kw_only=True, rename="camel", omit_defaults=True):
    name: str
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 1
    description: str | None = None
    tasks: list[WorkflowTask] = []
    input_parameters: list[str] = []
    output_parameters: dict[str, Json] = {}
    failure_workflow: str | None = None
    failure_workflow_version: int | None = None
    schema_version: int = 2
    restartable: bool = True
    workflow_status_listener_enabled: bool = False
    workflow_status_listener_sink: str | None = None
    owner_email: str | None = None
    timeout_policy: Literal["TIME_OUT_WF", "ALERT_ONLY"] = "ALERT_ONLY"
    timeout_seconds: Seconds = 0
    variables: dict[str, Json] = {}
    input_template: dict[str, Json] = {}
    rate_limit_config: RateLimitConfig | None = None
    input_schema: SchemaDef | None = None
    output_schema: SchemaDef | None = None
    enforce_schema: bool = True
    metadata: dict[str, Json] = {}
    cache_config: CacheConfig | None = None
    masked_fields: list[str] = []


class Snapshot(Struct, kw_only=True, omit_defaults=True):
    """All definitions that an execution uses, as they were when it began."""

    workflow: WorkflowDef
    tasks: dict[str, TaskDef] = field(default_factory=dict)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as it is stored."""
    return _encoder.encode(snapshot)


@lru_cache(maxsize=512)
def decode_snapshot(data: bytes) -> Snapshot:
    """The reverse of `encode_snapshot`; executions of one definition share the object."""
    return _decoder.decode(data)


def decode_workflow_def(data: Json) -> WorkflowDef:
    """A workflow definition. Raises DefinitionError."""
    return _decode(data, WorkflowDef, "a workflow definition")


def decode_task_def(data: Json) -> TaskDef:
    """A task definition. Raises DefinitionError."""
    return _decode(data, TaskDef, "a task definition")


def decode_workflow_task(data: Json) -> WorkflowTask:
    """One task of a workflow definition. Raises DefinitionError."""
    return _decode(data, WorkflowTask, "a task of a workflow")


def _decode(data: Json, kind: type[T], what: str) -> T:
    if not isinstance(data, dict):
        raise DefinitionError("", f"{what} must be an object")
    if is_nested_deeper(data, DEPTH):
        raise DefinitionError("", f"{what} may be nested {DEPTH} deep")
    try:
        return convert_leniently(data, kind)
    except msgspec.ValidationError as error:
        problem = str(error)
    path = _path(problem, data, kind)
    missing = _MISSING.match(problem)
    if missing is not None:
        raise DefinitionError(f"{path}.{missing[1]}".lstrip("."), "this field is missing")
    raise DefinitionError(path, problem.partition(" - at `$")[0] + _choices(path, kind))


def _choices(path: str, kind: type[Any]) -> str:
    """What may be written in a field that allows certain words only."""
    of_task = kind is TaskDef or ".taskDefinition." in path
    for holder in (TaskDef, SchemaDef) if of_task else (WorkflowDef, RateLimitConfig, SchemaDef):
        for each in msgspec.structs.fields(holder):
            if each.encode_name == path.rpartition(".")[2] and get_origin(each.type) is Literal:
                return f"; it must be one of {', '.join(get_args(each.type))}"
    return ""


def _problem(data: Json, kind: type[Any]) -> str:
    try:
        convert_leniently(data, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _path(problem: str, data: Json, kind: type[Any]) -> str:
    """Where the problem is. msgspec doesn't tell the keys of maps: they are found by leaving out half of them."""
    place = copied = decode_json(encode_json(data))
    path = ""
    for name, index in _STEP.findall(problem.partition(" - at `$")[2]):
        if name:
            place, path = place[name], under(path, name)
        elif index != "...":
            place, path = place[int(index)], f"{path}[{index}]"
        else:
            entries = list(place.items())
            while len(entries) > 1:
                half = len(entries) // 2
                place.clear()
                place.update(entries[:half])
                entries = entries[:half] if _problem(copied, kind) == problem else entries[half:]
            place.clear()
            place.update(entries)
            place, path = entries[0][1], under(path, entries[0][0])
    return path


def to_json(definition: Struct) -> dict[str, Json]:
    """The wire form: what is None is left out, everything else written."""
    plain: dict[str, Json] = _plain(definition)
    return plain


def compact(definition: Struct) -> dict[str, Json]:
    """The wire form without what is as by default: what an execution keeps of it."""
    plain: dict[str, Json] = msgspec.to_builtins(definition)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        plain: dict[str, Json] = {}
        for name, encoded_name in _field_names(type(value)):
            item = getattr(value, name)
            if item is not None:
                plain[encoded_name] = _plain(item)
        return plain
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


@cache
def _field_names(kind: type[Struct]) -> list[tuple[str, str]]:
    return [(each.name, each.encode_name) for each in msgspec.structs.fields(kind)]
