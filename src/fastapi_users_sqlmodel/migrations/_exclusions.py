"""Compare, add and drop PostgreSQL's exclusion constraints, which Alembic does not compare and SQLite does not have."""

from typing import override

import sqlalchemy as sa
from alembic.autogenerate import comparators, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from fastapi_users_sqlmodel.migrations._compare import OURS
from fastapi_users_sqlmodel.migrations._expressions import PORTABLE, comparable, escaped
from fastapi_users_sqlmodel.migrations._named_types import ONLY_ON_POSTGRESQL
from fastapi_users_sqlmodel.migrations._postgres_words import exclusion_in_postgres, exclusions_of


class ExclusionOp(ops.MigrateOperation):
    """Change an exclusion constraint of a table, on PostgreSQL alone."""

    def __init__(self, table: sa.Table, name: str | None, definition: str) -> None:
        self.table = table
        self.name = name
        self.definition = definition


class AddExclusionOp(ExclusionOp):
    """Add an exclusion constraint to a table."""

    @override
    def reverse(self) -> "DropExclusionOp":
        return DropExclusionOp(self.table, self.name, self.definition)

    @override
    def to_diff_tuple(self) -> tuple[str, str, str | None]:
        return "add_exclusion", self.table.fullname, self.name


class DropExclusionOp(ExclusionOp):
    """Drop an exclusion constraint; the downgrade adds it as it was in the database."""

    @override
    def reverse(self) -> AddExclusionOp:
        return AddExclusionOp(self.table, self.name, self.definition)

    @override
    def to_diff_tuple(self) -> tuple[str, str, str | None]:
        return "remove_exclusion", self.table.fullname, self.name


@renderers.dispatch_for(AddExclusionOp)
def _render_add(_: AutogenContext, op: AddExclusionOp) -> list[str]:
    named = "" if op.name is None else f"CONSTRAINT {PORTABLE.identifier_preparer.quote(op.name)} "
    return _rendered(op, f"ADD {named}{op.definition}")


@renderers.dispatch_for(DropExclusionOp)
def _render_drop(_: AutogenContext, op: DropExclusionOp) -> list[str]:
    return _rendered(op, f"DROP CONSTRAINT {PORTABLE.identifier_preparer.quote(str(op.name))}")


def _rendered(op: ExclusionOp, change: str) -> list[str]:
    sql = f"ALTER TABLE {PORTABLE.identifier_preparer.format_table(op.table)} {change}"
    # A blank line ends a block for Alembic.
    return [ONLY_ON_POSTGRESQL, f"op.execute({escaped(sql)!r})", ""]


def added_with_table(op: ops.MigrateOperation) -> list[ops.MigrateOperation]:
    """Return the operations that create a table without its exclusion constraints, and then add these."""
    if not isinstance(op, ops.CreateTableOp):
        return [op]
    exclusions = [item for item in op.columns if isinstance(item, ExcludeConstraint)]
    op.columns = [item for item in op.columns if not isinstance(item, ExcludeConstraint)]
    return [op, *(_added(each) for each in exclusions)]


def _added(exclusion: ExcludeConstraint) -> AddExclusionOp:
    return AddExclusionOp(exclusion.table, _name(exclusion), _definition(exclusion))


def _name(exclusion: ExcludeConstraint) -> str | None:
    name: str | None = None
    if exclusion.name is not None:
        # Alembic asks in the same way for the name without quotes.
        name = PORTABLE.identifier_preparer.format_constraint(exclusion, _alembic_quote=False)
    return name


def _definition(exclusion: ExcludeConstraint) -> str:
    # A constraint is no statement of its own; Alembic compiles one in the same way.
    sql: str = PORTABLE.ddl_compiler(PORTABLE, None).process(exclusion)  # type: ignore[arg-type]
    if exclusion.name is None:
        return sql
    return sql.removeprefix(f"CONSTRAINT {PORTABLE.identifier_preparer.format_constraint(exclusion)} ")


@comparators.dispatch_for("table")
def compare_exclusions(
    context: AutogenContext,
    table_ops: ops.ModifyTableOps,
    _schema: str | None,
    _table_name: str,
    found_table: sa.Table | None,
    table: sa.Table | None,
) -> None:
    """Find exclusion constraints that were added, changed or removed, and those of a table that was removed.

    Raises:
        CommandError: One that was added to an existing table has no name.
    """
    connection = context.connection
    if OURS not in context.opts or context.dialect.name != "postgresql" or connection is None or found_table is None:
        return
    found = exclusions_of(connection, found_table)
    models = [] if table is None else [each for each in table.constraints if isinstance(each, ExcludeConstraint)]
    wanted = {name: each for each in models if (name := _name(each)) is not None}
    gone = dict(found)
    for exclusion in models:
        name, definition = _name(exclusion), _definition(exclusion)
        candidates = [name] if name is not None else [each for each in found if each not in wanted]
        same = next(
            (each for each in candidates if _is_same(connection, found_table, definition, found.get(each))), None
        )
        if same is not None:
            gone.pop(same, None)
        elif name is None:
            raise CommandError(
                f"The table {found_table.fullname!r} gets an exclusion constraint without a name ({definition}), which "
                "a migration could not drop again: give it a name in the model."
            )
        else:
            table_ops.ops.append(AddExclusionOp(found_table, name, definition))
    for name, definition in gone.items():
        table_ops.ops.append(DropExclusionOp(found_table, name, definition))


def _is_same(connection: sa.Connection, found_table: sa.Table, definition: str, found: str | None) -> bool:
    if found is None:
        return False
    return (
        comparable(definition) == comparable(found)
        or exclusion_in_postgres(connection, found_table, definition) == found
    )
