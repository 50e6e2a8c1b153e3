"""What an `IntegrityError` says: which constraint, on every database in the same words."""

import re

from sqlalchemy import Index, Table, UniqueConstraint
from sqlalchemy.exc import IntegrityError

_UNIQUE_VIOLATION = "23505"  # SQLSTATE, PostgreSQL appendix A.
_FOREIGN_KEY_VIOLATION = "23503"


def unique_violation(error: IntegrityError, table: Table) -> frozenset[str]:
    """Name the columns of `table` whose unique constraint or index was violated; none if it was another constraint.

    PostgreSQL names the constraint, SQLite the columns, and an index over an expression is known by its name alone: for
    such a one the answer is the columns that it mentions.
    """
    if _sqlstate(error) == _UNIQUE_VIOLATION:
        name = _constraint_name(error)
        for constraint in (*table.constraints, *table.indexes):
            if isinstance(constraint, UniqueConstraint | Index) and name is not None and constraint.name == name:
                return frozenset(column.name for column in constraint.columns)
        # A constraint that the database has named itself: the detail lists the columns.
        return frozenset(re.split(r",\s*", _first(r"\((.+?)\)=\(", _detail(error)).replace('"', "")))
    message = str(error.orig)
    if index_name := _first(r"UNIQUE constraint failed: index '(.+)'", message):
        for index in table.indexes:
            if index.name == index_name:
                return frozenset(column.name for column in index.columns)
    columns = [column.rpartition(".") for column in _first(r"UNIQUE constraint failed: (.+)", message).split(", ")]
    return frozenset(name for owner, _, name in columns if owner == table.name)


def is_foreign_key_violation(error: IntegrityError) -> bool:
    """Tell whether a row that is pointed to is not there (any more)."""
    return _sqlstate(error) == _FOREIGN_KEY_VIOLATION or "FOREIGN KEY constraint failed" in str(error.orig)


def _sqlstate(error: IntegrityError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _constraint_name(error: IntegrityError) -> str | None:
    if (diagnostics := getattr(error.orig, "diag", None)) is not None:  # psycopg
        return diagnostics.constraint_name  # type: ignore[no-any-return]  # getattr is untyped
    # SQLAlchemy wraps asyncpg's error in one of its own.
    return getattr(error.orig.__cause__, "constraint_name", None) if error.orig else None


def _detail(error: IntegrityError) -> str:
    if (diagnostics := getattr(error.orig, "diag", None)) is not None:
        return diagnostics.message_detail or ""
    return (getattr(error.orig.__cause__, "detail", None) if error.orig else None) or ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""
