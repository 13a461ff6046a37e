"""Tags, of whatever can have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response

from tenuto.server.collection import SEPARATOR
from tenuto.server.errors import ApiError
from tenuto.server.http import Call, empty, json_response
from tenuto.server.routing import Family
from tenuto.server.tags import Tag

definitions = Family("Tags", "METADATA")
tasks = Family("Tags", "TASK_METADATA")
schedules = Family("Tags", "SCHEDULER")

#: Tags that one thing can have.
MOST_TAGS = 1_000

Exists = Callable[[Call], None]


def tag_routes(
    family: Family, path: str, kind: str, names: Sequence[str] = ("name",), *, must_exist: Exists | None = None
) -> None:
    """Declare the tags of the things of one kind under `path`.

    `names` are the segments that name the thing; the first is what grants are given for. `must_exist` raises ApiError
    if there is no such thing."""

    def thing(call: Call) -> str:
        if must_exist is not None:
            must_exist(call)
        return SEPARATOR.join(call.path_params[name] for name in names)

    @family.get(path, answer=list[Tag], target=names[0])
    async def tags(call: Call) -> Response:
        """The tags."""
        return json_response(call.services.configuration.tags.of(kind, thing(call)))

    @family.put(path, body=list[Tag], target=names[0])
    async def set_tags(call: Call) -> Response:
        """Replace all tags."""
        await call.services.configuration.tags.set(kind, thing(call), await _given(call))
        return empty()

    @family.post(path, body=Tag, target=names[0], access="UPDATE")
    async def add_tags(call: Call) -> Response:
        """Add a tag, or several."""
        await call.services.configuration.tags.add(kind, thing(call), await _given(call))
        return empty()

    @family.delete(path, body=list[Tag], target=names[0], access="UPDATE")
    async def remove_tags(call: Call) -> Response:
        """Take a tag away, or several."""
        await call.services.configuration.tags.remove(kind, thing(call), await _given(call))
        return empty()


async def _given(call: Call) -> list[Tag]:
    given: Tag | list[Tag] = await call.decode(Tag | list[Tag])  # type: ignore[arg-type]  # a union is a type to msgspec
    tags = given if isinstance(given, list) else [given]
    if len(tags) > MOST_TAGS:
        raise ApiError(400, f"{len(tags)} tags at once; at most {MOST_TAGS} are possible")
    return tags


tag_routes(definitions, "/metadata/workflow/{name}/tags", "WORKFLOW_DEF")
tag_routes(tasks, "/metadata/task/{name}/tags", "TASK_DEF")
tag_routes(schedules, "/scheduler/schedules/{name}/tags", "SCHEDULE")


@definitions.get("/metadata/tags", answer=list[Tag])
async def all_tags(call: Call) -> Response:
    """Every tag in use, once."""
    tags = call.services.configuration.tags
    return json_response(list({str(tag): tag for of_one in tags.all() for tag in of_one}.values()))
