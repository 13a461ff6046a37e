"""The schema of a deployment: made, migrated and checked.

The table `migrations` says which were applied. Those called `pre` add, and the code of the version before goes on
beside them; those called `post` take away what no running version uses any more, and raise `meta.oldest_code`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.store.migrations import Migration, load_migrations
from tenuto.store.postgres.members import deployment
from tenuto.store.postgres.sessions import Session
from tenuto.store.postgres.statements import Statements, quoted
from tenuto.store.protocol import PARTITIONS

OLDEST_SERVER = 14


class Schema(Struct, frozen=True):
    """What is there. Version 0: nothing."""

    version: int
    oldest_code: int
    era: int
    applied: tuple[str, ...]


def is_post(migration: Migration) -> bool:
    return migration.name[5:].startswith("post_")


async def inspect(session: Session, statements: Statements) -> Schema:
    """What is there now."""
    ((server,),) = await session.fetch(statements["server_version"])
    if server < OLDEST_SERVER * 10_000:
        raise StoreError(f"This is PostgreSQL {server // 10_000}; Tenuto needs {OLDEST_SERVER} or newer.")
    (there,) = await session.fetch(statements["schema_exists"], {"name": f"{statements.schema}.migrations"})
    if not there[0]:
        return Schema(0, 0, 0, ())
    applied = [(row["number"], row["name"]) for row in await session.fetch(statements["applied_migrations"])]
    (meta,) = await session.fetch(statements["meta"])
    if meta["partitions"] != PARTITIONS:
        raise StoreFormatError(
            f"The schema {statements.schema} has {meta['partitions']} partitions, and this Tenuto works with"
            f" {PARTITIONS}. Upgrade Tenuto, or name another schema."
        )
    version = max(number for number, _ in applied)
    return Schema(version, meta["oldest_code"], meta["era"], tuple(name for _, name in applied))


def check(found: Schema, schema: str, migrations: Sequence[Migration]) -> None:
    """Raises `StoreFormatError` if this code can't work with what was found."""
    needed = max(migration.number for migration in migrations if not is_post(migration))
    newest = max(migration.number for migration in migrations)
    if found.version < needed:
        raise StoreFormatError(
            f"The schema {schema} has version {found.version}, and this Tenuto needs version {needed}."
            " Run: tenuto db migrate"
        )
    if found.oldest_code > newest:
        raise StoreFormatError(
            f"The schema {schema} has version {found.version}, for code of version {found.oldest_code} and later; this"
            f" Tenuto knows versions up to {newest}. Upgrade Tenuto, or name another schema. (tenuto db migrate can't"
            " go back.)"
        )


async def migrate(
    session: Session, statements: Statements, migrations: Sequence[Migration] | None = None, *, post: bool = False
) -> list[str]:
    """Apply what is missing, each in a transaction; returns the names of what this call applied. `post` migrations only
    if asked for. Safe when several processes do it at once."""
    known = load_migrations("postgres") if migrations is None else migrations
    done: list[str] = []
    for migration in known:
        if is_post(migration) and not post:
            continue
        async with session.transaction({"statement_timeout": "0", "lock_timeout": "10s"}):
            await session.fetch(statements["serialize"], {"deployment": deployment(statements.schema)})
            if await _apply(session, statements, migration):
                done.append(migration.name)
    return done


async def _apply(session: Session, statements: Statements, migration: Migration) -> bool:
    await session.execute(statements.source("create_schema"))
    applied = {row["number"] for row in await session.fetch(statements["applied_migrations"])}
    if migration.number in applied:
        return False
    await session.execute(migration.source.replace("{schema}", statements.schema))
    await session.fetch(statements["record_migration"], {"number": migration.number, "name": migration.name})
    if is_post(migration):
        await session.fetch(statements["raise_oldest_code"], {"number": migration.number})
    return True


async def grant(session: Session, statements: Statements, role: str) -> None:
    """Give `role` what a process needs at run time, and no more: it can't change the schema."""
    async with session.transaction():
        await session.execute(statements.source("grant", role=quoted(role)))
