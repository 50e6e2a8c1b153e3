"""Databases with an owner, and roles that may create less than a superuser, for the tests of migrations."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.conftest import CreateDatabase

PASSWORD = "correct-horse"


@dataclass(frozen=True)
class Owned:
    """A database, as the superuser and as its role see it."""

    superuser_url: str
    url: str
    role: str

    @property
    def name(self) -> str:
        return str(make_url(self.url).database)


type CreateOwned = Callable[..., Owned]


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in autocommit, and return the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def locked(url: str, *tables: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Hold tables, by default so that nobody can even read them."""
    with psycopg.connect(url) as connection:
        for table in tables:
            connection.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield
        connection.rollback()


@pytest.fixture
def create_owned(create_database: CreateDatabase) -> Iterator[CreateOwned]:
    """Return a maker of databases with a role of their own.

    `rights` are what CREATE ROLE takes. The role may use the database and its schema public; `owns` makes it the owner
    of both, so that it may create schemas and trusted extensions.
    """
    with ExitStack() as roles:

        def create(rights: str = "NOCREATEDB", *, owns: bool = False) -> Owned:
            superuser_url = create_database()
            role = f"role_{secrets.token_hex(6)}"
            database = make_url(superuser_url).database
            grant = (
                f'ALTER DATABASE "{database}" OWNER TO {role}'
                if owns
                else f"GRANT CREATE, USAGE ON SCHEMA public TO {role}"
            )
            execute(superuser_url, f"CREATE ROLE {role} LOGIN NOSUPERUSER {rights} PASSWORD '{PASSWORD}'", grant)
            roles.callback(_drop, superuser_url, role)
            url = make_url(superuser_url).set(username=role, password=PASSWORD)
            return Owned(superuser_url, url.render_as_string(hide_password=False), role)

        yield create


def _drop(superuser_url: str, role: str) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        name = sql.Identifier(role)
        databases = connection.execute(
            "SELECT datname FROM pg_database JOIN pg_roles AS r ON r.oid = datdba WHERE r.rolname = %s", [role]
        ).fetchall()
        for (database,) in databases:
            if database != connection.info.dbname:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))
