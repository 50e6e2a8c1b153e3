"""Recognise in a database the type that a migration named, also one that SQLAlchemy's reflection does not know."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import NullType, TypeEngine

from fastapi_users_sqlmodel.migrations._type_source import ddl_of
from fastapi_users_sqlmodel.migrations._types import is_same_type


def is_still(
    known: TypeEngine[Any], found: TypeEngine[Any], connection: sa.Connection, table: sa.Table, column: str
) -> bool:
    """Return whether a column has the type `known`, where reflection has found the type `found`."""
    if is_same_type(known, found, connection.dialect):
        # Alembic recognises a SERIAL by PostgreSQL's own INTEGER.
        return connection.dialect.name != "postgresql" or not isinstance(found, sa.Integer)
    wanted = ddl_of(known, connection.dialect)
    if wanted is None or (connection.dialect.name == "postgresql" and not isinstance(found, NullType)):
        return False
    declared = _declared(connection, table, column)
    return declared is not None and _plain(declared) == _plain(wanted)


def _declared(connection: sa.Connection, table: sa.Table, column: str) -> str | None:
    """Return a type as the database itself writes it."""
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(table)
        query = (
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(:table) AND attname = :column"
        )
    elif connection.dialect.name == "sqlite":
        name = table.name
        query = "SELECT type FROM pragma_table_xinfo(:table) WHERE name = :column"
    else:
        return None
    declared: str | None = connection.scalar(sa.text(query), {"table": name, "column": column})
    return declared


def _plain(type_: str) -> str:
    return "".join(type_.split()).casefold()
