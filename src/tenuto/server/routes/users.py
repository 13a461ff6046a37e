"""Users and groups."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from tenuto.server.collection import checked_name
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.identity.access import ACCESSES, TARGET_KINDS
from tenuto.server.identity.directory import Directory
from tenuto.server.identity.records import APPLICATION_USER, Application, Grant, Group, User
from tenuto.server.routing import Family

users = Family("Users", "ADMIN")
groups = Family("Groups", "ADMIN")


class UserRequest(Struct, rename="camel"):
    name: str = ""
    roles: list[str] = []
    groups: list[str] = []
    contact_information: dict[str, str] = {}


class GroupRequest(Struct, rename="camel"):
    description: str = ""
    roles: list[str] = []
    default_access: dict[str, list[str]] = {}
    contact_information: dict[str, str] = {}


class ListQuery(Struct):
    apps: bool = False


class CheckQuery(Struct):
    type: str
    id: str


@users.put("/users/{id}", body=UserRequest, answer=dict)
async def upsert_user(call: Call) -> Response:
    """Create or replace a user."""
    user_id = checked_name(call.path_params["id"], "a user")
    if user_id.startswith(APPLICATION_USER):
        raise bad_request(f"ids that begin with {APPLICATION_USER} stand for applications")
    request = await call.decode(UserRequest)
    _check_roles(call, request.roles)
    for group in request.groups:
        _group(call, group)
    user = User(
        id=user_id,
        name=request.name,
        roles=request.roles,
        groups=request.groups,
        contact_information=request.contact_information,
    )
    await _directory(call).users.put(user_id, user)
    return json_response(_user_view(call, user))


@users.get("/users", query=ListQuery, answer=list[dict[str, Any]])
async def all_users(call: Call) -> Response:
    """All users; with `apps` also those that stand for applications."""
    found = list(_directory(call).users.all())
    if call.query(ListQuery).apps:
        found += [_as_user(application) for application in _directory(call).applications.all()]
    return json_response([_user_view(call, user) for user in found])


@users.get("/users/{id}", answer=dict)
async def get_user(call: Call) -> Response:
    """One user."""
    return json_response(_user_view(call, _user(call, call.path_params["id"])))


@users.delete("/users/{id}")
async def delete_user(call: Call) -> Response:
    """Delete a user with its grants."""
    user_id = call.path_params["id"]
    if not await _directory(call).users.delete(user_id):
        raise _unknown_user(user_id)
    await _directory(call).forget("USER", user_id)
    return empty()


@users.get("/users/{id}/permissions", answer=dict)
async def user_grants(call: Call) -> Response:
    """What has been granted to a user."""
    return json_response(_granted(_directory(call).granted("USER", _user(call, call.path_params["id"]).id)))


@users.get("/users/{id}/checkPermissions", query=CheckQuery, answer=dict[str, bool])
async def check_user(call: Call) -> Response:
    """Which accesses a user has to one target, by its roles, its groups and its grants."""
    query = call.query(CheckQuery)
    if query.type not in TARGET_KINDS:
        raise bad_request(f"query parameter 'type': {query.type!r} is none of {', '.join(TARGET_KINDS)}")
    user = _user(call, call.path_params["id"])
    allowed = _directory(call).accesses(user, query.type, query.id)
    return json_response({access: access in allowed for access in ACCESSES})


@groups.put("/groups/{id}", body=GroupRequest, answer=dict)
async def upsert_group(call: Call) -> Response:
    """Create or replace a group."""
    group_id = checked_name(call.path_params["id"], "a group")
    request = await call.decode(GroupRequest)
    _check_roles(call, request.roles)
    group = Group(
        id=group_id,
        description=request.description,
        roles=request.roles,
        default_access=request.default_access,
        contact_information=request.contact_information,
    )
    await _directory(call).groups.put(group_id, group)
    return json_response(_group_view(call, group))


@groups.get("/groups", answer=list[dict[str, Any]])
async def all_groups(call: Call) -> Response:
    """All groups."""
    return json_response([_group_view(call, group) for group in _directory(call).groups.all()])


@groups.get("/groups/{id}", answer=dict)
async def get_group(call: Call) -> Response:
    """One group."""
    return json_response(_group_view(call, _group(call, call.path_params["id"])))


@groups.delete("/groups/{id}")
async def delete_group(call: Call) -> Response:
    """Delete a group with its grants; its users stay."""
    group_id = _group(call, call.path_params["id"]).id
    for member in _members(call, group_id):
        await _move(call, member.id, group_id, inside=False)
    await _directory(call).groups.delete(group_id)
    await _directory(call).forget("GROUP", group_id)
    return empty()


@groups.get("/groups/{id}/users", answer=list[dict[str, Any]])
async def members(call: Call) -> Response:
    """The users of a group."""
    return json_response([_user_view(call, user) for user in _members(call, _group(call, call.path_params["id"]).id)])


@groups.post("/groups/{id}/users", body=list[str], access="UPDATE")
async def add_members(call: Call) -> Response:
    """Put users into a group."""
    await _move_all(call, await call.decode(list[str]), inside=True)
    return empty()


@groups.delete("/groups/{id}/users", body=list[str], access="UPDATE")
async def remove_members(call: Call) -> Response:
    """Take users out of a group."""
    await _move_all(call, await call.decode(list[str]), inside=False)
    return empty()


@groups.post("/groups/{id}/users/{user}", access="UPDATE")
async def add_member(call: Call) -> Response:
    """Put a user into a group."""
    await _move_all(call, [call.path_params["user"]], inside=True)
    return empty()


@groups.delete("/groups/{id}/users/{user}", access="UPDATE")
async def remove_member(call: Call) -> Response:
    """Take a user out of a group."""
    await _move_all(call, [call.path_params["user"]], inside=False)
    return empty()


@groups.get("/groups/{id}/permissions", answer=dict)
async def group_grants(call: Call) -> Response:
    """What has been granted to a group."""
    return json_response(_granted(_directory(call).granted("GROUP", _group(call, call.path_params["id"]).id)))


async def _move_all(call: Call, user_ids: list[str], *, inside: bool) -> None:
    group_id = _group(call, call.path_params["id"]).id
    for user_id in user_ids:
        _user(call, user_id)
    for user_id in user_ids:
        await _move(call, user_id, group_id, inside=inside)


async def _move(call: Call, user_id: str, group_id: str, *, inside: bool) -> None:
    """Put a user, or the application that it stands for, into a group or take it out."""

    def moved(groups: list[str]) -> list[str]:
        rest = [group for group in groups if group != group_id]
        return [*rest, group_id] if inside else rest

    def moved_user(before: User | None) -> User:
        if before is None:
            raise _unknown_user(user_id)
        return replace(before, groups=moved(before.groups))

    def moved_application(before: Application | None) -> Application:
        if before is None:
            raise _unknown_user(user_id)
        return replace(before, groups=moved(before.groups))

    if user_id.startswith(APPLICATION_USER):
        await _directory(call).applications.change(user_id.removeprefix(APPLICATION_USER), moved_application)
    else:
        await _directory(call).users.change(user_id, moved_user)


def _user(call: Call, user_id: str) -> User:
    directory = _directory(call)
    if user_id.startswith(APPLICATION_USER):
        application = directory.applications.get(user_id.removeprefix(APPLICATION_USER))
        user = None if application is None else _as_user(application)
    else:
        user = directory.users.get(user_id)
    if user is None:
        raise _unknown_user(user_id)
    return user


def _as_user(application: Application) -> User:
    return User(
        id=APPLICATION_USER + application.id,
        name=application.name,
        roles=application.roles,
        groups=application.groups,
    )


def _group(call: Call, group_id: str) -> Group:
    group = _directory(call).groups.get(group_id)
    if group is None:
        raise not_found(f"there is no group {group_id!r}")
    return group


def _members(call: Call, group_id: str) -> list[User]:
    directory = _directory(call)
    everybody = [*directory.users.all(), *(_as_user(application) for application in directory.applications.all())]
    return [user for user in everybody if group_id in user.groups]


def _check_roles(call: Call, roles: list[str]) -> None:
    for role in roles:
        if not _directory(call).has_role(role):
            raise bad_request(f"there is no role {role!r}; GET /api/roles lists them")


def _unknown_user(user_id: str) -> ApiError:
    return not_found(f"there is no user {user_id!r}")


def _granted(grants: list[Grant]) -> dict[str, Any]:
    return {"grantedAccess": [{"target": grant.target, "access": grant.access} for grant in grants]}


def _user_view(call: Call, user: User) -> dict[str, Any]:
    groups = _directory(call).groups
    return {
        "id": user.id,
        "name": user.name,
        "roles": [_directory(call).role_view(role) for role in user.roles],
        "groups": [_group_view(call, group) for name in user.groups if (group := groups.get(name)) is not None],
        "contactInformation": user.contact_information,
        # Clients warn of this field whenever they see it.
        **({"applicationUser": True} if user.id.startswith(APPLICATION_USER) else {}),
    }


def _group_view(call: Call, group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "description": group.description,
        "roles": [_directory(call).role_view(role) for role in group.roles],
        "defaultAccess": group.default_access,
        "contactInformation": group.contact_information,
    }


def _directory(call: Call) -> Directory:
    return call.services.configuration.directory
