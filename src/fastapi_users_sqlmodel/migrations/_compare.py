"""Compare what Alembic does not compare, or compares wrongly: server defaults, CHECKs, indexes on expressions."""

from collections.abc import Callable
from typing import Any, override

import sqlalchemy as sa
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.operations import ops
from alembic.util import CommandError, warn
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.sql.elements import ClauseElement, conv

from fastapi_users_sqlmodel.migrations._expressions import (
    PORTABLE,
    comparable,
    escaped,
    is_null,
    literal_value,
    normal_value,
    portable_sql,
    text_argument,
)
from fastapi_users_sqlmodel.migrations._postgres_words import (
    check_in_postgres,
    computed_in_postgres,
    default_in_postgres,
    is_same_index,
)
from fastapi_users_sqlmodel.migrations._sqlite import RebuildingSQLiteImpl, is_special

# Comparators are registered for the whole process; this option tells ours that the environment is ours. Its value is
# what the project gave as `compare_server_default`, or None.
OURS = "fastapi_users_sqlmodel"


_UNNAMED = (
    "The table {table} has a CHECK without a name, ({condition}), which is not in the database. Nothing was written "
    "for it, because no migration could drop it again: give it a name in the model."
)

type CompareServerDefault = Callable[..., bool | None]


class _ComparesDefaults(DefaultImpl):
    """Server defaults, compared by us where Alembic would ask the database to evaluate them.

    Alembic asks this method after it has dealt with `Computed` and `Identity`. A callable `compare_server_default`
    would be asked before, and Alembic 1.18 to 1.20 fail on both then.
    """

    @override
    def render_ddl_sql_expr(self, expr: ClauseElement, *args: Any, **kw: Any) -> str:
        sql = super().render_ddl_sql_expr(expr, *args, **kw)
        # A driver with such parameters undoubles the percent signs of a statement, and a file is no statement.
        is_doubled = OURS in self.context_opts and self.dialect.paramstyle in {"format", "pyformat"}
        return sql.replace("%%", "%") if is_doubled else sql

    @override
    def compare_server_default(
        self,
        inspector_column: sa.Column[Any],
        metadata_column: sa.Column[Any],
        rendered_metadata_default: str | None,
        rendered_inspector_default: str | None,
    ) -> bool:
        if OURS not in self.context_opts:
            # Alembic left the types away.
            alembics: Any = super().compare_server_default
            return bool(
                alembics(inspector_column, metadata_column, rendered_metadata_default, rendered_inspector_default)
            )
        theirs: CompareServerDefault | None = self.context_opts[OURS]
        if theirs is not None:
            default = metadata_column.server_default
            found = theirs(
                inspector_column, metadata_column, rendered_inspector_default, default, rendered_metadata_default
            )
            if found is not None:
                return found
        return _is_other_default(
            self.connection, inspector_column, metadata_column, rendered_inspector_default, rendered_metadata_default
        )


class ComparingSQLiteImpl(_ComparesDefaults, RebuildingSQLiteImpl):
    """Alembic's operations on SQLite, with our comparison."""

    __dialect__ = "sqlite"

    def _compare_identity_default(self, *_: object) -> tuple[set[str], set[str], bool]:
        # SQLite has no identity columns, and says so of each of them.
        return set(), set(), False


class ComparingPostgresqlImpl(_ComparesDefaults, PostgresqlImpl):
    """Alembic's operations on PostgreSQL, with our comparison."""

    __dialect__ = "postgresql"

    @override
    def compare_indexes(self, metadata_index: sa.Index, reflected_index: sa.Index) -> Any:
        found = super().compare_indexes(metadata_index, reflected_index)
        if OURS not in self.context_opts or self.connection is None:
            return found
        is_left_to_us = is_special(metadata_index) or is_special(reflected_index)
        if not is_left_to_us and not found.is_equal:
            return found
        is_same = is_same_index(self.connection, metadata_index, reflected_index)
        if is_same is None or metadata_index.unique != reflected_index.unique:
            return found
        return type(found).Equal() if is_same else type(found).Different("its definition")


def refuse_identity(connection: sa.Connection, table: sa.Table, wanted: sa.Column[Any], column_info: Any) -> None:
    """Refuse what Alembic takes for one change and PostgreSQL for two: an identity in place of a default, or back.

    Raises:
        CommandError: It is such a change.
    """
    if connection.dialect.name != "postgresql":
        return
    was_identity = column_info.get("identity") is not None
    # Alembic hides the default of a SERIAL; this is left of it.
    had_default = column_info.get("default") is not None or column_info.get("autoincrement") is True
    name = f"{table.fullname}.{wanted.name}"
    if was_identity and isinstance(wanted.server_default, sa.DefaultClause):
        raise CommandError(
            f"The column {name} is an identity in the database and has a default in the model. Write a revision: "
            f"ALTER TABLE … ALTER COLUMN {wanted.name} DROP IDENTITY, then SET DEFAULT …"
        )
    if wanted.identity is not None and had_default and not was_identity:
        raise CommandError(
            f"The column {name} has a default (SERIAL has one) in the database and is an identity in the model. Write "
            f"a revision: ALTER TABLE … ALTER COLUMN {wanted.name} DROP DEFAULT, then ADD GENERATED … AS IDENTITY, and "
            "set its sequence past the highest value."
        )


def read_nullable(connection: sa.Connection, table: sa.Table, column_info: Any) -> None:
    """Let a column be nullable by its own definition; SQLAlchemy reflects the NOT NULL of its domain as its own."""
    if connection.dialect.name == "postgresql" and isinstance(column_info["type"], DOMAIN):
        query = sa.text("SELECT attnotnull FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :name")
        name = PORTABLE.identifier_preparer.format_table(table)
        column_info["nullable"] = not connection.scalar(query, {"table": name, "name": column_info["name"]})


def compare_computed(connection: sa.Connection, table: sa.Table, wanted: sa.Column[Any], column_info: Any) -> None:
    """Warn when the expression of a computed column has changed, which no migration can alter.

    Alembic compares such expressions as text, and warns of the casts that PostgreSQL adds. It is given the model's
    text, so that it has nothing to add.
    """
    if wanted.computed is None or "computed" not in column_info:
        return
    sql, found = portable_sql(wanted.computed.sqltext), str(column_info["computed"]["sqltext"])
    is_same = comparable(sql) == comparable(found)
    if not is_same and connection.dialect.name == "postgresql":
        is_same = computed_in_postgres(connection, table, wanted) == found
    if not is_same:
        warn(
            f"The computed column {table.fullname}.{wanted.name} is ({found}) in the database and ({sql}) in the "
            "model. Nothing was written for it: drop the column and add it again in a revision."
        )
    column_info["computed"]["sqltext"] = text_argument(wanted.computed.sqltext)


def _is_other_default(
    connection: sa.Connection | None,
    found_column: sa.Column[Any],
    column: sa.Column[Any],
    inspected: str | None,
    rendered: str | None,
) -> bool:
    if column.primary_key and column is column.table.autoincrement_column:
        # PostgreSQL's SERIAL: the default belongs to the sequence.
        return False
    default = column.server_default
    if default is None and isinstance(found_column.type, DOMAIN):
        # SQLAlchemy reflects the domain's default as the column's.
        return False
    nothing = [inspected is None or is_null(inspected), rendered is None or is_null(rendered)]
    if inspected is None or rendered is None or any(nothing) or not isinstance(default, sa.DefaultClause):
        return nothing[0] is not nothing[1]
    type_ = column.type
    wanted = normal_value(default.arg, type_) if isinstance(default.arg, str) else literal_value(rendered, type_)
    found = literal_value(inspected, type_)
    if wanted is not None and found is not None:
        is_same = wanted == found
    else:
        is_same = comparable(rendered) == comparable(inspected)
    if is_same or connection is None or connection.dialect.name != "postgresql":
        return not is_same
    return default_in_postgres(connection, found_column.table, column) != inspected


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
    reflected = [
        (check["name"], check["sqltext"])
        for check in context.inspector.get_check_constraints(table_name, schema=schema)
    ]
    wanted = {name: check for check in checks_of(table) if (name := check_name(check, dialect)) is not None}
    for check in checks_of(table):
        # PostgreSQL gives it a name, and SQLite none.
        if check.name is None and not is_type_bound(check):
            others = [each for each in reflected if each[0] not in wanted]
            same = next((each for each in others if _is_same_check(context, found_table, check, each[1])), None)
            if same is None:
                warn(_UNNAMED.format(table=table.fullname, condition=portable_sql(check.sqltext)))
            else:
                reflected.remove(same)
    found = {name: sql for name, sql in reflected if name is not None}
    changed = {
        name
        for name in found.keys() & wanted.keys()
        if not _is_same_check(context, found_table, wanted[name], found[name])
    }
    for name in sorted((found.keys() - wanted.keys()) | changed):
        removed = sa.CheckConstraint(sa.text(escaped(found[name])), name=conv(name), table=found_table)
        table_ops.ops.append(ops.DropConstraintOp.from_constraint(removed))
    for name in sorted((wanted.keys() - found.keys()) | changed):
        condition = sa.text(text_argument(wanted[name].sqltext))
        table_ops.ops.append(ops.CreateCheckConstraintOp(conv(name), table_name, condition, schema=schema))


def checks_of(table: sa.Table) -> list[sa.CheckConstraint]:
    """Return the CHECKs of a table; SQLAlchemy keeps one that is an argument of a column in that column only."""
    constraints = [*table.constraints, *(each for column in table.columns for each in column.constraints)]
    return [each for each in constraints if isinstance(each, sa.CheckConstraint)]


def check_name(constraint: sa.CheckConstraint, dialect: sa.Dialect) -> str | None:
    """Return the final name of a CHECK, or None when it has none or exists on one of the databases only."""
    if constraint.name is None:
        return None
    if is_type_bound(constraint) and not _is_of_plain_enum(constraint):
        return None
    # Alembic asks in the same way for the name without quotes, and without the driver's doubled percent sign.
    formatted: str | None = dialect.identifier_preparer.format_constraint(constraint, _alembic_quote=False)
    return formatted or None


def is_type_bound(constraint: sa.CheckConstraint) -> bool:
    """Return whether the CHECK came with a type, such as an enum that is stored as a string."""
    # SQLAlchemy keeps it in a private attribute only; Alembic reads the same one.
    return bool(constraint._type_bound)  # noqa: SLF001


def _is_of_plain_enum(constraint: sa.CheckConstraint) -> bool:
    types = [getattr(column.type, "impl", column.type) for column in constraint.columns]
    return any(isinstance(type_, sa.Enum) and not type_.native_enum for type_ in types)


def _is_same_check(context: AutogenContext, found_table: sa.Table, wanted: sa.CheckConstraint, found: str) -> bool:
    sql, connection = portable_sql(wanted.sqltext), context.connection
    if comparable(found) == comparable(sql):
        return True
    if context.dialect.name != "postgresql" or connection is None:
        return False
    return check_in_postgres(connection, found_table, sql) == found
