"""Prove before a migration is written that it is Python, and say which types it has to import."""

import ast
import builtins
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy.types import NullType, TypeEngine

from fastapi_users_sqlmodel.migrations._source import CommentOp
from fastapi_users_sqlmodel.migrations._type_source import NoSourceError
from fastapi_users_sqlmodel.migrations._types import type_source

_log = logging.getLogger(__name__)

# What the template imports, and what a batch brings; everything else comes with an import of its own.
_NAMES = {"op", "sa", "batch_op", *vars(builtins)}


def explain_types(script: ops.MigrationScript) -> None:
    """Put a comment before each operation that imports a type, because SQLAlchemy has none that means the same.

    Raises:
        CommandError: A type cannot be written as source code; the message names its table and column.
    """
    told: set[str] = set()
    for container in (script.upgrade_ops, script.downgrade_ops):
        if container is not None:
            container.ops = [each for op in container.ops for each in (*_comments(op, told), op)]


def _comments(op: ops.MigrateOperation, told: set[str]) -> Iterator[CommentOp]:
    for table, column, type_ in _types_of(op):
        if isinstance(type_, NullType):
            yield CommentOp(f"SQLAlchemy does not know the type of {table}.{column}: write it in place of NullType().")
            continue
        try:
            foreign = type_source(type_).foreign
        except NoSourceError as error:
            raise CommandError(
                f"The type of {table}.{column}, {type(type_).__name__}, cannot be written into a migration, because "
                f"{error}. Define its class at the top of a module that can be imported, with a repr() that makes an "
                "equal type, or use a TypeDecorator over a type of SQLAlchemy."
            ) from None
        for name in sorted(foreign):
            yield CommentOp(f"{table}.{column} has the type {name}, which SQLAlchemy does not have: it is imported.")
            if name not in told:
                told.add(name)
                _log.warning("The migration imports %s, for which SQLAlchemy has no type of its own.", name)


def _types_of(op: ops.MigrateOperation) -> Iterator[tuple[str, str, TypeEngine[Any]]]:
    if isinstance(op, ops.ModifyTableOps):
        for each in op.ops:
            yield from _types_of(each)
    elif isinstance(op, ops.CreateTableOp):
        yield from ((op.table_name, each.name, each.type) for each in op.columns if isinstance(each, sa.Column))
    elif isinstance(op, ops.AddColumnOp):
        yield op.table_name, op.column.name, op.column.type
    elif isinstance(op, ops.AlterColumnOp):
        for type_ in (op.existing_type, op.modify_type):
            if isinstance(type_, TypeEngine):
                yield op.table_name, op.column_name, type_


def check(script: ops.MigrationScript, context: MigrationContext) -> None:
    """Render every operation as Alembic is going to, compile it, and look for names that nothing brings.

    Raises:
        CommandError: The file would be no Python, or a constraint in it has no name; the message names the table.
    """
    _refuse_unnamed(script)
    autogen = AutogenContext(context)
    known = _NAMES | _names_of_template(context)
    for container in (script.upgrade_ops, script.downgrade_ops):
        for op in [] if container is None else container.ops:
            # Alembic renders a whole revision only, and an error has to name its table.
            source = render._render_cmd_body(ops.UpgradeOps([op]), autogen)  # noqa: SLF001
            if (problem := _problem(source, known | _names_of("\n".join(autogen.imports)))) is not None:
                raise CommandError(
                    f"The migration of {_subject(op)} would not be Python: {problem}. An object in the models has a "
                    "repr() that is no source code; give it one, or write this migration by hand."
                )


def _refuse_unnamed(script: ops.MigrationScript) -> None:
    for container in (script.upgrade_ops, script.downgrade_ops):
        for table_ops in [] if container is None else container.ops:
            for op in table_ops.ops if isinstance(table_ops, ops.ModifyTableOps) else []:
                is_constraint = isinstance(op, ops.AddConstraintOp | ops.DropConstraintOp)
                if is_constraint and not getattr(op, "constraint_name", None):
                    raise CommandError(_unnamed(op))


def _unnamed(op: Any) -> str:
    if isinstance(op, ops.DropConstraintOp):
        kind, columns = str(op.constraint_type), ""
    else:
        is_key = isinstance(op, ops.CreateForeignKeyOp)
        kind = "foreignkey" if is_key else "unique"
        columns = f" over {', '.join(op.local_cols if is_key else op.columns)}"
    words = {"foreignkey": "FOREIGN KEY", "unique": "UNIQUE"}.get(kind, kind)
    table = op.source_table if isinstance(op, ops.CreateForeignKeyOp) else op.table_name
    return (
        f"The table {str(table)!r} has a {words} constraint{columns} without a name, which a migration can neither add "
        "to a table nor drop on every database. Give it a name in the model, or let all have one: "
        "MetaData(naming_convention=NAMING_CONVENTION), from fastapi_users_sqlmodel. A constraint that is already in "
        "the database without a name is changed in a revision that you write: "
        "op.batch_alter_table(…, naming_convention=…) gives it the name by which it can be dropped."
    )


def _problem(source: str, known: set[str]) -> str | None:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return f"{(error.text or '').strip()} ({error.msg})"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
            return f"{source.splitlines()[node.lineno - 1].strip()} (nothing defines {node.id})"
    return None


def _subject(op: ops.MigrateOperation) -> str:
    table = getattr(op, "table_name", None)
    return type(op).__name__ if table is None else f"the table {str(table)!r}"


def _names_of_template(context: MigrationContext) -> set[str]:
    directory: Any = context.opts.get("script")
    template = Path(directory.dir) / "script.py.mako" if directory is not None else None
    if template is None or not template.is_file():
        return set()
    return _names_of("\n".join(re.findall(r"^(?:import|from) [^$\n(]+$", template.read_text("utf-8"), re.MULTILINE)))


def _names_of(imports: str) -> set[str]:
    aliases = [
        alias
        for node in ast.walk(ast.parse(imports))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    return {alias.asname or alias.name.partition(".")[0] for alias in aliases}
