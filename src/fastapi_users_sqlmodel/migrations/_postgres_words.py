"""PostgreSQL's own words for a default, a CHECK, a computed column or an index, taken from a temporary table.

PostgreSQL stores parsed expressions and writes them back with casts and parentheses of its own. To compare an
expression of a model with one in the database, the model's is given to a temporary table, read back and rolled back.
The table of the application is not touched: only the catalogs are read, for the types of its columns.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.exc import CompileError, DBAPIError
from sqlalchemy.schema import CreateIndex

from fastapi_users_sqlmodel.migrations._expressions import PORTABLE, escaped, portable_sql

_NAME = "_alembic_compared"

_COLUMNS = sa.text("""
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation = t.typcollation THEN '' ELSE
        (SELECT format(' COLLATE %I.%I', l.nspname, o.collname) FROM pg_collation AS o
            JOIN pg_namespace AS l ON l.oid = o.collnamespace WHERE o.oid = a.attcollation) END
    FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :table AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
""")
_INDEX = sa.text("""
    SELECT pg_get_indexdef(c.oid) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('i', 'I') AND c.relname = :name
        AND CASE WHEN CAST(:schema AS text) IS NULL THEN n.oid = pg_my_temp_schema() ELSE n.nspname = :schema END
""")
_EXCLUSIONS = sa.text("""
    SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
    WHERE contype = 'x' AND conrelid = to_regclass(:table) ORDER BY conname
""")

# insufficient_privilege and read_only_sql_transaction
_NO_TEMPORARY_TABLE = {"42501", "25006"}


def default_in_postgres(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> str | None:
    """Return the default of a model's column as PostgreSQL writes it, or None when it refuses it.

    `table` is the table as it was found in the database.
    """
    # A default is no statement of its own; Alembic compiles one in the same way.
    compiler: Any = PORTABLE.ddl_compiler(PORTABLE, None)  # type: ignore[arg-type]
    default = f" DEFAULT {compiler.get_column_default_string(column)}"
    with _temporary(connection, table, {column.name: default}) as inspector:
        if inspector is None:
            return None
        return {each["name"]: each["default"] for each in inspector.get_columns(_NAME)}[column.name]
    return None


def computed_in_postgres(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> str | None:
    """Return the expression of a computed column as PostgreSQL writes it, or None when it refuses it."""
    sql = portable_sql(column.computed.sqltext)  # type: ignore[union-attr]  # the caller asked whether it is one
    with _temporary(connection, table, {column.name: f" GENERATED ALWAYS AS ({sql}) STORED"}) as inspector:
        if inspector is None:
            return None
        found = {each["name"]: each for each in inspector.get_columns(_NAME)}[column.name]
        return found["computed"]["sqltext"] if "computed" in found else None
    return None


def check_in_postgres(connection: sa.Connection, table: sa.Table, condition: str) -> str | None:
    """Return the condition of a CHECK as PostgreSQL writes it, or None when it refuses it."""
    with _temporary(connection, table, further=f", CHECK ({condition})") as inspector:
        if inspector is None:
            return None
        (check,) = inspector.get_check_constraints(_NAME)
        return check["sqltext"]
    return None


def exclusions_of(connection: sa.Connection, table: sa.Table) -> dict[str, str]:
    """Return the exclusion constraints of a table as PostgreSQL writes them, by their names."""
    return _exclusions_of(connection, PORTABLE.identifier_preparer.format_table(table))


def exclusion_in_postgres(connection: sa.Connection, table: sa.Table, definition: str) -> str | None:
    """Return an exclusion constraint as PostgreSQL writes it, or None when it refuses it."""
    with _temporary(connection, table, further=f", {definition}") as inspector:
        if inspector is None:
            return None
        (exclusion,) = _exclusions_of(connection, f"pg_temp.{_NAME}").values()
        return exclusion
    return None


def _exclusions_of(connection: sa.Connection, name: str) -> dict[str, str]:
    return {row.conname: row.definition for row in connection.execute(_EXCLUSIONS, {"table": name})}


def is_same_index(connection: sa.Connection, index: sa.Index, found: sa.Index) -> bool | None:
    """Return whether a model's index is the one in the database, or return None when PostgreSQL refuses it."""
    table, found_table = index.table, found.table
    if table is None or found_table is None:
        return None
    schema = found_table.schema or connection.dialect.default_schema_name
    there = str(connection.scalar(_INDEX, {"name": str(found.name), "schema": schema})).partition(" USING ")[2]
    preparer = PORTABLE.identifier_preparer
    is_plain = not any(isinstance(value, sa.ClauseElement) or value for value in index.dialect_kwargs.values())
    if is_plain and all(isinstance(each, sa.Column) for each in index.expressions):
        # A definition of columns alone needs no temporary table.
        columns = ", ".join(preparer.quote(each.name) for each in index.columns)
        if there == f"btree ({columns})":
            return True
    try:
        sql = str(CreateIndex(index).compile(dialect=PORTABLE, compile_kwargs={"literal_binds": True}))
    except CompileError:
        return None
    sql = sql.replace(" CONCURRENTLY", "", 1).replace(f" ON {preparer.format_table(table)} ", f" ON {_NAME} ", 1)
    with _temporary(connection, found_table, statement=sql) as inspector:
        if inspector is None:
            return None
        wanted = connection.scalar(_INDEX, {"name": str(index.name), "schema": None})
        # What stands before are the names of the index and its table.
        return str(wanted).partition(" USING ")[2] == there
    return None


@contextmanager
def _temporary(
    connection: sa.Connection,
    table: sa.Table,
    after: Mapping[str, str] | None = None,
    further: str = "",
    statement: str | None = None,
) -> Iterator[sa.Inspector | None]:
    """Make a temporary table with the columns of `table`; it yields None when PostgreSQL refuses to."""
    after = after or {}
    quote = connection.dialect.identifier_preparer.quote
    names = {"schema": table.schema or connection.dialect.default_schema_name, "table": table.name}
    columns = ", ".join(
        f"{quote(name)} {type_}{after.get(name, '')}" for name, type_ in connection.execute(_COLUMNS, names)
    )
    savepoint = connection.begin_nested()
    try:
        connection.execute(_sql(f"CREATE TEMPORARY TABLE {_NAME} ({columns}{further})"))
        if statement is not None:
            connection.execute(_sql(statement))
    except DBAPIError as error:
        savepoint.rollback()
        _refuse_without_temporary_table(connection, error)
        yield None
        return
    try:
        yield sa.inspect(connection)
    finally:
        savepoint.rollback()


def _refuse_without_temporary_table(connection: sa.Connection, error: DBAPIError) -> None:
    if getattr(error.orig, "sqlstate", None) not in _NO_TEMPORARY_TABLE:
        return
    quote = connection.dialect.identifier_preparer.quote
    role, database = connection.exec_driver_sql("SELECT current_user, current_database()").one()
    raise CommandError(
        "PostgreSQL has to write an expression in its own words before it can be compared, and that takes a temporary "
        f"table, which could not be made ({str(error.orig).splitlines()[0]}). Compare on a primary server, as a role "
        f"that may make one: GRANT TEMPORARY ON DATABASE {quote(database)} TO {quote(role)};"
    ) from error


def _sql(sql: str) -> sa.TextClause:
    return sa.text(escaped(sql))
