"""Applications and their access keys."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from tenuto.server.collection import checked_name
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.identity.directory import Directory, hash_of
from tenuto.server.identity.records import APPLICATION_USER, AccessKey, Application
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family
from tenuto.server.tags import Tag

logger = logging.getLogger("tenuto.server")

applications = Family("Applications", "APPLICATION")


class ApplicationRequest(Struct):
    name: str


class ApplicationView(Struct, rename="camel", kw_only=True):
    id: str
    name: str
    created_by: str
    create_time: int
    updated_by: str
    update_time: int
    tags: list[Tag]


class NewKey(Struct):
    """An access key when it is made: the only time that its secret is shown."""

    id: str
    secret: str


class KeyView(Struct, rename="camel"):
    id: str
    status: str
    created_at: int


@applications.post("/applications", body=ApplicationRequest, answer=ApplicationView)
async def create(call: Call) -> Response:
    """Create an application."""
    name = checked_name((await call.decode(ApplicationRequest)).name, "an application")
    now, by = call.services.now_ms(), call.caller.name
    application = Application(
        id=call.services.new_id(), name=name, created_by=by, create_time=now, updated_by=by, update_time=now
    )
    await _directory(call).applications.put(application.id, application)
    return json_response(_view(call, application))


@applications.get("/applications", answer=list[ApplicationView])
async def everything(call: Call) -> Response:
    """All applications."""
    return json_response([_view(call, application) for application in _directory(call).applications.all()])


@applications.get("/applications/key/{key}", answer=ApplicationView)
async def by_key(call: Call) -> Response:
    """The application that an access key belongs to."""
    key = _directory(call).keys.get(call.path_params["key"])
    application = None if key is None else _directory(call).applications.get(key.application_id)
    if application is None:
        raise not_found(f"there is no access key {call.path_params['key']!r}")
    return json_response(_view(call, application))


@applications.get("/applications/{id}", answer=ApplicationView, target="id")
async def get(call: Call) -> Response:
    """One application."""
    return json_response(_view(call, _existing(call)))


@applications.put("/applications/{id}", body=ApplicationRequest, answer=ApplicationView, target="id")
async def update(call: Call) -> Response:
    """Rename an application."""
    name = checked_name((await call.decode(ApplicationRequest)).name, "an application")
    now, by = call.services.now_ms(), call.caller.name
    application = await _change(call, lambda before: replace(before, name=name, updated_by=by, update_time=now))
    return json_response(_view(call, application))


@applications.delete("/applications/{id}", target="id")
async def delete(call: Call) -> Response:
    """Delete an application with its access keys."""
    directory, application = _directory(call), _existing(call)
    for key in _keys(call, application.id):
        await directory.keys.delete(key.id)
    await directory.applications.delete(application.id)
    await directory.forget("USER", APPLICATION_USER + application.id)
    await call.services.configuration.tags.forget("APPLICATION", application.id)
    _warn_if_unguarded(call)
    return empty()


@applications.post("/applications/{id}/roles/{role}", access="UPDATE")
async def add_role(call: Call) -> Response:
    """Give an application a role."""
    role = call.path_params["role"]
    if not _directory(call).has_role(role):
        raise bad_request(f"there is no role {role!r}; GET /api/roles lists them")
    _must_cover(call, Application(id="", name="", roles=[role]))
    await _change(call, lambda before: replace(before, roles=[*(r for r in before.roles if r != role), role]))
    return empty()


@applications.delete("/applications/{id}/roles/{role}", access="UPDATE")
async def remove_role(call: Call) -> Response:
    """Take a role from an application."""
    role = call.path_params["role"]
    await _change(call, lambda before: replace(before, roles=[r for r in before.roles if r != role]))
    _warn_if_unguarded(call)
    return empty()


@applications.post("/applications/{id}/accessKeys", answer=NewKey)
async def create_key(call: Call) -> Response:
    """Create an access key. Its secret is shown now and never again. The first key of all closes an open server."""
    directory, application = _directory(call), _existing(call)
    _must_cover(call, application)
    if directory.is_open and not application.roles:
        # Nobody could do anything on a server whose only key may nothing.
        await _change(call, lambda before: replace(before, roles=["ADMIN"]))
        logger.warning("the application %r has the first access key and becomes ADMIN", application.name)
    secret = secrets.token_urlsafe(32)
    key = AccessKey(
        id=call.services.new_id(),
        application_id=application.id,
        secret_hash=hash_of(secret),
        created_at=call.services.now_ms(),
    )
    await directory.keys.put(key.id, key)
    _warn_if_unguarded(call)
    return json_response(NewKey(key.id, secret))


@applications.get("/applications/{id}/accessKeys", answer=list[KeyView])
async def keys(call: Call) -> Response:
    """The access keys of an application, without their secrets."""
    return json_response([_key_view(key) for key in _keys(call, _existing(call).id)])


@applications.post("/applications/{id}/accessKeys/{key}/status", answer=KeyView, access="UPDATE")
async def toggle_key(call: Call) -> Response:
    """Switch an access key off or on. Tokens of a key that is off are refused at once."""
    _existing_key(call)

    def toggled(before: AccessKey | None) -> AccessKey:
        if before is None:
            raise _unknown_key(call)
        return replace(before, status="INACTIVE" if before.status == "ACTIVE" else "ACTIVE")

    key = await _directory(call).keys.change(call.path_params["key"], toggled)
    _warn_if_unguarded(call)
    return json_response(_key_view(key))


@applications.delete("/applications/{id}/accessKeys/{key}")
async def delete_key(call: Call) -> Response:
    """Delete an access key. Tokens of it are refused at once; with the last key of all the server becomes open."""
    await _directory(call).keys.delete(_existing_key(call).id)
    _warn_if_unguarded(call)
    return empty()


def _existing(call: Call) -> Application:
    application = _directory(call).applications.get(call.path_params["id"])
    if application is None:
        raise not_found(f"there is no application {call.path_params['id']!r}")
    return application


def _existing_key(call: Call) -> AccessKey:
    key = _directory(call).keys.get(call.path_params["key"])
    if key is None or key.application_id != _existing(call).id:
        raise _unknown_key(call)
    return key


def _must_cover(call: Call, application: Application) -> None:
    """Nobody gets more rights through an application than it has already."""
    if not call.caller.covers(_directory(call).caller_of(application)):
        raise ApiError(403, "the application would have rights that the caller has not", code="FORBIDDEN")


def _unknown_key(call: Call) -> ApiError:
    return not_found(f"the application {call.path_params['id']!r} has no access key {call.path_params['key']!r}")


async def _change(call: Call, change: Callable[[Application], Application]) -> Application:
    def changed(before: Application | None) -> Application:
        if before is None:
            raise not_found(f"there is no application {call.path_params['id']!r}")
        return change(before)

    return await _directory(call).applications.change(call.path_params["id"], changed)


def _must_exist(call: Call) -> None:
    _existing(call)


tag_routes(applications, "/applications/{id}/tags", "APPLICATION", ("id",), must_exist=_must_exist)


def _keys(call: Call, application_id: str) -> list[AccessKey]:
    return [key for key in _directory(call).keys.all() if key.application_id == application_id]


def _warn_if_unguarded(call: Call) -> None:
    directory = call.services.configuration.directory
    if directory.is_open:
        logger.warning("there is no access key: this server is open, everybody who reaches it may do everything")
    elif not directory.has_admin:
        logger.warning(
            "no active access key has the role ADMIN; TENUTO_ADMIN_KEY=id:secret at the next start gives one"
        )


def _view(call: Call, application: Application) -> ApplicationView:
    return ApplicationView(
        id=application.id,
        name=application.name,
        created_by=application.created_by,
        create_time=application.create_time,
        updated_by=application.updated_by,
        update_time=application.update_time,
        tags=call.services.configuration.tags.of("APPLICATION", application.id),
    )


def _key_view(key: AccessKey) -> KeyView:
    return KeyView(key.id, key.status, key.created_at)


def _directory(call: Call) -> Directory:
    return call.services.configuration.directory
