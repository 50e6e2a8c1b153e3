"""SQLAlchemy and SQLModel tables in one registry, so that relationships may cross between them."""

from typing import cast

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, QueryableAttribute, registry
from sqlmodel import SQLModel

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names for every constraint, for `MetaData(naming_convention=…)`: what has no name cannot be migrated."""


def share_registry(base: type[DeclarativeBase]) -> None:
    """Bind plain `SQLModel` to the metadata and the registry of `base`, for the whole process.

    For projects whose tables inherit from `SQLModel` itself. A new project rather writes
    `class TableModel(SQLModel, registry=Base.registry)` and has no need of this. Calling it again does nothing.

    Raises:
        sqlalchemy.exc.InvalidRequestError: SQLModel tables were declared before; they would be missed.
    """
    if registry_of(SQLModel) is base.registry:
        return
    if early := sorted(SQLModel.metadata.tables):
        raise InvalidRequestError(
            f"share_registry({base.__name__}) comes too late: {', '.join(early)} already declared on SQLModel's own "
            "metadata; call it before the first SQLModel class with table=True is imported"
        )
    SQLModel.metadata = base.metadata
    # SQLModel's one way to say it for a class that exists already; `registry=` is an argument of new ones.
    SQLModel._sa_registry = base.registry  # noqa: SLF001


def rel[T](attribute: T) -> QueryableAttribute[T]:
    """Give a relationship of a SQLModel class the type that `selectinload()` and its like ask for.

    At run time it is that attribute already; type checkers see the annotation, such as `list[User]`.
    """
    return cast("QueryableAttribute[T]", attribute)


def registry_of(base: type[DeclarativeBase | SQLModel]) -> registry:
    """Return the registry that a declarative base or a SQLModel base declares its tables in."""
    # SQLModel keeps it under this name alone.
    return base.registry if issubclass(base, DeclarativeBase) else base._sa_registry  # noqa: SLF001
