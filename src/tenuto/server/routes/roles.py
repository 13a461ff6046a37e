"""Roles and grants."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.responses import Response

from tenuto.server.collection import checked_name, key_of
from tenuto.server.errors import ApiError, bad_request, conflict, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.identity.access import ACCESSES, AREAS, PERMISSIONS, SYSTEM_ROLES, TARGET_KINDS
from tenuto.server.identity.directory import Directory
from tenuto.server.identity.records import Grant, Reference, Role
from tenuto.server.routing import Family

roles = Family("Roles", "ADMIN")
grants = Family("Authorization", "ADMIN")

SUBJECT_KINDS = ("USER", "ROLE", "GROUP")


class RoleRequest(Struct):
    name: str = ""
    permissions: list[str] = []


class GrantRequest(Struct):
    subject: Reference
    target: Reference
    access: list[str]


@roles.get("/roles", answer=list[dict[str, Any]])
async def everything(call: Call) -> Response:
    """All roles."""
    directory = _directory(call)
    names = [*SYSTEM_ROLES, *(role.name for role in directory.roles.all())]
    return json_response([directory.role_view(name) for name in names])


@roles.get("/roles/system", answer=dict)
async def system(call: Call) -> Response:
    """The roles that are always there, by name."""
    return json_response({name: _directory(call).role_view(name) for name in SYSTEM_ROLES})


@roles.get("/roles/custom", answer=list[dict[str, Any]])
async def custom(call: Call) -> Response:
    """The roles that somebody has made."""
    directory = _directory(call)
    return json_response([directory.role_view(role.name) for role in directory.roles.all()])


@roles.get("/roles/permissions", answer=dict[str, list[str]])
async def permissions(call: Call) -> Response:
    """The permissions that a role can have, by area."""
    return json_response({area: [f"{area}_READ", f"{area}_WRITE"] for area in AREAS})


@roles.post("/roles", body=RoleRequest, answer=dict)
async def create(call: Call) -> Response:
    """Create a role."""
    request = await call.decode(RoleRequest)
    role = _role(request.name, request.permissions)
    if role.name in SYSTEM_ROLES or not await _directory(call).roles.create(role.name, role):
        raise conflict(f"there is a role {role.name!r} already")
    return json_response(_directory(call).role_view(role.name))


@roles.get("/roles/{name}", answer=dict)
async def get(call: Call) -> Response:
    """One role."""
    name = call.path_params["name"]
    if not _directory(call).has_role(name):
        raise _unknown(name)
    return json_response(_directory(call).role_view(name))


@roles.put("/roles/{name}", body=RoleRequest, answer=dict)
async def update(call: Call) -> Response:
    """Change what a role may do."""
    name = _changeable(call)
    role = _role(name, (await call.decode(RoleRequest)).permissions)
    await _directory(call).roles.put(name, role)
    return json_response(_directory(call).role_view(name))


@roles.delete("/roles/{name}")
async def delete(call: Call) -> Response:
    """Delete a role. Whoever has it loses what it gave."""
    name = _changeable(call)
    await _directory(call).roles.delete(name)
    await _directory(call).forget("ROLE", name)
    return empty()


@grants.post("/auth/authorization", body=GrantRequest, access="UPDATE")
async def grant(call: Call) -> Response:
    """Give a user, group or role access to a target."""
    request = await _request(call)

    def wider(before: Grant | None) -> Grant:
        known = before.access if before else []
        return Grant(request.subject, request.target, [a for a in ACCESSES if a in known or a in request.access])

    await _directory(call).grants.change(_key(request), wider)
    return empty()


@grants.delete("/auth/authorization", body=GrantRequest, access="UPDATE")
async def revoke(call: Call) -> Response:
    """Take access to a target away."""
    request = await _request(call)
    stored, key = _directory(call).grants, _key(request)

    def narrower(before: Grant | None) -> Grant:
        known = before.access if before else []
        return Grant(request.subject, request.target, [a for a in known if a not in request.access])

    if not (await stored.change(key, narrower)).access:
        await stored.delete(key)
    return empty()


@grants.get("/auth/authorization/{type}/{id}", answer=dict[str, list[Reference]])
async def granted(call: Call) -> Response:
    """Who has been given which access to a target."""
    kind, name = call.path_params["type"], call.path_params["id"]
    _check("the type of target", kind, TARGET_KINDS)
    subjects: dict[str, list[Reference]] = {}
    for grant in _directory(call).grants.all():
        if (grant.target.type, grant.target.id) == (kind, name):
            for access in grant.access:
                subjects.setdefault(access, []).append(grant.subject)
    return json_response(subjects)


async def _request(call: Call) -> GrantRequest:
    request = await call.decode(GrantRequest)
    _check("subject.type", request.subject.type, SUBJECT_KINDS)
    _check("target.type", request.target.type, TARGET_KINDS)
    for access in request.access:
        _check("access", access, ACCESSES)
    checked_name(request.subject.id, "the subject")
    checked_name(request.target.id, "the target")
    if not request.access:
        raise bad_request("access: name at least one")
    return request


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise bad_request(f"{what}: {value!r} is none of {', '.join(allowed)}")


def _key(request: GrantRequest) -> str:
    return key_of(request.target.type, request.target.id, request.subject.type, request.subject.id)


def _role(name: str, permissions: list[str]) -> Role:
    checked_name(name, "a role")
    unknown = [permission for permission in permissions if permission not in PERMISSIONS]
    if unknown:
        raise bad_request(f"permissions: {unknown[0]!r} is none; GET /api/roles/permissions lists them")
    return Role(name=name, permissions=permissions)


def _changeable(call: Call) -> str:
    name: str = call.path_params["name"]
    if name in SYSTEM_ROLES:
        raise conflict(f"the role {name!r} is always there and can't be changed")
    if not _directory(call).has_role(name):
        raise _unknown(name)
    return name


def _unknown(name: str) -> ApiError:
    return not_found(f"there is no role {name!r}")


def _directory(call: Call) -> Directory:
    return call.services.configuration.directory
