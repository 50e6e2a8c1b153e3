"""Turn errors of the database about a user into exceptions of the library, and find values that are taken."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from numbers import Number
from typing import Any, NoReturn, cast

from fastapi_users.exceptions import UserAlreadyExists
from sqlalchemy import Column, Index, Table, UniqueConstraint, and_, exists, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Mapper, Session

from fastapi_users_sqlmodel.database._integrity import (
    check_violation,
    foreign_key_violation,
    is_data_error,
    is_foreign_key_violation,
    not_null_violation,
    unique_violation,
)
from fastapi_users_sqlmodel.exceptions import UsernameAlreadyExists, ValueAlreadyExists, ValueRefused

_EMAIL = {"email", "email_canonical"}


def raise_explained(error: DBAPIError, user_table: type[Any], written: Mapping[str, Any]) -> NoReturn:
    """Raise the exception that explains why a user was refused, or the error itself if it is about another row.

    Args:
        error: The error of the database.
        user_table: The mapped class; the table of a class that it inherits from counts, too.
        written: The attributes that were written.
    """
    refusal = _refusal(error, user_table, written)
    if refusal is None:
        # Not "from error": an error that is its own cause is an endless chain.
        raise error
    raise refusal from error


def _refusal(error: DBAPIError, user_table: type[Any], written: Mapping[str, Any]) -> Exception | None:
    if not isinstance(error, IntegrityError):
        reason = "is too long or out of range"
        return ValueRefused(_too_long(user_table, written), reason) if is_data_error(error) else None

    def attributes(violation: Callable[[IntegrityError, Table], frozenset[str]]) -> list[str]:
        columns = {name for table in _tables(user_table) for name in violation(error, table)}
        names = {column.name: key for key, column in _columns(user_table)}
        return sorted(names.get(name, name) for name in columns)

    if taken := attributes(unique_violation):
        return already_exists(taken)
    if missing := attributes(not_null_violation):
        return ValueRefused(missing, "cannot be null")
    if checked := attributes(check_violation):
        return ValueRefused(checked, "is refused by a constraint of the database")
    if is_foreign_key_violation(error):
        keys = {key for key, column in _columns(user_table) if column.foreign_keys and written.get(key) is not None}
        if dangling := attributes(foreign_key_violation) or sorted(keys):
            return ValueRefused(dangling, "points to nothing that is there")
    # About another row, which was written with the user.
    return None


def already_exists(taken: Collection[str]) -> Exception:
    """Return the exception for values that are taken together."""
    if _EMAIL & {*taken}:
        return UserAlreadyExists()
    return UsernameAlreadyExists() if {*taken} == {"username"} else ValueAlreadyExists(taken)


def taken_besides_email(session: Session, user_table: type[Any], values: Mapping[str, Any]) -> list[str]:
    """Return the attributes, without the e-mail address, in which another user has these values, if they are unique."""
    for columns in _unique(user_table):
        attributes = {key: column for key, column in _columns(user_table) if column in columns}
        if len(attributes) != len(columns) or _EMAIL & attributes.keys():
            continue
        if all(values.get(key) is not None for key in attributes):
            same = and_(*(getattr(user_table, key) == values[key] for key in attributes))
            if session.scalar(select(exists(select(user_table).where(same)))):
                return sorted(attributes)
    return []


def _unique(user_table: type[Any]) -> Iterator[set[Column[Any]]]:
    for table in _tables(user_table):
        for one in (*table.constraints, *table.indexes):
            if isinstance(one, UniqueConstraint) or (isinstance(one, Index) and one.unique):
                yield {*one.columns}


def _tables(user_table: type[Any]) -> list[Table]:
    return [cast("Table", table) for table in inspect(user_table).tables]


def _columns(user_table: type[Any]) -> Iterator[tuple[str, Column[Any]]]:
    mapper: Mapper[Any] = inspect(user_table)
    for attribute in mapper.column_attrs:
        for column in attribute.columns:
            if isinstance(column, Column):
                yield attribute.key, column


def _too_long(user_table: type[Any], written: Mapping[str, Any]) -> list[str]:
    """Return the attributes whose text is too long; else those with numbers; else all that a client may have sent."""
    lengths = {key: getattr(column.type, "length", None) or sys.maxsize for key, column in _columns(user_table)}
    strings = {key: value for key, value in written.items() if isinstance(value, str)}
    texts = [key for key, value in strings.items() if len(value) > lengths.get(key, sys.maxsize)]
    numbers = [key for key, value in written.items() if isinstance(value, Number) and not isinstance(value, bool)]
    return sorted(texts or numbers or written.keys() - {"hashed_password"})
