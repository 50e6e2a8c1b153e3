"""Write a column type so that a migration needs SQLAlchemy alone, and means the same on SQLite and PostgreSQL."""

import copy
import importlib
import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from fastapi_users_sqlmodel.migrations._type_source import POSTGRESQL, SQLITE, Source, construct, ddl_of, is_public

type NamedType = sa.Enum | DOMAIN

# SQLite reflects these names, and PostgreSQL has no such types: the generic one is what was meant.
_NOT_ON_POSTGRESQL = (sa.DATETIME, sa.BLOB)

_FLOAT = re.compile(r"(?:FLOAT|DOUBLE PRECISION)(?:\((\d+)\))?")
_DIGITS_OF_REAL = 24


def named_types(type_: TypeEngine[Any]) -> Iterator[NamedType]:
    """Find the enums and domains that PostgreSQL has to create first, also inside arrays and decorators."""
    for part in (type_, *_variants(type_).values()):
        plain = _plain(part)
        if isinstance(plain, sa.ARRAY):
            yield from named_types(plain.item_type)
        elif isinstance(plain, DOMAIN):
            yield from named_types(plain.data_type)
            yield plain
        elif isinstance(plain, sa.Enum) and plain.native_enum and plain.name:
            yield plain
        elif isinstance(part, TypeDecorator) and (chosen := _chosen(part, POSTGRESQL)) is not plain:
            yield from named_types(chosen)


def type_name(type_: NamedType, dialect: Dialect) -> tuple[str | None, str]:
    """Return the schema and the name of an enum or a domain; the schema is None where it is the default one."""
    default = dialect.default_schema_name if dialect.name == "postgresql" else "public"
    return None if type_.schema == default else type_.schema, str(type_.name)


def render_type(type_: TypeEngine[Any], context: AutogenContext) -> str:
    """Render as source code, and add the imports that it needs.

    Raises:
        NoSourceError: No source makes an equal type.
    """
    source = type_source(type_)
    context.imports |= source.imports
    return source.text


def type_source(type_: TypeEngine[Any]) -> Source:
    """Return the source of a type with its variants.

    Raises:
        NoSourceError: No source makes an equal type.
    """
    source = _source(_without_variants(type_))
    for name, variant in sorted(_variants(type_).items()):
        source = source.with_variant(_source(variant), name)
    return source


def _variants(type_: TypeEngine[Any]) -> dict[str, TypeEngine[Any]]:
    # SQLAlchemy has no public way to read back what with_variant() was given.
    return dict(type_._variant_mapping)  # noqa: SLF001


def _without_variants(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    if not type_._variant_mapping:  # noqa: SLF001  # see above
        return type_
    bare = copy.copy(type_)
    bare._variant_mapping = type(type_)._variant_mapping  # noqa: SLF001
    return bare


def _plain(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    # Interval is a decorator as well, but one of SQLAlchemy's own words.
    while isinstance(type_, TypeDecorator) and not isinstance(type_, sa.Interval):
        impl: TypeEngine[Any] = type_.impl_instance
        type_ = impl
    return type_


def _source(type_: TypeEngine[Any]) -> Source:
    plain = _plain(type_)
    if isinstance(plain, sa.Enum):
        source = _enum_source(plain)
    elif isinstance(plain, DOMAIN):
        source = domain_source(plain, create_type=False)
    else:
        source = construct(_portable(plain), type_source)
    if plain is type_ or not isinstance(type_, TypeDecorator):
        return source
    # A decorator may choose another type for each database: what it chooses there becomes a variant.
    for each in (POSTGRESQL, SQLITE):
        chosen = _chosen(type_, each)
        if ddl_of(chosen, each) not in {None, ddl_of(plain, each)}:
            variant = _source(chosen)
            if variant.text != source.text:
                source = source.with_variant(variant, each.name)
    return source


def _chosen(decorator: TypeDecorator[Any], dialect: Dialect) -> TypeEngine[Any]:
    try:
        return decorator.load_dialect_impl(dialect)
    except NotImplementedError:
        # It is made for one database only.
        return _plain(decorator)


def _enum_source(enum: sa.Enum) -> Source:
    if not enum.native_enum or not enum.name:
        return Source(f"sa.String(length={enum.length})")
    # The only spelling that neither creates the type with the first table nor fails with the second one, on either
    # version of SQLAlchemy. On SQLite it is a VARCHAR.
    return Source(
        f"postgresql.ENUM({enum_arguments(enum)}, create_type=False)",
        frozenset({"from sqlalchemy.dialects import postgresql"}),
    )


def enum_arguments(enum: sa.Enum) -> str:
    """Render the members and the name of an enum, as either `sa.Enum` or PostgreSQL's own takes them."""
    arguments = [*map(repr, enum.enums), f"name={str(enum.name)!r}"]
    if enum.schema:
        arguments.append(f"schema={str(enum.schema)!r}")
    if enum.length != max(map(len, enum.enums), default=0):
        arguments.append(f"length={enum.length}")
    return ", ".join(arguments)


def domain_source(domain: DOMAIN, *, create_type: bool) -> Source:
    """Return the source of a domain; with `create_type` its `create()` creates it."""
    data_type = type_source(domain.data_type)
    arguments = [repr(str(domain.name)), data_type.text]
    for name in ("schema", "collation", "collation_schema", "constraint_name", "default", "check"):
        value: Any = getattr(domain, name, None)
        if value is not None:
            arguments.append(f"{name}={str(value)!r}")
    if domain.not_null:
        arguments.append("not_null=True")
    if not create_type:
        arguments.append("create_type=False")
    imports = data_type.imports | {"from sqlalchemy.dialects import postgresql"}
    return Source(f"postgresql.DOMAIN({', '.join(arguments)})", imports, data_type.foreign)


def _portable(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    own = re.fullmatch(r"sqlalchemy\.dialects\.(\w+)\..*", type(type_).__module__)
    try:
        generic = type_.as_generic(allow_nulltype=True)
    except (NotImplementedError, TypeError):
        # TypeError: an own type whose arguments are not those of the generic one.
        return type_
    if isinstance(generic, sa.Enum) or not is_public(type(generic)):
        return type_
    if isinstance(type_, _NOT_ON_POSTGRESQL):
        return generic
    # A type of one database has to mean the same there; another database has no such type.
    own_dialect: tuple[Dialect, ...] = (
        () if own is None else (importlib.import_module(f"sqlalchemy.dialects.{own[1]}").dialect(),)
    )
    dialects = [each for each in own_dialect or (POSTGRESQL, SQLITE) if ddl_of(type_, each) is not None]
    return generic if dialects and all(ddl_of(type_, each) == ddl_of(generic, each) for each in dialects) else type_


def is_same_type(one: TypeEngine[Any], other: TypeEngine[Any], dialect: Dialect) -> bool:
    """Return whether the database cannot tell two types from each other."""
    if _comparable_ddl(one, dialect) == _comparable_ddl(other, dialect):
        return True
    # A database reflects what is in its default schema without one.
    names = [[type_name(each, dialect) for each in named_types(type_)] for type_ in (one, other)]
    return bool(names[0]) and names[0] == names[1] and isinstance(one, sa.ARRAY) == isinstance(other, sa.ARRAY)


def _comparable_ddl(type_: TypeEngine[Any], dialect: Dialect) -> str | None:
    ddl = ddl_of(type_, dialect)
    found = _FLOAT.fullmatch(ddl or "") if dialect.name == "postgresql" else None
    # PostgreSQL takes the one and gives the other back.
    if found is None:
        return ddl
    return "REAL" if found[1] and int(found[1]) <= _DIGITS_OF_REAL else "DOUBLE PRECISION"
