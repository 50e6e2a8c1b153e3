"""Bring what autogenerate found into the order, and the words, in which it runs up and down on either database."""

import graphlib
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations import ops
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement, conv

from fastapi_users_sqlmodel.migrations._compare import check_name, is_type_bound
from fastapi_users_sqlmodel.migrations._exclusions import DropExclusionOp, ExclusionOp, added_with_table
from fastapi_users_sqlmodel.migrations._expressions import escaped, render_server_default, text_argument
from fastapi_users_sqlmodel.migrations._named_types import NamedTypeChanges
from fastapi_users_sqlmodel.migrations._scratch import Scratch
from fastapi_users_sqlmodel.migrations._source import CommentOp, PassOp, with_source
from fastapi_users_sqlmodel.migrations._sqlite import is_special
from fastapi_users_sqlmodel.migrations._sqlite_indexes import grouped
from fastapi_users_sqlmodel.migrations._type_changes import with_using
from fastapi_users_sqlmodel.migrations._types import render_type
from fastapi_users_sqlmodel.migrations._verify import check, explain_types


class AddCheckOp(ops.CreateCheckConstraintOp):
    """Add a CHECK to a table, which Alembic cannot render before 1.19."""


@renderers.dispatch_for(AddCheckOp)
def _render_add_check(_: AutogenContext, op: AddCheckOp) -> str:
    # Our migrations change tables in batches only, and a batch knows its table.
    return f"batch_op.create_check_constraint(batch_op.f({str(op.constraint_name)!r}), {text_argument(op.condition)!r})"


class AlterIdentityOp(ops.AlterColumnOp):
    """Add, change or drop an identity; Alembic leaves out the present one, and without it adds it once more."""


@renderers.dispatch_for(AlterIdentityOp)
def _render_alter_identity(context: AutogenContext, op: AlterIdentityOp) -> str:
    alter: Any = renderers.dispatch(ops.AlterColumnOp(op.table_name, op.column_name))
    rendered: str = alter(context, op)
    existing: Any = op.existing_server_default
    # Alembic renders the new one with the same function.
    identity = render._render_server_default(existing, context) if existing else None  # noqa: SLF001
    return f"{rendered.removesuffix(')')},\n           existing_server_default={identity})"


def _with_identity(op: ops.MigrateOperation) -> ops.MigrateOperation:
    if isinstance(op, ops.AlterColumnOp) and op.modify_server_default is not False:
        found = op.existing_server_default, op.modify_server_default
        if any(isinstance(each, sa.Identity) for each in found):
            op.__class__ = AlterIdentityOp
    return op


def render_item(kind: str, item: Any, context: AutogenContext) -> Any:
    """Render one part of a migration as plain `sa.*`; False leaves it to Alembic."""
    rendered: str | None = None
    if kind == "type":
        rendered = render_type(item, context)
    elif kind == "server_default":
        rendered = render_server_default(item, context)
    elif kind == "check":
        return _render_check(item)
    return False if rendered is None else rendered


def _render_check(check: sa.CheckConstraint) -> Any:
    # Those that matter have been made explicit; the types that bring the others are not rendered either.
    if is_type_bound(check):
        return None
    if check.dialect_kwargs:
        return False
    named = "" if check.name is None else f", name={_render_name(check.name)}"
    return f"sa.CheckConstraint({text_argument(check.sqltext)!r}{named})"


def _render_name(name: object) -> str:
    # op.f() says that the naming convention has been applied already.
    return f"op.f({str(name)!r})" if isinstance(name, conv) else repr(str(name))


def rewrite(
    script: ops.MigrationScript, models: Iterable[sa.Table], scratch: Scratch, context: MigrationContext
) -> None:
    """Add what is missing for enums, order what depends on each other, and use the words of earlier migrations."""
    upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
    if upgrade is None or downgrade is None:
        return
    types = NamedTypeChanges(models, scratch.enums, context)
    tables = _tables_dropped_last(list(_flattened(upgrade.ops, scratch)))
    upgrade.ops = [*types.created, *types.extended, *tables, *types.dropped]
    upgrade.reverse_into(downgrade)
    # The downgrade drops them with the table.
    upgrade.ops = [each for op in upgrade.ops for each in added_with_table(op)]
    for op in _all(upgrade.ops):
        _make_portable(op)
        _make_checks_explicit(op)
    for op in _all(downgrade.ops):
        _recall(op, scratch)
    for op in _all(downgrade.ops):
        _make_portable(op)
    explain_types(script)
    for container in (upgrade, downgrade):
        container.ops = list(with_source(container.ops))
        if container.ops and all(isinstance(op, CommentOp) for op in container.ops):
            container.ops.append(PassOp())
    check(script, context)


def _flattened(operations: Sequence[ops.MigrateOperation], scratch: Scratch) -> Iterable[ops.MigrateOperation]:
    for op in operations:
        if not isinstance(op, ops.ModifyTableOps):
            yield op
            continue
        # A batch that rebuilds the table would forget everything about an index but its columns.
        special = [each for each in op.ops if isinstance(each, ExclusionOp) or _is_special_index(each, scratch)]
        yield from (each for each in special if isinstance(each, ops.DropIndexOp | DropExclusionOp))
        op.ops = [each for each in op.ops if each not in special]
        if op.ops:
            yield op
        yield from (each for each in special if not isinstance(each, ops.DropIndexOp | DropExclusionOp))


def _tables_dropped_last(operations: list[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Drop tables when nothing refers to them any more: Alembic drops them before the columns that do, in any order."""
    drops = {op.table_name: op for op in operations if isinstance(op, ops.DropTableOp)}
    referred = {
        name: [key.target_fullname.rpartition(".")[0] for key in op.to_table().foreign_keys]
        for name, op in drops.items()
    }
    order = graphlib.TopologicalSorter(
        {name: [other for other in others if other in drops and other != name] for name, others in referred.items()}
    )
    try:
        names = list(order.static_order())
    except graphlib.CycleError:
        names = list(reversed(drops))
    return [op for op in operations if not isinstance(op, ops.DropTableOp)] + [drops[name] for name in reversed(names)]


def _is_special_index(op: ops.MigrateOperation, scratch: Scratch) -> bool:
    if isinstance(op, ops.DropIndexOp):
        known = scratch.index_of(str(op.table_name), str(op.index_name), schema=op.schema)
        return is_special(op.to_index() if known is None else known)
    return isinstance(op, ops.CreateIndexOp) and is_special(op.to_index())


def _all(operations: Iterable[ops.MigrateOperation]) -> Iterable[ops.MigrateOperation]:
    for op in operations:
        yield op
        if isinstance(op, ops.ModifyTableOps):
            yield from _all(op.ops)


def _make_portable(op: ops.MigrateOperation) -> None:
    if isinstance(op, ops.ModifyTableOps):
        op.ops = [
            AddCheckOp(each.constraint_name, each.table_name, each.condition, schema=each.schema)
            if isinstance(each, ops.CreateCheckConstraintOp)
            else _with_identity(each)
            for found in op.ops
            for each in with_using(found)
        ]
    if not isinstance(op, ops.CreateIndexOp):
        return
    op.columns = [
        element if isinstance(element, str | sa.Column) else sa.text(text_argument(grouped(element)))
        for element in op.columns
    ]
    op.kw = {
        # Alembic compiles it once before it writes it.
        name: sa.text(escaped(text_argument(value))) if isinstance(value, ClauseElement) else value
        for name, value in op.kw.items()
    }


def _make_checks_explicit(op: ops.MigrateOperation) -> None:
    """Let CHECKs be those of the table: of a plain enum, which becomes a string, and the arguments of a column."""
    if not isinstance(op, ops.CreateTableOp):
        return
    items: list[Any] = []
    of_columns = [each for item in op.columns if isinstance(item, sa.Column) for each in item.constraints]
    of_table = [
        sa.CheckConstraint(text_argument(each.sqltext), name=each.name, **each.dialect_kwargs)
        for each in of_columns
        if isinstance(each, sa.CheckConstraint)
    ]
    for item in (*op.columns, *of_table):
        if isinstance(item, sa.CheckConstraint) and is_type_bound(item):
            name = check_name(item, sqlite.dialect())
            items += [] if name is None else [sa.CheckConstraint(text_argument(item.sqltext), name=conv(name))]
        else:
            items.append(item)
    op.columns = items


def _recall(op: ops.MigrateOperation, scratch: Scratch) -> None:
    """Let a downgrade make again what the migrations made, and not what a database makes of it."""
    if isinstance(op, ops.CreateTableOp):
        op.columns = [_recalled(item, op, scratch) for item in op.columns]
    elif isinstance(op, ops.CreateIndexOp):
        if (index := scratch.index_of(op.table_name, str(op.index_name), schema=op.schema)) is not None:
            op.columns = [each.name if isinstance(each, sa.Column) else each for each in index.expressions]
            op.kw = dict(index.kwargs)
    elif isinstance(op, ops.AddColumnOp):
        _recalled(op.column, op, scratch)
    elif isinstance(op, ops.CreateCheckConstraintOp):
        known = scratch.check_of(op.table_name, str(op.constraint_name), schema=op.schema)
        op.condition = op.condition if known is None else sa.text(escaped(known))
    elif isinstance(op, ops.AlterColumnOp) and isinstance(op.modify_server_default, sa.DefaultClause):
        known_default = scratch.default_of(op.table_name, op.column_name, schema=op.schema)
        op.modify_server_default = known_default or op.modify_server_default


def _recalled(item: Any, op: ops.CreateTableOp | ops.AddColumnOp, scratch: Scratch) -> Any:
    if isinstance(item, sa.Column) and isinstance(item.server_default, sa.DefaultClause):
        item.server_default = scratch.default_of(op.table_name, item.name, schema=op.schema) or item.server_default
    elif isinstance(item, sa.CheckConstraint) and (
        known := scratch.check_of(op.table_name, str(item.name), schema=op.schema)
    ):
        return sa.CheckConstraint(escaped(known), name=conv(str(item.name)))
    return item
