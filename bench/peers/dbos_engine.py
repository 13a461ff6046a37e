"""DBOS on one database, configured as it is shipped.

This module is the one that imports `dbos`, and its siblings take it from here, because of what has
to be done before that.
"""

import importlib.metadata
import platform
import sys
from typing import Any

try:  # DBOS needs SQLite 3.42 or newer; the python at hand may be built with an older one.
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
except ImportError:  # No wheel for this platform: DBOS then runs on the python's own SQLite.
    pass

from dbos import DBOS

__all__ = ["DBOS", "Engine", "Result"]

Result = dict[str, Any]
"""One JSON object."""


class Engine:
    """DBOS, launched on one database with its default configuration."""

    def __init__(self, url: str) -> None:
        self._dbos = DBOS(config={"name": "tenuto-bench", "system_database_url": url, "log_level": "WARNING"})
        DBOS.launch()
        self._on_postgres = not url.startswith("sqlite:")

    def scalar(self, sql: str) -> Any:
        """The single value that `sql` yields, read through a connection of DBOS's own pool."""
        # A private name: DBOS has no public way to its engine, and how durable it is is a setting of
        # the connection, so one that we opened ourselves would not tell what DBOS runs with.
        with self._dbos._sys_db.engine.connect() as connection:
            return connection.exec_driver_sql(sql).scalar()

    def settings(self) -> Result:
        """The durability DBOS really runs with, and the versions of all that takes part."""
        if self._on_postgres:
            database = f"PostgreSQL {self.scalar('SHOW server_version')}"
            durability = f"fsync {self.scalar('SHOW fsync')}, commit {self.scalar('SHOW synchronous_commit')}"
        else:
            levels = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
            database = f"SQLite {self.scalar('SELECT sqlite_version()')}"
            journal = str(self.scalar("PRAGMA journal_mode")).upper()
            durability = f"{journal}/{levels[int(self.scalar('PRAGMA synchronous'))]}"
        return {
            "peer": "dbos",
            "peer_version": importlib.metadata.version("dbos"),
            "python": platform.python_version(),
            "database": database,
            "durability": durability,
        }

    def completed(self) -> int:
        """Workflows recorded as successfully completed."""
        return self._count("workflow_status", "status = 'SUCCESS'")

    def trivial_steps(self) -> int:
        """Trivial steps whose outcome is recorded."""
        return self._count("operation_outputs", "function_name LIKE 'trivial_step%%'")

    def asleep(self) -> int:
        """Workflows whose sleep is recorded."""
        return self._count("operation_outputs", "function_name = 'DBOS.sleep'")

    def _count(self, table: str, condition: str) -> int:
        place = f"dbos.{table}" if self._on_postgres else table
        return int(self.scalar(f"SELECT count(*) FROM {place} WHERE {condition}"))
