"""The tokens of FastAPI Users' `DatabaseStrategy`, which end where sessions end."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, inspect
from sqlalchemy.exc import NoReferencedColumnError, NoReferencedTableError
from sqlalchemy.orm import Mapper

from fastapi_users_sqlmodel.tables._accounts import AccountTables
from fastapi_users_sqlmodel.tables.sqlalchemy import SQLAlchemyBaseAccessTokenTable
from fastapi_users_sqlmodel.tables.sqlmodel import SQLModelBaseAccessTokenTable

_BASES: tuple[type[Any], ...] = (SQLAlchemyBaseAccessTokenTable, SQLModelBaseAccessTokenTable)


def end_access_tokens(
    connection: Connection, tables: AccountTables, user_id: Any, *, besides: str | None = None
) -> int:
    """Delete a user's access tokens, all or all but one, and return how many they were.

    They are rows of every class over a base of access tokens whose `user_id` is a foreign key to this table of users.
    """
    ended = 0
    for table, token, owner in _access_tokens(tables):
        others = [token != besides] if besides is not None else []
        ended += connection.execute(delete(table).where(owner == user_id, *others)).rowcount
    return ended


def _access_tokens(tables: AccountTables) -> Iterator[tuple[Table, Column[Any], Column[Any]]]:
    """Return the tables, their tokens and their user ids; a class may be declared at any time."""
    seen = set[Table]()
    for class_ in _subclasses(_BASES):
        mapper: Mapper[Any] | None = inspect(class_, raiseerr=False)
        if mapper is None or not isinstance(table := mapper.local_table, Table) or table in seen:
            continue
        owner = mapper.columns["user_id"]
        if owner.table is table and _points_to(owner, tables.user_columns["id"]):
            seen.add(table)
            yield table, mapper.columns["token"], owner


def _points_to(column: Column[Any], target: Column[Any]) -> bool:
    try:
        return any(key.column is target for key in column.foreign_keys)
    except (NoReferencedTableError, NoReferencedColumnError):
        # A class of other models, which are not complete; it does not point here.
        return False


def _subclasses(classes: tuple[type[Any], ...]) -> Iterator[type[Any]]:
    for class_ in classes:
        yield class_
        yield from _subclasses(tuple(class_.__subclasses__()))
