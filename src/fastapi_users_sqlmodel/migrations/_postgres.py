"""Where the migrations are replayed on PostgreSQL: in a database of their own, or in a schema, and neither stays."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from fastapi_users_sqlmodel.migrations._confined import forbid_commit
from fastapi_users_sqlmodel.migrations._database import prepare
from fastapi_users_sqlmodel.migrations._replay import WAYS_OUT

_PREFIX = "alembic_scratch_"
# The class of the advisory locks by which one sees that a scratch is in use: "scra" as a number.
_LOCKS = 0x73637261

_MAY = text("""
    SELECT rolcreatedb OR rolsuper, has_database_privilege(current_database(), 'CREATE'), current_user,
        current_database()
    FROM pg_roles WHERE rolname = current_user
""")
# pg_locks shows the locks of every database, to everybody.
_LEFT = text("""
    SELECT d.datname FROM pg_database AS d JOIN pg_roles AS r ON r.oid = d.datdba
    WHERE r.rolname = current_user AND d.datname ~ '^alembic_scratch_[0-9]+$'
        AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datid = d.oid)
        AND NOT EXISTS (
            SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.classid = :locks
                AND l.objid = CAST(substring(d.datname FROM '[0-9]+$') AS bigint)
        )
""")
_LEFT_SCHEMAS = text("""
    SELECT nspname FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
    WHERE r.rolname = current_user AND nspname ~ '^alembic_scratch_[0-9a-f]{16}$'
""")
_ENCODINGS = text("""
    SELECT pg_encoding_to_char(own.encoding), own.encoding = template.encoding
    FROM pg_database AS own, pg_database AS template
    WHERE own.datname = current_database() AND template.datname = 'template0'
""")
_SCHEMAS = text("""
    SELECT nspname FROM pg_namespace AS n
    WHERE nspname NOT IN ('information_schema', 'public') AND nspname NOT LIKE 'pg\\_%'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
        )
    ORDER BY 1
""")
_EXTENSIONS = text("""
    SELECT extname, nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE extname <> 'plpgsql' ORDER BY e.oid
""")


@dataclass(frozen=True)
class Rights:
    """What the role of a connection may create."""

    databases: bool
    schemas: bool
    role: str
    database: str


@dataclass(frozen=True)
class Real:
    """What a scratch has to have in common with the real database, all of it read from the catalogs."""

    search_path: str
    schemas: list[str]
    extensions: list[tuple[str, str]]


def rights_of(connection: Connection) -> Rights:
    """Return what the role of a connection may create, both names quoted."""
    quote = connection.dialect.identifier_preparer.quote
    databases, schemas, role, database = connection.execute(_MAY).one()
    return Rights(databases, schemas, quote(role), quote(database))


@contextmanager
def own_database(connection: Connection, schemas: set[str]) -> Iterator[tuple[Connection, str]]:
    """Yield a connection to a new database with the schemas and extensions of the real one, and what to say of it.

    Another connection to the real server makes the database and drops it. Databases that a killed run has left are
    dropped too: those of this role, with our kind of name, to which nobody is connected and for which nobody holds the
    advisory lock that a run holds while it lives.
    """
    with rolled_back(connection):
        real = Real(
            str(connection.exec_driver_sql("SHOW search_path").scalar_one()),
            sorted({*connection.scalars(_SCHEMAS), *schemas} - {"public"}),
            [(row[0], row[1]) for row in connection.execute(_EXTENSIONS)],
        )
    number = secrets.randbelow(2**31)
    name = f"{_PREFIX}{number}"
    with _connected(connection, None) as server:
        server.execute(text("SELECT pg_advisory_lock(:locks, :number)"), {"locks": _LOCKS, "number": number})
        for left in server.scalars(_LEFT, {"locks": _LOCKS}).all():
            # Without FORCE: somebody may have connected meanwhile, or another run may be dropping it.
            _drop_if_possible(server, f'DROP DATABASE IF EXISTS "{left}"')
        encoding, is_same = server.execute(_ENCODINGS).one()
        written = "" if is_same else f" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        with explained("The scratch database cannot be created"):
            server.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0{written}')
        try:
            with _connected(connection, name) as scratch:
                lacking = _furnish(scratch, real)
                scratch.commit()
                scratch.execution_options(isolation_level=scratch.default_isolation_level)
                yield scratch, lacking
        finally:
            server.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _drop_if_possible(server: Connection, statement: str) -> None:
    try:
        server.exec_driver_sql(statement)
    except DBAPIError:
        return


def _furnish(scratch: Connection, real: Real) -> str:
    quote = scratch.dialect.identifier_preparer.quote
    for schema in real.schemas:
        scratch.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
    lacking = []
    for extension, schema in real.extensions:
        try:
            scratch.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {quote(extension)} SCHEMA {quote(schema)} CASCADE")
        except DBAPIError as error:
            # Most are not used by any model (pg_stat_statements), or can only be in one database (pg_cron).
            lacking.append(f"{extension} ({str(error.orig).splitlines()[0]})")
    scratch.execute(text("SELECT set_config('search_path', :path, false)"), {"path": real.search_path})
    scratch.dialect.default_schema_name = scratch.exec_driver_sql("SELECT current_schema()").scalar_one()
    if not lacking:
        return ""
    return (
        f"These extensions of your database could not be created in the scratch: {'; '.join(lacking)}. A superuser can "
        "create them in a database of your own, for scratch_url. "
    )


@contextmanager
def _connected(connection: Connection, database: str | None) -> Iterator[Connection]:
    """Open another connection to the server of a connection, in autocommit."""
    url = connection.engine.url if database is None else connection.engine.url.set(database=database)
    engine: Engine
    if connection.dialect.is_async:
        # The caller runs inside of `run_sync()`, and so may we.
        engine = create_async_engine(url, poolclass=NullPool).sync_engine
    else:
        engine = create_engine(url, poolclass=NullPool)
    try:
        opened = engine.connect()
    except (DBAPIError, OSError) as error:
        shown = url.set(query={}).render_as_string(hide_password=True)
        raise CommandError(
            f"The database {shown}, in which autogenerate would replay the migrations, cannot be opened: "
            f"{' '.join(str(error).split())}. To go without it, {WAYS_OUT}"
        ) from error
    try:
        with opened:
            prepare(opened)
            yield opened.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        engine.dispose()


@contextmanager
def own_schema(connection: Connection) -> Iterator[str]:
    """Make a new schema, in a transaction that is rolled back, and let the connection see no other one."""
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    dialect = connection.dialect
    default_schema = dialect.default_schema_name
    with rolled_back(connection):
        _refuse_autocommit(connection, name)
        try:
            with explained("The scratch schema cannot be created"):
                connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
                connection.exec_driver_sql(f'SET LOCAL search_path TO "{name}"')
                forbid_commit(connection)
            dialect.default_schema_name = name
            yield name
        finally:
            dialect.default_schema_name = default_schema


def _refuse_autocommit(connection: Connection, name: str) -> None:
    # A driver may be in autocommit without SQLAlchemy's knowledge: a setting of the transaction is gone then.
    connection.execute(text("SELECT set_config('alembic.scratch', :name, true)"), {"name": name})
    if connection.scalar(text("SELECT current_setting('alembic.scratch', true)")) != name:
        raise CommandError(
            "The connection is in autocommit, and a scratch schema needs a transaction that is rolled back. Hand over "
            f"one that is not in autocommit, or {WAYS_OUT}"
        )


def drop_left_schemas(connection: Connection) -> None:
    """Drop the scratch schemas of this role that are committed; one that is in use is not, so nobody sees it."""
    with rolled_back(connection):
        left = connection.scalars(_LEFT_SCHEMAS).all()
    if not left:
        return
    with _connected(connection, None) as server:
        for name in left:
            _drop_if_possible(server, f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what PostgreSQL refuses into a sentence with the ways out."""
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).splitlines()[0]
        raise CommandError(f"{what} ({reason}). To go without it, {WAYS_OUT}") from error


@contextmanager
def rolled_back(connection: Connection) -> Iterator[None]:
    """Roll back what happens inside; a transaction that was there before goes on."""
    transaction = connection.begin_nested() if connection.in_transaction() else connection.begin()
    with transaction:
        yield
        if transaction.is_active:
            transaction.rollback()
