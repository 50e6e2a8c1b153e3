"""Compare SQLite's indexes on expressions or on some rows only, which Alembic does not compare."""

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from sqlalchemy.schema import CreateIndex

from fastapi_users_sqlmodel.migrations._compare import OURS
from fastapi_users_sqlmodel.migrations._expressions import comparable, escaped, text_argument
from fastapi_users_sqlmodel.migrations._sqlite import is_special


@comparators.dispatch_for("table")
def compare_expression_indexes(
    context: AutogenContext,
    table_ops: ops.ModifyTableOps,
    _schema: str | None,
    table_name: str,
    found_table: sa.Table | None,
    table: sa.Table | None,
) -> None:
    """Find added, changed and removed indexes on expressions or on some rows only, which Alembic does not compare."""
    connection = context.connection
    if OURS not in context.opts or context.dialect.name != "sqlite" or connection is None:
        return
    every = {} if table is None else {str(index.name): index for index in table.indexes}
    wanted = {name: index for name, index in every.items() if is_special(index)}
    found: dict[str, sa.Index] = {}
    words: dict[str, str] = {}
    if found_table is not None:
        query = (
            "SELECT name, sql, sql LIKE '% WHERE %' OR "
            "EXISTS (SELECT 1 FROM pragma_index_info(sqlite_master.name) AS p WHERE p.name IS NULL) "
            "FROM sqlite_master WHERE type = 'index' AND sql > '' AND tbl_name = ?"
        )
        rows = connection.exec_driver_sql(query, (table_name,)).all()
        words = {name: sql for name, sql, is_no_list in rows if is_no_list or name in wanted}
        wanted |= {name: index for name, index in every.items() if name in words}
        found = {name: _read_index(name, sql, found_table) for name, sql in words.items()}
    changed = {
        name
        for name in found.keys() & wanted.keys()
        if comparable(words[name]) != comparable(_create_index(wanted[name], context.dialect))
    }
    for name in sorted((found.keys() - wanted.keys()) | changed):
        table_ops.ops.append(ops.DropIndexOp.from_index(found[name]))
    for name in sorted((wanted.keys() - found.keys()) | changed):
        table_ops.ops.append(ops.CreateIndexOp.from_index(wanted[name]))


def grouped(element: Any) -> Any:
    """Put parentheses around an expression of an index, if it is no function; text has those of its author."""
    return element if isinstance(element, sa.TextClause) else element.self_group()


def _create_index(index: sa.Index, dialect: sa.Dialect) -> str:
    """Return the statement that the migration of an index runs."""
    elements = [
        each if isinstance(each, sa.Column) else sa.text(text_argument(grouped(each))) for each in index.expressions
    ]
    written = sa.Index(index.name, *elements, unique=index.unique, _table=index.table, **index.dialect_kwargs)
    statement = str(CreateIndex(written).compile(dialect=dialect))
    # An index belongs to its table from its construction on, and this table is the project's.
    if index.table is not None:
        index.table.indexes.discard(written)
    return statement


def _read_index(name: str, sql: str, table: sa.Table) -> sa.Index:
    head, _, rest = sql.partition("(")
    inside, _, condition = rest.rpartition(")") if " WHERE " not in rest.upper() else _split_condition(rest)
    where = sa.text(escaped(condition.strip()))
    only: dict[str, Any] = {"sqlite_where": where, "postgresql_where": where} if where.text else {}
    return sa.Index(name, sa.text(escaped(inside)), unique="UNIQUE" in head.upper().split(), _table=table, **only)


def _split_condition(rest: str) -> tuple[str, str, str]:
    position = rest.upper().rindex(" WHERE ")
    return rest[:position].rstrip().removesuffix(")"), ")", rest[position + len(" WHERE ") :]
