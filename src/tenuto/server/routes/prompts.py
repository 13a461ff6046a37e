"""Prompt templates."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field
from msgspec.structs import asdict
from starlette.responses import Response

from tenuto.server.collection import checked_name
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.prompts import Prompt, Prompts, models_of
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family, Text
from tenuto.server.tags import Tag

prompts = Family("Prompts", "PROMPT")


class SaveQuery(Struct, rename="camel"):
    description: str = ""
    models: list[str] = []
    version: Annotated[int, Meta(ge=1, le=999_999_999)] | None = None
    auto_increment: bool = False


class VersionQuery(Struct):
    version: int | None = None


class PromptView(Prompt, rename="camel", kw_only=True):
    """A prompt as clients know it: with its tags, and each time under both of its names."""

    tags: list[Tag] = field(default_factory=list)
    created_on: int = 0
    updated_on: int = 0


class PromptTest(Struct, rename="camel"):
    prompt: str = ""
    llm_provider: str = ""
    model: str = ""
    prompt_variables: dict[str, Any] = {}
    temperature: float | None = None
    top_p: float | None = None
    stop_words: list[str] = []


@prompts.post("/prompts/{name}", query=SaveQuery, body=Text)
@prompts.put("/prompts/{name}", query=SaveQuery, body=Text)
async def save(call: Call) -> Response:
    """Create or replace a prompt; the body is the template. Replaces the latest version unless told otherwise."""
    name = checked_name(call.path_params["name"], "a prompt")
    query = call.query(SaveQuery)
    template = await call.raw_text()
    if not template.strip():
        raise bad_request("the body must be the text of the prompt")
    stored = _prompts(call)
    latest = stored.latest(name)
    version = query.version or (latest.version if latest else 1)
    if query.auto_increment and query.version is None and latest is not None:
        version = latest.version + 1
    before = next((prompt for prompt in stored.versions(name) if prompt.version == version), None)
    now, by = call.services.now_ms(), call.caller.name
    prompt = Prompt(
        name=name,
        version=version,
        template=template,
        description=query.description,
        integrations=models_of(query.models),
        created_by=before.created_by if before else by,
        create_time=before.create_time if before else now,
        updated_by=by,
        update_time=now,
    )
    await stored.save(prompt)
    return empty()


@prompts.get("/prompts", answer=list[PromptView])
async def everything(call: Call) -> Response:
    """The latest version of every prompt."""
    return json_response([view(call, prompt) for prompt in _prompts(call).latest_of_all()])


@prompts.get("/prompts/{name}", query=VersionQuery, answer=PromptView)
async def get(call: Call) -> Response:
    """A prompt: its latest version, or the one asked for."""
    wanted = call.query(VersionQuery).version
    versions = _existing(call)
    found = [prompt for prompt in versions if wanted in (None, prompt.version)]
    if not found:
        raise not_found(f"there is no version {wanted} of the prompt {call.path_params['name']!r}")
    return json_response(view(call, found[-1]))


@prompts.get("/prompts/{name}/versions", answer=list[PromptView])
async def versions(call: Call) -> Response:
    """All versions of a prompt, oldest first."""
    return json_response([view(call, prompt) for prompt in _existing(call)])


@prompts.delete("/prompts/{name}")
async def delete(call: Call) -> Response:
    """Delete all versions of a prompt."""
    name = call.path_params["name"]
    if not await _prompts(call).remove(name):
        raise _unknown(name)
    await call.services.configuration.tags.forget("PROMPT", name)
    return empty()


@prompts.post("/prompts/test", body=PromptTest, answer=Text, access="EXECUTE")
async def try_out(call: Call) -> Response:
    """Run a prompt against a model."""
    request = await call.decode(PromptTest)
    raise ApiError(
        501,
        f"this server can't call models yet, so {request.model or 'the model'} was not asked; prompts are only kept",
    )


def view(call: Call, prompt: Prompt) -> PromptView:
    """A prompt as it is shown."""
    tags = call.services.configuration.tags.of("PROMPT", prompt.name)
    return PromptView(**asdict(prompt), tags=tags, created_on=prompt.create_time, updated_on=prompt.update_time)


def _existing(call: Call) -> list[Prompt]:
    name = call.path_params["name"]
    found = _prompts(call).versions(name)
    if not found:
        raise _unknown(name)
    return found


def _must_exist(call: Call) -> None:
    _existing(call)


tag_routes(prompts, "/prompts/{name}/tags", "PROMPT", must_exist=_must_exist)


def _unknown(name: str) -> ApiError:
    return not_found(f"there is no prompt {name!r}")


def _prompts(call: Call) -> Prompts:
    return call.services.configuration.prompts
