"""What is stored about those who may call."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Name = Annotated[str, Meta(min_length=1, max_length=255)]

#: Users that stand for applications have ids with this prefix.
APPLICATION_USER = "app:"


class Application(Struct, rename="camel", kw_only=True):
    """A program that calls; it has the access keys and, as a user of its own, roles and groups."""

    id: str
    name: str
    created_by: str = ""
    create_time: int = 0
    updated_by: str = ""
    update_time: int = 0
    roles: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


class AccessKey(Struct, rename="camel", kw_only=True):
    """What an application gets its tokens with. Of the secret only the SHA-256 is kept: it is random, not chosen."""

    id: str
    application_id: str
    secret_hash: bytes
    status: str = "ACTIVE"
    created_at: int = 0


class User(Struct, rename="camel", kw_only=True):
    """A person."""

    id: str
    name: str = ""
    roles: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    contact_information: dict[str, str] = field(default_factory=dict)


class Group(Struct, rename="camel", kw_only=True):
    """Users with the same roles."""

    id: str
    description: str = ""
    roles: list[str] = field(default_factory=list)
    default_access: dict[str, list[str]] = field(default_factory=dict)
    contact_information: dict[str, str] = field(default_factory=dict)


class Role(Struct, kw_only=True):
    """A role that somebody has made."""

    name: Name
    permissions: list[str] = field(default_factory=list)


class GatewayAuth(Struct, rename="camel", kw_only=True):
    """How a gateway in front of this server authenticates; kept for it, not acted upon here."""

    id: str = ""
    application_id: str | None = None
    authentication_type: Literal["NONE", "API_KEY", "OIDC"] = "NONE"
    api_keys: list[str] = field(default_factory=list)
    audience: str | None = None
    conductor_token: str | None = None
    created_by: str | None = None
    fallback_to_default_auth: bool = False
    issuer_uri: str | None = None
    passthrough: bool = False
    token_in_workflow_input: bool = False
    updated_by: str | None = None


class Reference(Struct, frozen=True):
    """Whom or what a grant is about: USER, GROUP or ROLE; WORKFLOW_DEF, TASK_DEF ..."""

    type: str
    id: str


class Grant(Struct):
    """Which accesses a subject has to a target."""

    subject: Reference
    target: Reference
    access: list[str]
