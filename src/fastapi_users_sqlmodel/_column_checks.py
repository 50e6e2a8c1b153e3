"""What would go wrong with columns: their types, NULL, and what happens on DELETE."""

import inspect
import re
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, NewType, TypeAliasType, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import UUID, Column, Dialect, ForeignKey
from sqlalchemy.exc import CompileError, NoReferencedColumnError, NoReferencedTableError
from sqlalchemy.orm import Mapped, Mapper, RelationshipDirection, registry
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from fastapi_users_sqlmodel.tables._columns import EmailColumns, OneAccountAtProvider

_INTEGERS = {"SMALLINT": 1, "INTEGER": 2, "BIGINT": 3}
_TEXT = re.compile(r"(VARCHAR|TEXT)(?:\((\d+)\))?( COLLATE .*)?")


class Problem(NamedTuple):
    """What is wrong with an attribute: its name, as `allow=` takes it, and a sentence."""

    attribute: str
    sentence: str


def foreign_key_problems(mapper: Mapper[Any], dialects: list[Dialect], *, is_chosen: bool) -> Iterator[Problem]:
    """Find keys that point to nothing, or to a column of another type."""
    table = mapper.local_table
    # Those of a table that several classes share are named once.
    shares = mapper.inherits is not None and table is mapper.inherits.local_table
    for column in () if shares else table.columns:
        for key in column.foreign_keys:
            name = f"{mapper.class_.__name__}.{column.key}"
            try:
                target = key.column
            except (NoReferencedTableError, NoReferencedColumnError):
                yield Problem(
                    name,
                    f"{name} points to {key.target_fullname}, which is not in the same metadata, so the table cannot "
                    "be created: declare both with one base",
                )
                continue
            for dialect in dialects:
                if problem := _type_problem(column, target, dialect, is_chosen=is_chosen):
                    yield Problem(name, f"{name} {problem}")
                    break


def _type_problem(column: Any, target: Any, dialect: Dialect, *, is_chosen: bool) -> str | None:
    here, there = (_type_in(side.type, dialect) for side in (column, target))
    if here is None or there is None:
        absent = column if here is None else target
        if not is_chosen:
            return None  # An app for another database.
        return f"is {absent.type!r}, which {dialect.name} has not: choose a type that it has"
    if not _holds(here, there, dialect):
        return (
            f"is {here} and points to {target}, which is {there} (on {dialect.name}): a join finds nothing, or the "
            "table cannot be created; give both the same type"
        )
    return None


def _type_in(kind: TypeEngine[Any], dialect: Dialect) -> str | None:
    """Return the type as the database calls it; None where it has no such type."""
    owner = re.match(r"sqlalchemy\.dialects\.(\w+)", type(kind).__module__)
    if owner is not None and owner.group(1) != dialect.name:
        return None
    # `sqlalchemy.UUID` is `postgresql.UUID`: the type of that name, and not what stands for it elsewhere.
    if isinstance(kind, UUID) and not dialect.supports_native_uuid:
        return None
    try:
        return kind.compile(dialect=dialect)
    except CompileError:
        return None


def _holds(here: str, there: str, dialect: Dialect) -> bool:
    """Tell whether every value of the one type is a value of the other one, and is compared with it as it is."""
    if here in _INTEGERS and there in _INTEGERS:
        # To SQLite they are all the same.
        return dialect.name == "sqlite" or _INTEGERS[here] >= _INTEGERS[there]
    text, other = _TEXT.fullmatch(here), _TEXT.fullmatch(there)
    if text is None or other is None:
        return here == there
    lengths = text.group(2), other.group(2)
    return None in lengths or int(lengths[0]) >= int(lengths[1])


def annotation_problems(mapper: Mapper[Any]) -> Iterator[Problem]:
    """Find columns whose annotation says otherwise: about NULL, or the type of what a foreign key points to."""
    inherited = mapper.inherits.column_attrs if mapper.inherits is not None else ()
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        annotation = _annotation(mapper.class_, attribute.key)
        if not isinstance(column, Column) or annotation is None or attribute.key in inherited:
            continue
        name = f"{mapper.class_.__name__}.{attribute.key}"
        optional = takes_none(annotation)
        # `id: int | None = Field(default=None, primary_key=True)` is how SQLModel says "the database makes it", and
        # so it is with every default: an attribute that is None is left out of the INSERT.
        is_made = column.primary_key or column.server_default is not None or column.default is not None
        if optional is True and not column.nullable and not is_made:
            yield Problem(
                name,
                f"{name} may be None by its annotation, and its column is NOT NULL, so that None is an IntegrityError: "
                "make the column nullable, or the annotation not optional",
            )
        # The columns of a subclass in its parent's table have to be nullable: the parent's rows have no values there.
        if optional is False and column.nullable and not mapper.single:
            yield Problem(
                name,
                f"{name} is never None by its annotation, and its column takes NULL, so that code which trusts the "
                "annotation fails on a row: make the column NOT NULL, or the annotation optional",
            )
        if column.foreign_keys and (made := _another_type(annotation, column)):
            yield Problem(
                name,
                f"{name} is {_name_of(annotation)} by its annotation, and its column makes {made.__name__}, the type "
                "of what it points to: comparisons and answers are wrong; annotate it with that type",
            )


def _stated(owner: type[Any]) -> dict[str, Any]:
    """Return the annotations of a class as they stand; names that are not there at run time are no error."""
    if sys.version_info >= (3, 14):
        # Annotations are evaluated when they are asked for (PEP 649), and one of them would hide all the others.
        from annotationlib import Format, get_annotations

        return get_annotations(owner, format=Format.FORWARDREF)
    return inspect.get_annotations(owner)


def _annotation(model: type[Any], name: str) -> Any:
    """Find the type that the class states for a column, without Mapped; None where it states none that can be read."""
    if issubclass(model, SQLModel):
        return model.model_fields[name].annotation if name in model.model_fields else None
    for owner in model.__mro__:
        if (stated := _stated(owner).get(name)) is None:
            continue
        try:
            # One annotation alone: a neighbour that is imported for type checkers only must not hide this one.
            alone = types.SimpleNamespace(__annotations__={name: stated})
            hint = get_type_hints(alone, vars(sys.modules[owner.__module__]))[name]
        except NameError:
            return None
        return get_args(hint)[0] if get_origin(hint) is Mapped else None
    return None


def _parts(annotation: Any) -> Iterator[Any]:
    """Take an annotation apart, as far as a union, through aliases (PEP 695), NewType and Annotated."""
    while True:
        if isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif isinstance(get_origin(annotation), TypeAliasType):
            annotation = get_origin(annotation).__value__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            break
    if isinstance(annotation, types.UnionType) or str(get_origin(annotation)) == "typing.Union":
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def takes_none(annotation: Any) -> bool | None:
    """Return whether None is a value of the annotation; None if that is unknown, as for Any or a type variable."""
    parts = [*_parts(annotation)]
    if types.NoneType in parts:
        return True
    return None if any(part in {Any, object} or isinstance(part, TypeVar) for part in parts) else False


def _another_type(annotation: Any, column: Column[Any]) -> type[Any] | None:
    """Return the type of the column's values, if no part of the annotation is one of it."""
    try:
        made = column.type.python_type
    except NotImplementedError:
        return None
    stated = [part for part in _parts(annotation) if part is not types.NoneType]
    if Any in stated or not all(isinstance(part, type) for part in stated):
        return None
    return None if any(issubclass(made, part) or issubclass(part, made) for part in stated) else made


def _name_of(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def deletion_problems(models: registry) -> Iterator[Problem]:
    """Find rows that would not let a user be deleted."""
    owners = [
        mapper for mapper in models.mappers if mapper.inherits is None and issubclass(mapper.class_, EmailColumns)
    ]
    classes = {mapper.local_table: mapper for mapper in models.mappers if not mapper.single}
    for _, table in sorted(models.metadata.tables.items()):
        mapper = classes.get(table)
        # The store deletes these itself.
        if mapper is not None and issubclass(mapper.class_, OneAccountAtProvider):
            continue
        for owner in owners:
            for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
                if not _points_to(key, owner):
                    continue
                name = f"{mapper.class_.__name__ if mapper is not None else table.name}.{key.parent.key}"
                if problem := _deletion_problem(key, owner):
                    yield Problem(name, f"{name} points to {owner.class_.__name__} {problem}")


def _points_to(key: ForeignKey, owner: Mapper[Any]) -> bool:
    try:
        return key.column.table is owner.local_table
    except (NoReferencedTableError, NoReferencedColumnError):
        return False


def _deletion_problem(key: ForeignKey, owner: Mapper[Any]) -> str | None:
    fails = "so that deleting an account fails while there is such a row"
    if (key.ondelete or "").upper() == "SET NULL" and not key.parent.nullable:
        return f"with ON DELETE SET NULL and is NOT NULL, {fails}: make it nullable, or say CASCADE"
    if key.ondelete is not None or _is_deleted_by_the_orm(key, owner):
        return None
    return f'without ON DELETE, {fails}: say ondelete="CASCADE" or "SET NULL"'


def _is_deleted_by_the_orm(key: ForeignKey, owner: Mapper[Any]) -> bool:
    """Tell whether a relationship of the users, or a class that inherits from them, takes care of the rows."""
    for mapper in owner.self_and_descendants:
        if mapper.local_table is key.parent.table and mapper.inherits is not None and key.parent.primary_key:
            return True
        for relationship in mapper.relationships:
            if relationship.viewonly or relationship.passive_deletes == "all":
                continue
            columns = {there for _, there in relationship.local_remote_pairs or ()}
            if relationship.secondary is not None:
                columns = {*relationship.secondary.c} if relationship.secondary is key.parent.table else set()
            if key.parent not in columns:
                continue
            if relationship.direction is RelationshipDirection.MANYTOMANY:
                return True
            if relationship.cascade.delete or key.parent.nullable:
                return relationship.direction is RelationshipDirection.ONETOMANY
    return False
