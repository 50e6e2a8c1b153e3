"""Create, extend and drop PostgreSQL's enums and domains, which live beside the tables that use them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, override

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.types import TypeEngine

from fastapi_users_sqlmodel.migrations._enum_history import members_in_history
from fastapi_users_sqlmodel.migrations._source import CommentOp
from fastapi_users_sqlmodel.migrations._type_changes import is_array
from fastapi_users_sqlmodel.migrations._type_source import POSTGRESQL
from fastapi_users_sqlmodel.migrations._types import (
    NamedType,
    domain_source,
    enum_arguments,
    is_same_type,
    named_types,
    type_name,
)

type TypeName = tuple[str | None, str]

ONLY_ON_POSTGRESQL = 'if op.get_context().dialect.name == "postgresql":'


class CreateNamedTypeOp(ops.MigrateOperation):
    """Create PostgreSQL's type for an enum or a domain."""

    def __init__(self, type_: NamedType) -> None:
        self.type_ = type_

    @override
    def reverse(self) -> "DropNamedTypeOp":
        return DropNamedTypeOp(self.type_)

    @override
    def to_diff_tuple(self) -> tuple[str, str]:
        return f"add_{_kind(self.type_)}", str(self.type_.name)


class DropNamedTypeOp(ops.MigrateOperation):
    """Drop PostgreSQL's type for an enum or a domain, which outlives the tables that use it."""

    def __init__(self, type_: NamedType) -> None:
        self.type_ = type_

    @override
    def reverse(self) -> CreateNamedTypeOp:
        return CreateNamedTypeOp(self.type_)

    @override
    def to_diff_tuple(self) -> tuple[str, str]:
        return f"remove_{_kind(self.type_)}", str(self.type_.name)


class AddMembersOp(ops.MigrateOperation):
    """Add members to PostgreSQL's type for an enum."""

    def __init__(self, name: str, statements: Mapping[str, str]) -> None:
        self.name = name
        self.statements = statements

    @override
    def reverse(self) -> ops.MigrateOperation:
        members = ", ".join(map(repr, self.statements))
        return CommentOp(f"PostgreSQL cannot remove a member of an enum: {members} of {self.name} stays.")

    @override
    def to_diff_tuple(self) -> tuple[str, str, list[str]]:
        return "add_enum_members", self.name, list(self.statements)


def _kind(type_: NamedType) -> str:
    return "domain" if isinstance(type_, DOMAIN) else "enum"


@renderers.dispatch_for(CreateNamedTypeOp)
def _render_create(context: AutogenContext, op: CreateNamedTypeOp) -> list[str]:
    return _rendered(op.type_, "create", context)


@renderers.dispatch_for(DropNamedTypeOp)
def _render_drop(context: AutogenContext, op: DropNamedTypeOp) -> list[str]:
    return _rendered(op.type_, "drop", context)


def _rendered(type_: NamedType, verb: str, context: AutogenContext) -> list[str]:
    call = f"{verb}(op.get_bind(), checkfirst=False)"
    if not isinstance(type_, DOMAIN):
        # It does nothing where the database has no enums.
        return [f"sa.Enum({enum_arguments(type_)}).{call}"]
    source = domain_source(type_, create_type=True)
    context.imports |= source.imports
    # A blank line ends a block for Alembic.
    return [ONLY_ON_POSTGRESQL, f"{source.text}.{call}", ""]


@renderers.dispatch_for(AddMembersOp)
def _render_add_members(_: AutogenContext, op: AddMembersOp) -> list[str]:
    # op.execute() takes a colon for the beginning of a parameter.
    statements = [f"op.execute({sql.replace(':', chr(92) + ':')!r})" for sql in op.statements.values()]
    block = "with op.get_context().autocommit_block():"
    return [
        f"# A member that was added to {op.name} can be used after a commit. Other databases keep members as text.",
        *(ONLY_ON_POSTGRESQL, block, *statements, "", ""),
    ]


class NamedTypeChanges:
    """What has to happen to enums and domains so that the tables find those that they use."""

    def __init__(
        self, tables: Iterable[sa.Table], known: Mapping[TypeName, NamedType], context: MigrationContext
    ) -> None:
        dialect = context.dialect
        known = {type_name(each, dialect): each for each in known.values()}
        columns = [(column, each) for table in tables for column in table.columns for each in named_types(column.type)]
        wanted: dict[TypeName, NamedType] = {}
        for column, type_ in columns:
            name = type_name(type_, dialect)
            wanted[name] = type_ if name not in wanted else _larger(wanted[name], type_, column)
        found = _found(context, known)
        self.created = [CreateNamedTypeOp(type_) for name, type_ in wanted.items() if name not in found]
        self.extended = [
            op
            for name, type_ in wanted.items()
            if isinstance(type_, sa.Enum) and (members := found.get(name)) is not None
            for op in _extended(
                type_, members, [column for column, each in columns if type_name(each, dialect) == name]
            )
        ]
        self.dropped = [
            DropNamedTypeOp(_with_members(type_, found.get(name)))
            for name, type_ in reversed(list(known.items()))
            if name not in wanted
        ]


def _larger(one: NamedType, other: NamedType, column: sa.Column[Any]) -> NamedType:
    if not isinstance(one, sa.Enum) or not isinstance(other, sa.Enum):
        return one
    smaller, larger = sorted((one, other), key=lambda enum: len(enum.enums))
    if surplus := [member for member in smaller.enums if member not in larger.enums]:
        raise CommandError(
            f"Two columns use the enum type {one.name} with different members, and differ in "
            f"{', '.join(map(repr, surplus))}: one is {column.table.name}.{column.name}. Give its type another name."
        )
    return larger


def _found(context: MigrationContext, known: Mapping[TypeName, NamedType]) -> dict[TypeName, Sequence[str] | None]:
    """Return the members of each enum that the migrations have made, and None for a domain."""
    if context.dialect.name == "postgresql" and context.connection is not None:
        found: dict[TypeName, Sequence[str] | None] = {}
        inspector: Any = sa.inspect(context.connection)
        for kind, read in (("labels", inspector.get_enums), ("", inspector.get_domains)):
            for each in read(schema="*"):
                schema = None if each["schema"] == context.dialect.default_schema_name else each["schema"]
                found[schema, each["name"]] = each[kind] if kind else None
                if each["visible"]:
                    found.setdefault((None, each["name"]), found[schema, each["name"]])
        return found
    history = members_in_history(context.opts.get("script"))
    return {
        name: history(".".join(filter(None, name)), type_.enums) if isinstance(type_, sa.Enum) else None
        for name, type_ in known.items()
    }


def _extended(enum: sa.Enum, found: Sequence[str], columns: Sequence[sa.Column[Any]]) -> Iterable[AddMembersOp]:
    name = _written((enum.schema, str(enum.name)))
    if gone := [member for member in found if member not in enum.enums]:
        raise CommandError(_refusal(name, gone, enum, columns))
    statements: dict[str, str] = {}
    for position, member in enumerate(enum.enums):
        if member in found:
            continue
        place = ""
        if position > 0:
            place = f" AFTER {_quoted(enum.enums[position - 1])}"
        elif found:
            place = f" BEFORE {_quoted(next(each for each in enum.enums if each in found))}"
        statements[member] = f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {_quoted(member)}{place}"
    if statements:
        yield AddMembersOp(name, statements)


def _refusal(name: str, gone: Sequence[str], enum: sa.Enum, columns: Sequence[sa.Column[Any]]) -> str:
    members = ", ".join(map(_quoted, gone))
    new = [member for member in enum.enums if member not in gone]
    renamed = "; ".join(f"ALTER TYPE {name} RENAME VALUE {_quoted(member)} TO 'its new name'" for member in gone)
    old = _written((enum.schema, f"{enum.name}_old"))
    statements = [
        f"ALTER TYPE {name} RENAME TO {POSTGRESQL.identifier_preparer.quote(f'{enum.name}_old')}",
        f"CREATE TYPE {name} AS ENUM ({', '.join(map(_quoted, new))})",
    ]
    quote = POSTGRESQL.identifier_preparer
    for column in columns:
        alter = f"ALTER TABLE {quote.format_table(column.table)} ALTER COLUMN {quote.format_column(column)}"
        array = "[]" if isinstance(column.type, sa.ARRAY) else ""
        default = column.server_default is not None
        statements += [f"{alter} DROP DEFAULT"] if default else []
        statements.append(f"{alter} TYPE {name}{array} USING {quote.format_column(column)}::text{array}::{name}{array}")
        statements += [f"{alter} SET DEFAULT …"] if default else []
    statements.append(f"DROP TYPE {old}")
    return (
        f"The enum type {name} has lost {members} in the models, and autogenerate cannot know whether it was renamed "
        'or removed. Write that in a revision of your own ("alembic revision -m …"), for PostgreSQL alone '
        f"({ONLY_ON_POSTGRESQL.removesuffix(':')}). If it was renamed: {renamed}. If it was removed, change the rows "
        f"that have it, and make the type anew: {'; '.join(statements)}. Or keep the member in the models."
    )


def _with_members(type_: NamedType, members: Sequence[str] | None) -> NamedType:
    if members is None or isinstance(type_, DOMAIN) or list(members) == list(type_.enums):
        return type_
    # Its downgrade makes what later revisions have added, too.
    return sa.Enum(*members, name=type_.name, schema=type_.schema)


def _written(name: TypeName) -> str:
    schema, word = name
    quote = POSTGRESQL.identifier_preparer.quote
    return quote(word) if schema is None else f"{quote(schema)}.{quote(word)}"


def _quoted(member: str) -> str:
    return "'" + member.replace("'", "''") + "'"


def differs_in_type(
    context: MigrationContext,
    _found_column: Any,
    _column: sa.Column[Any],
    found: TypeEngine[Any],
    wanted: TypeEngine[Any],
) -> bool | None:
    """Tell Alembic what it does not see; None leaves it to Alembic.

    Two enums of one name are one type, whatever their members. A type and an array of it are two types. FLOAT is one of
    two types on PostgreSQL, which one depends on its precision.

    On SQLite an enum is text, whose length would change with the longest member.
    """
    if context.dialect.name == "postgresql" and is_array(found, context.dialect) != is_array(wanted, context.dialect):
        return True
    if isinstance(wanted, sa.Float) and is_same_type(found, wanted, context.dialect):
        return False
    names = [
        type_name(each, context.dialect) if isinstance(each, sa.Enum) and each.native_enum else None
        for each in (found, wanted)
    ]
    return False if names[0] is not None and names[0] == names[1] else None
