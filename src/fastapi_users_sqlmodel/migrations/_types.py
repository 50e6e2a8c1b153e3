"""Write a column type so that a migration needs SQLAlchemy alone, and means the same on SQLite and PostgreSQL."""

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
_SQLITE: Dialect = sqlite.dialect()

# SQLite reflects these names, and PostgreSQL has no such types: the generic one is what was meant.
_NOT_ON_POSTGRESQL = (sa.DATETIME, sa.BLOB)

_DOUBLE = {"FLOAT", "FLOAT(53)", "DOUBLE PRECISION(53)"}


def native_enums(type_: TypeEngine[Any]) -> Iterator[sa.Enum]:
    """Find the enums for which PostgreSQL has types of their own, also inside arrays and decorators."""
    for part in (type_, *_variants(type_).values()):
        plain = _plain(part)
        if isinstance(plain, sa.ARRAY):
            yield from native_enums(plain.item_type)
        elif isinstance(plain, sa.Enum) and plain.native_enum and plain.name:
            yield plain


def render_type(type_: TypeEngine[Any], context: AutogenContext) -> str | None:
    """Render as source code, or return None where Alembic's own rendering is the best there is."""
    rendered = _render(type_, context)
    if rendered is None:
        return None
    for name, variant in sorted(_variants(type_).items()):
        in_variant = _render(variant, context)
        if in_variant is None:
            return None
        rendered = f"{rendered}.with_variant({in_variant}, {name!r})"
    return rendered


def _variants(type_: TypeEngine[Any]) -> dict[str, TypeEngine[Any]]:
    # SQLAlchemy has no public way to read back what with_variant() was given.
    return dict(type_._variant_mapping)  # noqa: SLF001


def _plain(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    # Interval is a decorator as well, but one of SQLAlchemy's own words.
    while isinstance(type_, TypeDecorator) and not isinstance(type_, sa.Interval):
        impl: TypeEngine[Any] = type_.impl_instance
        type_ = impl
    return type_


def _render(type_: TypeEngine[Any], context: AutogenContext) -> str | None:
    plain = _plain(type_)
    if isinstance(plain, sa.ARRAY):
        return None
    if isinstance(plain, sa.Enum):
        rendered: str | None = _render_enum(plain, context)
    else:
        rendered = _render_plain(_portable(plain, context), context)
    if plain is type_ or not isinstance(type_, TypeDecorator):
        return rendered
    # A decorator may choose another type for each database: what it chooses there becomes a variant.
    for dialect in (_POSTGRESQL, _SQLITE):
        chosen: TypeEngine[Any] = type_.load_dialect_impl(dialect)
        if _ddl(chosen, dialect) != _ddl(plain, dialect):
            variant = _render(chosen, context)
            if variant is not None and variant != rendered:
                rendered = f"{rendered}.with_variant({variant}, {dialect.name!r})"
    return rendered


def _render_enum(enum: sa.Enum, context: AutogenContext) -> str:
    if not enum.native_enum or not enum.name:
        return f"sa.String(length={enum.length})"
    # The only spelling that neither creates the type with the first table nor fails with the second one, on either
    # version of SQLAlchemy. On SQLite it is a VARCHAR.
    context.imports.add("from sqlalchemy.dialects import postgresql")
    return f"postgresql.ENUM({enum_arguments(enum)}, create_type=False)"


def enum_arguments(enum: sa.Enum) -> str:
    """Render the members and the name of an enum, as either `sa.Enum` or PostgreSQL's own takes them."""
    arguments = [*map(repr, enum.enums), f"name={str(enum.name)!r}"]
    if enum.schema:
        arguments.append(f"schema={str(enum.schema)!r}")
    if enum.length != max(map(len, enum.enums), default=0):
        arguments.append(f"length={enum.length}")
    return ", ".join(arguments)


def _portable(type_: TypeEngine[Any], context: AutogenContext) -> TypeEngine[Any]:
    own = re.fullmatch(r"sqlalchemy\.dialects\.(\w+)\..*", type(type_).__module__)
    try:
        generic = type_.as_generic(allow_nulltype=True)
    except NotImplementedError:
        return type_
    if isinstance(generic, sa.Enum) or generic is type_:
        return type_
    if isinstance(type_, _NOT_ON_POSTGRESQL):
        return generic
    dialects: tuple[Dialect, ...] = (context.dialect,) if own else (_POSTGRESQL, _SQLITE)
    return generic if all(_ddl(type_, each) == _ddl(generic, each) for each in dialects) else type_


def _render_plain(type_: TypeEngine[Any], context: AutogenContext) -> str | None:
    module = type(type_).__module__
    if own := re.fullmatch(r"sqlalchemy\.dialects\.(\w+)\..*", module):
        context.imports.add(f"from sqlalchemy.dialects import {own[1]}")
        return f"{own[1]}.{type_!r}"
    if hasattr(sa, type(type_).__name__) and module.startswith("sqlalchemy."):
        return f"sa.{type_!r}"
    return None


def is_same_type(one: TypeEngine[Any], other: TypeEngine[Any], dialect: Dialect) -> bool:
    """Tell whether the database cannot tell two types from each other."""
    return _ddl(one, dialect) == _ddl(other, dialect)


def _ddl(type_: TypeEngine[Any], dialect: Dialect) -> str | None:
    try:
        ddl = type_.compile(dialect=dialect)
    except sa.exc.CompileError:
        return None
    # PostgreSQL takes the one and gives the other back.
    return "DOUBLE PRECISION" if dialect.name == "postgresql" and ddl in _DOUBLE else ddl
