"""Find in the mapped classes, in words, what would go wrong later: at start-up and in tests."""

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import registry as dialects
from sqlalchemy.exc import InvalidRequestError, SAWarning, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapper, RelationshipProperty, registry
from sqlmodel import SQLModel
from sqlmodel.main import default_registry

from fastapi_users_sqlmodel._column_checks import (
    Problem,
    annotation_problems,
    deletion_problems,
    foreign_key_problems,
)
from fastapi_users_sqlmodel._schema_checks import field_problems, schema_problems
from fastapi_users_sqlmodel.bridge import registry_of
from fastapi_users_sqlmodel.tables._columns import OneAccountAtProvider

_EAGER = {"joined", "selectin", "subquery", "immediate", False}

type Schemas = Mapping[type[Any], Collection[type[Any]]]
type Managers = Mapping[type[Any], type[Any]]


def check_models(
    base: type[DeclarativeBase | SQLModel],
    *,
    allow: Collection[str] = (),
    dialect: Dialect | str | None = None,
    schemas: Schemas | None = None,
    managers: Managers | None = None,
) -> None:
    """Refuse models that would fail later, with everything that is wrong in one message.

    Args:
        base: The declarative base whose registry holds all tables.
        allow: Attributes such as `"User.items"` that are not checked. Each sentence names its attribute.
        dialect: The database, such as `"postgresql"` or `engine.dialect`. By default SQLite and PostgreSQL are checked,
            each as far as it has the columns' types.
        schemas: The schemas that are written to a model, such as `{User: [UserCreate, UserUpdate]}`: each field needs a
            column, which takes the longest text and the null that the schema accepts. Schemas that are only read
            (`schemas.BaseUser`) are ignored.
        managers: The managers whose allow-lists name columns of a model, such as `{User: UserManager}`.

    Raises:
        sqlalchemy.exc.InvalidRequestError: What `model_problems` finds, a line each.
    """
    if problems := model_problems(base, allow=allow, dialect=dialect, schemas=schemas, managers=managers):
        raise InvalidRequestError("the models do not fit together:\n" + "\n".join(f"- {line}" for line in problems))


def model_problems(
    base: type[DeclarativeBase | SQLModel],
    *,
    allow: Collection[str] = (),
    dialect: Dialect | str | None = None,
    schemas: Schemas | None = None,
    managers: Managers | None = None,
) -> list[str]:
    """Return what is wrong with the models of a registry, a sentence each; an empty list when all is well."""
    models = registry_of(base)
    problems = [*_tables_elsewhere(models)]
    try:
        with warnings.catch_warnings():
            # SQLAlchemy's remark on two sides of one key, which are named below, whether warnings are errors or not.
            warnings.filterwarnings("ignore", "relationship .* will copy column", SAWarning)
            models.configure()
    except SQLAlchemyError as error:
        # Nothing more can be asked of mappers that SQLAlchemy itself refuses.
        return [*_sentences(problems, allow), str(error)]
    for mapper in sorted(models.mappers, key=lambda mapper: mapper.class_.__name__):
        problems += foreign_key_problems(mapper, _dialects(dialect), is_chosen=dialect is not None)
        problems += annotation_problems(mapper)
        problems += _relationships(mapper)
    problems += deletion_problems(models)
    for model, written in (schemas or {}).items():
        problems += schema_problems(model, written)
    for model, manager in (managers or {}).items():
        problems += field_problems(model, manager)
    return _sentences(problems, allow)


def _sentences(problems: list[Problem], allow: Collection[str]) -> list[str]:
    return [f'{sentence} (or allow={{"{name}"}})' for name, sentence in problems if name not in allow]


def _dialects(dialect: Dialect | str | None) -> list[Dialect]:
    if isinstance(dialect, Dialect):
        return [dialect]
    return [dialects.load(name)() for name in ([dialect] if dialect is not None else ["sqlite", "postgresql"])]


def _tables_elsewhere(models: registry) -> Iterator[Problem]:
    missed = "create_all and migrations of this base miss it"
    if default_registry.metadata is not models.metadata:
        for name in sorted(default_registry.metadata.tables):
            yield Problem(
                name,
                f"table {name} is in SQLModel's own metadata, so {missed}: give its class a base made with registry=",
            )
    for mapper in models.mappers:
        if mapper.local_table.metadata is not models.metadata:  # type: ignore[attr-defined]  # A table, if declared
            name = mapper.class_.__name__
            yield Problem(
                name,
                f"{name}: its table {mapper.local_table} is not in the registry's metadata, so {missed}: "
                "make the table with metadata=Base.metadata",
            )


def _relationships(mapper: Mapper[Any]) -> Iterator[Problem]:
    for relationship in mapper.relationships:
        name = _name(relationship)
        # A user has few accounts at providers, and FastAPI Users documents lazy="joined" for them.
        is_bounded = issubclass(relationship.mapper.class_, OneAccountAtProvider)
        if relationship.uselist and relationship.lazy in _EAGER and not is_bounded:
            yield Problem(
                name,
                f"{name} loads all of its rows with every {mapper.class_.__name__} (lazy={relationship.lazy!r}), which "
                'gets slower with each row: use lazy="raise" and load them where they are wanted',
            )
        yield from _other_side(relationship)


def _other_side(relationship: RelationshipProperty[Any]) -> Iterator[Problem]:
    name, stale = _name(relationship), "a change on one side is not seen on the other one"
    if relationship.viewonly:
        return
    if relationship.back_populates:
        other = relationship.mapper.relationships[relationship.back_populates]
        if other.back_populates != relationship.key:
            remedy = f'give it back_populates="{relationship.key}"'
            yield Problem(name, f"{name} points to {_name(other)}, which does not point back, so {stale}: {remedy}")
        return
    for other in relationship.mapper.relationships:
        if other.viewonly or other.mapper is not relationship.parent or other.back_populates == relationship.key:
            continue
        # SQLAlchemy keeps two unconnected copies of the one fact.
        if _is_other_way(relationship, other):
            remedy = f'give {name} back_populates="{other.key}"'
            yield Problem(name, f"{name} and {_name(other)} are two sides of one key, and {stale}: {remedy}")


def _is_other_way(one: RelationshipProperty[Any], other: RelationshipProperty[Any]) -> bool:
    """Tell whether both go through the same columns, or the same table of links."""
    if one.secondary is not None:
        return one.secondary is other.secondary and one is not other
    return bool({*(one.local_remote_pairs or ())} & {(there, here) for here, there in other.local_remote_pairs or ()})


def _name(relationship: RelationshipProperty[Any]) -> str:
    return f"{relationship.parent.class_.__name__}.{relationship.key}"
