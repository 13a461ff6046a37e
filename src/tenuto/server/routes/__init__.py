"""The routes, one family a file."""

from tenuto.server.routes import (
    applications,
    environment,
    gateway_auth,
    health,
    integrations,
    prompts,
    roles,
    schemas,
    secrets,
    tags,
    token,
    users,
)

FAMILIES = [
    health.family,
    health.admin,
    token.token,
    token.caller,
    applications.applications,
    users.users,
    users.groups,
    roles.roles,
    roles.grants,
    gateway_auth.gateway_auth,
    secrets.secrets,
    environment.environment,
    tags.definitions,
    tags.tasks,
    tags.schedules,
    schemas.schemas,
    prompts.prompts,
    integrations.integrations,
]
