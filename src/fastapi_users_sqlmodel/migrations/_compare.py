"""Compare what Alembic does not compare, or compares wrongly: server defaults, CHECKs, indexes on expressions."""

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations import ops
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.elements import conv

from fastapi_users_sqlmodel.migrations._expressions import comparable, literal_value, normal_value, portable_sql
from fastapi_users_sqlmodel.migrations._sqlite import has_expressions

# Comparators are registered for the whole process; this option tells ours that the environment is ours.
OURS = "fastapi_users_sqlmodel"


def differs(  # noqa: PLR0911, PLR0913, PLR0917  # one line for each case; Alembic's signature
    context: MigrationContext,
    inspected_column: Any,
    column: sa.Column[Any],
    inspected: str | None,
    default: object,
    rendered: str | None,
) -> bool | None:
    """Tell whether a server default is another one than the database has, or None to leave it to Alembic."""
    if column.primary_key and column is column.table.autoincrement_column:
        # PostgreSQL's SERIAL: the default belongs to the sequence.
        return None
    if not isinstance(default, sa.DefaultClause | None):
        return None
    if default is None and isinstance(inspected_column.type, DOMAIN):
        # SQLAlchemy reflects the domain's default as the column's.
        return False
    if inspected is None or rendered is None or not isinstance(default, sa.DefaultClause):
        return inspected is not rendered
    wanted = normal_value(default.arg) if isinstance(default.arg, str) else literal_value(rendered)
    found = literal_value(inspected)
    if wanted is not None and found is not None:
        return wanted != found
    if comparable(rendered) == comparable(inspected):
        return False
    if context.dialect.name != "postgresql" or context.connection is None:
        return True
    return comparable(_as_postgres_says(context.connection, column) or "") != comparable(inspected)


def _as_postgres_says(connection: sa.Connection, column: sa.Column[Any]) -> str | None:
    """Let PostgreSQL itself bring a default into its own words; the scratch is given back as it was."""
    preparer = connection.dialect.identifier_preparer
    # A default is no statement of its own; Alembic compiles one in the same way.
    sql: Any = connection.dialect.ddl_compiler(connection.dialect, None)  # type: ignore[arg-type]
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql(
            f"ALTER TABLE {preparer.format_table(column.table)} ALTER COLUMN {preparer.format_column(column)} "
            f"SET DEFAULT {sql.get_column_default_string(column)}"
        )
        found = {each["name"]: each["default"] for each in sa.inspect(connection).get_columns(column.table.name)}
        savepoint.rollback()
    return found[column.name]


@comparators.dispatch_for("table")
def compare_checks(  # noqa: PLR0913, PLR0917  # Alembic's signature
    context: AutogenContext,
    table_ops: ops.ModifyTableOps,
    schema: str | None,
    table_name: str,
    found_table: sa.Table | None,
    table: sa.Table | None,
) -> None:
    """Find the CHECKs that were added or removed, and those whose text has changed."""
    if OURS not in context.opts or found_table is None or table is None:
        return
    dialect = context.dialect
    found = {
        check["name"]: check["sqltext"]
        for check in context.inspector.get_check_constraints(table_name, schema=schema)
        if check["name"] is not None
    }
    checks = [check for check in table.constraints if isinstance(check, sa.CheckConstraint)]
    wanted = {name: check for check in checks if (name := check_name(check, dialect)) is not None}
    changed = {
        name
        for name in found.keys() & wanted.keys()
        if comparable(found[name]) != comparable(portable_sql(wanted[name].sqltext))
        and _is_other_check(context, wanted[name], name, found[name])
    }
    for name in sorted((found.keys() - wanted.keys()) | changed):
        removed = sa.CheckConstraint(sa.text(found[name]), name=conv(name), table=found_table)
        table_ops.ops.append(ops.DropConstraintOp.from_constraint(removed))
    for name in sorted((wanted.keys() - found.keys()) | changed):
        condition = sa.text(portable_sql(wanted[name].sqltext))
        table_ops.ops.append(ops.CreateCheckConstraintOp(conv(name), table_name, condition, schema=schema))


def check_name(constraint: sa.CheckConstraint, dialect: sa.Dialect) -> str | None:
    """Return the final name of a CHECK, or None when it has none or exists on one of the databases only."""
    if constraint.name is None:
        return None
    if is_type_bound(constraint) and not _is_of_plain_enum(constraint):
        return None
    formatted = dialect.identifier_preparer.format_constraint(constraint)
    return formatted.strip('"') if formatted else None


def is_type_bound(constraint: sa.CheckConstraint) -> bool:
    """Tell whether the CHECK came with a type, such as an enum that is stored as a string."""
    # SQLAlchemy keeps it in a private attribute only; Alembic reads the same one.
    return bool(constraint._type_bound)  # noqa: SLF001


def _is_of_plain_enum(constraint: sa.CheckConstraint) -> bool:
    types = [getattr(column.type, "impl", column.type) for column in constraint.columns]
    return any(isinstance(type_, sa.Enum) and not type_.native_enum for type_ in types)


def _is_other_check(context: AutogenContext, wanted: sa.CheckConstraint, name: str, found: str) -> bool:
    connection = context.connection
    if context.dialect.name != "postgresql" or connection is None or wanted.table is None:
        return True
    # PostgreSQL keeps a parsed expression and writes it down in its own words: so it is asked for its words.
    quote = connection.dialect.identifier_preparer.quote
    table = connection.dialect.identifier_preparer.format_table(wanted.table)
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {quote(name)}")
        condition = portable_sql(wanted.sqltext)
        connection.execute(sa.text(f"ALTER TABLE {table} ADD CONSTRAINT {quote(name)} CHECK ({_escape(condition)})"))
        checks = sa.inspect(connection).get_check_constraints(wanted.table.name, schema=wanted.table.schema)
        savepoint.rollback()
    return {check["name"]: check["sqltext"] for check in checks}[name] != found


def _escape(sql: str) -> str:
    return sql.replace(":", r"\:")


@comparators.dispatch_for("table")
def compare_expression_indexes(
    context: AutogenContext,
    table_ops: ops.ModifyTableOps,
    _schema: str | None,
    table_name: str,
    found_table: sa.Table | None,
    table: sa.Table | None,
) -> None:
    """Find added, changed and removed indexes on expressions, which SQLAlchemy does not reflect on SQLite."""
    connection = context.connection
    if OURS not in context.opts or context.dialect.name != "sqlite" or connection is None:
        return
    wanted = {} if table is None else {str(index.name): index for index in table.indexes if has_expressions(index)}
    found: dict[str, sa.Index] = {}
    words: dict[str, str] = {}
    if found_table is not None:
        query = (
            "SELECT name, sql, EXISTS (SELECT 1 FROM pragma_index_info(sqlite_master.name) AS p WHERE p.name IS NULL) "
            "FROM sqlite_master WHERE type = 'index' AND sql > '' AND tbl_name = ?"
        )
        rows = connection.exec_driver_sql(query, (table_name,)).all()
        words = {name: sql for name, sql, is_special in rows if is_special or name in wanted}
        found = {name: _read_index(name, sql, found_table) for name, sql in words.items()}
    changed = {
        name
        for name in found.keys() & wanted.keys()
        if comparable(words[name]) != comparable(str(CreateIndex(wanted[name]).compile(dialect=context.dialect)))
    }
    for name in sorted((found.keys() - wanted.keys()) | changed):
        table_ops.ops.append(ops.DropIndexOp.from_index(found[name]))
    for name in sorted((wanted.keys() - found.keys()) | changed):
        table_ops.ops.append(ops.CreateIndexOp.from_index(wanted[name]))


def _read_index(name: str, sql: str, table: sa.Table) -> sa.Index:
    head, _, rest = sql.partition("(")
    inside, _, condition = rest.rpartition(")") if " WHERE " not in rest.upper() else _split_condition(rest)
    where = sa.text(condition.strip())
    only: dict[str, Any] = {"sqlite_where": where, "postgresql_where": where} if where.text else {}
    return sa.Index(name, sa.text(inside), unique="UNIQUE" in head.upper().split(), _table=table, **only)


def _split_condition(rest: str) -> tuple[str, str, str]:
    position = rest.upper().rindex(" WHERE ")
    return rest[:position].rstrip().removesuffix(")"), ")", rest[position + len(" WHERE ") :]
