"""The routes, one family a file."""

from tenuto.server.routes import health

FAMILIES = [
    health.family,
    health.admin,
]
