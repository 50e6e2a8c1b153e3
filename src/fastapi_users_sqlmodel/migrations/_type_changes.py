"""Write the changes of a column's type that PostgreSQL makes only when it is told how: with a USING clause."""

import re

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import to_list
from sqlalchemy.types import TypeEngine

from fastapi_users_sqlmodel.migrations._expressions import PORTABLE
from fastapi_users_sqlmodel.migrations._type_source import ddl_of
from fastapi_users_sqlmodel.migrations._types import named_types

_STRING = re.compile(r"(?:VARCHAR|TEXT|CHAR|CITEXT)\b")
_INTEGERS = {"SMALLINT", "INTEGER", "BIGINT"}


class AlterTypeOp(ops.AlterColumnOp):
    """Change a type with a USING clause, which Alembic does not render."""

    using: str


@renderers.dispatch_for(AlterTypeOp)
def _render(context: AutogenContext, op: AlterTypeOp) -> list[str]:
    alter = renderers.dispatch(ops.AlterColumnOp(op.table_name, op.column_name))
    (rendered,) = to_list(alter(context, op))
    return [
        f"# On PostgreSQL each row of {op.column_name} is converted by this expression: every value has to allow it.",
        f"{rendered.removesuffix(')')},\n           postgresql_using={op.using!r})",
    ]


def is_array(type_: TypeEngine[object], dialect: sa.Dialect) -> bool:
    """Return whether a type is an array on a database."""
    return (ddl_of(type_, dialect) or "").endswith("[]")


def with_using(op: ops.MigrateOperation) -> list[ops.MigrateOperation]:
    """Return the operations that change a type: with USING where no automatic cast exists, and then without a default.

    PostgreSQL converts a default by automatic casts only, so it is dropped first and set again afterwards.
    """
    if not isinstance(op, ops.AlterColumnOp) or op.modify_type is None or op.existing_type is None:
        return [op]
    using = _using(PORTABLE.identifier_preparer.quote(op.column_name), op.existing_type, op.modify_type)
    if using is None:
        return [op]
    before = op.existing_server_default or None
    after = before if op.modify_server_default is False else op.modify_server_default
    op.__class__ = AlterTypeOp
    op.using = using  # type: ignore[attr-defined]  # see the line above
    op.modify_server_default, op.existing_server_default = False, None
    dropped, restored = (
        ops.AlterColumnOp(
            op.table_name, op.column_name, schema=op.schema, existing_type=type_, modify_server_default=default
        )
        for type_, default in ((op.existing_type, None), (op.modify_type, after))
    )
    return [*([dropped] if before is not None else []), op, *([restored] if after is not None else [])]


def _using(column: str, found: TypeEngine[object], wanted: TypeEngine[object]) -> str | None:
    was, ddl = ddl_of(found, PORTABLE), ddl_of(wanted, PORTABLE)
    if was is None or ddl is None:
        return None
    if is_array(wanted, PORTABLE) and not is_array(found, PORTABLE):
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE ARRAY[{column}]{_cast(found, wanted, '[]') or ''} END"
    if is_array(found, PORTABLE) and not is_array(wanted, PORTABLE):
        return f"{column}[1]{_cast(found, wanted, '') or ''}"
    cast = _cast(found, wanted, "[]" if is_array(wanted, PORTABLE) else "")
    return None if cast is None else f"{column}{cast}"


def _cast(found: TypeEngine[object], wanted: TypeEngine[object], brackets: str) -> str | None:
    """Return the explicit cast, or None where PostgreSQL casts by itself: to strings, and among numbers or times."""
    was, ddl = str(ddl_of(found, PORTABLE)).removesuffix("[]"), str(ddl_of(wanted, PORTABLE)).removesuffix("[]")
    if was == ddl or _STRING.match(ddl):
        return None
    if _STRING.match(was):
        return f"::{ddl}{brackets}"
    if any(isinstance(each, sa.Enum) for type_ in (found, wanted) for each in named_types(type_)):
        return f"::text{brackets}::{ddl}{brackets}"
    if "BOOLEAN" in {was, ddl} and {was, ddl} & _INTEGERS:
        return f"::integer{brackets}::{ddl}{brackets}"
    return None
