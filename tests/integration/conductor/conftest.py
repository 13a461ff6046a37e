"""The scenarios run against the servers of the server's tests."""

from tests.integration.server.conftest import conductor, db, make_server, server, timed

__all__ = ["conductor", "db", "make_server", "server", "timed"]
