"""Read from an `IntegrityError` which constraint was violated, on every database."""

import re

from sqlalchemy import CheckConstraint, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError

_UNIQUE_VIOLATION = "23505"  # SQLSTATE, PostgreSQL appendix A.
_EXCLUSION_VIOLATION = "23P01"
_FOREIGN_KEY_VIOLATION = "23503"
_RESTRICT_VIOLATION = "23001"
_NOT_NULL_VIOLATION = "23502"
_DATA_EXCEPTION = "22"  # The class of what is too long, out of range, or not of the type.


def unique_violation(error: IntegrityError, table: Table) -> frozenset[str]:
    """Name the columns of `table` whose unique or exclusion constraint or index was violated; none for another one.

    PostgreSQL names the constraint, SQLite the columns, and an index over an expression is known by its name alone: for
    such a one the answer is the columns that it mentions.
    """
    if _sqlstate(error) in {_UNIQUE_VIOLATION, _EXCLUSION_VIOLATION}:
        name = _field(error, "constraint_name")
        for constraint in (*table.constraints, *table.indexes):
            if not isinstance(constraint, UniqueConstraint | ExcludeConstraint | Index):
                continue
            if name is not None and constraint.name == name:
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
    """Return whether a referenced row does not exist, or cannot be deleted because it is referenced."""
    return _sqlstate(error) in {_FOREIGN_KEY_VIOLATION, _RESTRICT_VIOLATION} or "FOREIGN KEY constraint failed" in str(
        error.orig
    )


def not_null_violation(error: IntegrityError, table: Table) -> frozenset[str]:
    """Name the column of `table` that takes no NULL; none if it was another constraint."""
    if _sqlstate(error) == _NOT_NULL_VIOLATION:
        name = _field(error, "column_name")
        return frozenset({name} if name in {column.name for column in table.columns} else ())
    owner, _, name = _first(r"NOT NULL constraint failed: (.+)", str(error.orig)).rpartition(".")
    return frozenset({name} if name and owner == table.name else ())


def check_violation(error: IntegrityError, table: Table) -> frozenset[str]:
    """Name the columns of `table` in the check that was violated; none if it was another constraint."""
    name = _field(error, "constraint_name") or _first(r"CHECK constraint failed: (.+)", str(error.orig))
    checks = {one: str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint)}
    violated = [text for one, text in checks.items() if name and name in {one.name, text}]
    if not violated and name and re.fullmatch(rf"{re.escape(table.name)}_(\w+_)?check\d*", name):
        # PostgreSQL's own name for a check without one.
        violated = [text for one, text in checks.items() if one.name is None]
    words = {word for text in violated for word in re.findall(r"\w+", text)}
    return frozenset(column.name for column in table.columns if column.name in words)


def foreign_key_violation(error: IntegrityError, table: Table) -> frozenset[str]:
    """Name the columns of `table` that refer to a row that does not exist; none on SQLite, which does not name them."""
    if _sqlstate(error) != _FOREIGN_KEY_VIOLATION:
        return frozenset()
    columns = re.split(r",\s*", _first(r"\((.+?)\)=\(", _detail(error)).replace('"', ""))
    return frozenset(columns) & {column.name for column in table.columns}


def is_data_error(error: DBAPIError) -> bool:
    """Return whether a value was too long, out of range, or not of the type of its column; nothing was written."""
    # asyncpg looks at some values itself, and raises a ValueError of its own.
    is_not_sent = error.orig is not None and isinstance(error.orig.__cause__, ValueError)
    return (_sqlstate(error) or "").startswith(_DATA_EXCEPTION) or is_not_sent


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _field(error: IntegrityError, name: str, *, of_psycopg: str | None = None) -> str | None:
    if (diagnostics := getattr(error.orig, "diag", None)) is not None:  # psycopg
        return getattr(diagnostics, of_psycopg or name)  # type: ignore[no-any-return]  # getattr is untyped
    # SQLAlchemy wraps asyncpg's error in one of its own.
    return getattr(error.orig.__cause__, name, None) if error.orig else None


def _detail(error: IntegrityError) -> str:
    return _field(error, "detail", of_psycopg="message_detail") or ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""
