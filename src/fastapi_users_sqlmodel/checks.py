"""Find in the mapped classes, in words, what would go wrong later: at start-up and in tests."""

import inspect
import sys
import types
import warnings
from collections.abc import Collection, Iterator
from typing import Any, get_args, get_origin, get_type_hints

from sqlalchemy import Column, Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    InvalidRequestError,
    NoReferencedColumnError,
    NoReferencedTableError,
    SAWarning,
    SQLAlchemyError,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, RelationshipProperty, registry
from sqlmodel import SQLModel
from sqlmodel.main import default_registry

from fastapi_users_sqlmodel.bridge import registry_of

_EAGER = {"joined", "selectin", "subquery", "immediate", False}
_DIALECTS: tuple[Dialect, ...] = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]


def check_models(base: type[DeclarativeBase | SQLModel], *, allow: Collection[str] = ()) -> None:
    """Refuse models that would fail later, with everything that is wrong in one message.

    Args:
        base: The declarative base whose registry holds all tables.
        allow: Relationships such as `"User.oauth_accounts"` that may load by themselves, because you know a bound.

    Raises:
        sqlalchemy.exc.InvalidRequestError: What `model_problems` finds, a line each.
    """
    if problems := model_problems(base, allow=allow):
        raise InvalidRequestError("the models do not fit together:\n" + "\n".join(f"- {line}" for line in problems))


def model_problems(base: type[DeclarativeBase | SQLModel], *, allow: Collection[str] = ()) -> list[str]:
    """Say what is wrong with the models of a registry, a sentence each; an empty list when all is well."""
    models = registry_of(base)
    problems = [*_tables_elsewhere(models)]
    try:
        with warnings.catch_warnings():
            # SQLAlchemy's remark on two sides of one key, which are named below, whether warnings are errors or not.
            warnings.filterwarnings("ignore", "relationship .* will copy column", SAWarning)
            models.configure()
    except SQLAlchemyError as error:
        # Nothing more can be asked of mappers that SQLAlchemy itself refuses.
        return [*problems, str(error)]
    for mapper in sorted(models.mappers, key=lambda mapper: mapper.class_.__name__):
        problems += _foreign_keys(mapper)
        problems += _nullability(mapper)
        problems += _relationships(mapper, allow)
    return problems


def _tables_elsewhere(models: registry) -> Iterator[str]:
    if default_registry.metadata is not models.metadata:
        for name in sorted(default_registry.metadata.tables):
            yield f"table {name} is in SQLModel's own metadata: give its class a base made with registry="
    for mapper in models.mappers:
        if mapper.local_table.metadata is not models.metadata:  # type: ignore[attr-defined]  # A table, if declared
            yield f"{mapper.class_.__name__}: its table {mapper.local_table} is not in the registry's metadata"


def _foreign_keys(mapper: Mapper[Any]) -> Iterator[str]:
    for column in mapper.local_table.columns:
        for key in column.foreign_keys:
            where = f"{mapper.class_.__name__}.{column.key}"
            try:
                target = key.column
            except (NoReferencedTableError, NoReferencedColumnError):
                yield f"{where} points to {key.target_fullname}, which is not in the same metadata"
                continue
            for dialect in _DIALECTS:
                here, there = (side.type.compile(dialect=dialect) for side in (column, target))
                if here != there:
                    yield f"{where} is {here} and points to {target}, which is {there} (on {dialect.name})"
                    break


def _nullability(mapper: Mapper[Any]) -> Iterator[str]:
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if not isinstance(column, Column) or column.primary_key:
            # `id: int | None = Field(default=None, primary_key=True)` is how SQLModel says "the database makes it".
            continue
        annotation = _annotation(mapper.class_, attribute.key)
        if annotation is None:
            continue
        optional = types.NoneType in get_args(annotation)
        if optional != column.nullable:
            says = "may be None" if optional else "is never None"
            takes = "takes NULL" if column.nullable else "is NOT NULL"
            yield f"{mapper.class_.__name__}.{attribute.key} {says} by its annotation, and its column {takes}"


def _annotation(model: type[Any], name: str) -> Any:
    """Find the type that the class states for a column, without Mapped; None where it states none that can be read."""
    if issubclass(model, SQLModel):
        return model.model_fields[name].annotation if name in model.model_fields else None
    for owner in model.__mro__:
        if (stated := inspect.get_annotations(owner).get(name)) is None:
            continue
        try:
            # One annotation alone: a neighbour that is imported for type checkers only must not hide this one.
            alone = types.SimpleNamespace(__annotations__={name: stated})
            hint = get_type_hints(alone, vars(sys.modules[owner.__module__]))[name]
        except NameError:
            return None
        return get_args(hint)[0] if get_origin(hint) is Mapped else None
    return None


def _relationships(mapper: Mapper[Any], allow: Collection[str]) -> Iterator[str]:
    for relationship in mapper.relationships:
        name = _name(relationship)
        if relationship.uselist and relationship.lazy in _EAGER and name not in allow:
            yield (
                f"{name} loads all of its rows with every {mapper.class_.__name__} (lazy={relationship.lazy!r}): "
                'use lazy="raise" and ask for them where they are wanted'
            )
        yield from _other_side(relationship)


def _other_side(relationship: RelationshipProperty[Any]) -> Iterator[str]:
    name = _name(relationship)
    if relationship.viewonly:
        return
    if relationship.back_populates:
        other = relationship.mapper.relationships[relationship.back_populates]
        if other.back_populates != relationship.key:
            remedy = f'give it back_populates="{relationship.key}"'
            yield f"{name} points to {_name(other)}, which does not point back: {remedy}"
        return
    for other in relationship.mapper.relationships:
        if other.viewonly or other.mapper is not relationship.parent or other.back_populates == relationship.key:
            continue
        # SQLAlchemy keeps two unconnected copies of the one fact.
        if _is_other_way(relationship, other):
            yield f'{name} and {_name(other)} are two sides of one key: give {name} back_populates="{other.key}"'


def _is_other_way(one: RelationshipProperty[Any], other: RelationshipProperty[Any]) -> bool:
    """Tell whether both go through the same columns, or the same table of links."""
    if one.secondary is not None:
        return one.secondary is other.secondary and one is not other
    return bool({*(one.local_remote_pairs or ())} & {(there, here) for here, there in other.local_remote_pairs or ()})


def _name(relationship: RelationshipProperty[Any]) -> str:
    return f"{relationship.parent.class_.__name__}.{relationship.key}"
