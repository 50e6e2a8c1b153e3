"""Look users up; `get` and `get_by_email`, which a project may override, decide which users there are."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, cast

from fastapi_users.db import BaseUserDatabase
from fastapi_users.exceptions import UserNotExists
from fastapi_users.models import ID, UP
from sqlalchemy import BigInteger, Integer, SmallInteger, inspect, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from fastapi_users_sqlmodel.database._transactions import Transactions
from fastapi_users_sqlmodel.identity import canonical_email, is_storable
from fastapi_users_sqlmodel.tables._columns import EMAIL_LENGTH


class Lookups(Transactions, BaseUserDatabase[UP, ID], Generic[UP, ID]):
    """Users by id, e-mail and username.

    Every other way to a user (a session, a mailed token, a lock) asks `get` and `get_by_email` as well where a project
    has overridden them, in the store or in the manager. A user whom they do not find, because of a soft delete or of
    another tenant, is not found anywhere. Where nobody has overridden them, nothing more is asked.
    """

    user_table: type[UP]

    # Set by a manager that overrides these methods itself; they raise UserNotExists.
    get_of_manager: Callable[[ID], Awaitable[UP]] | None = None
    get_by_email_of_manager: Callable[[str], Awaitable[UP]] | None = None

    async def get(self, id: ID) -> UP | None:  # noqa: A002  # FastAPI Users' name
        """Get a single user by id; an id that the column cannot hold is nobody's."""
        return await self.run(self._find, column(self.user_table, "id") == id, key=id)

    async def get_by_email(self, email: str) -> UP | None:
        """Get a single user by e-mail, in whatever spelling."""
        if len(email) > EMAIL_LENGTH or not is_storable(email):
            return None
        return await self.run(self._find, column(self.user_table, "email_canonical") == canonical_email(email))

    async def get_by_username(self, username: str) -> UP | None:
        """Get a single user by the name that signs in, if there is a column `username`; it holds lower case."""
        if len(username) > EMAIL_LENGTH or not is_storable(username) or not hasattr(self.user_table, "username"):
            return None
        user = await self.run(self._find, column(self.user_table, "username") == username.strip().lower())
        if user is not None and self._has_own_get_by_email():
            by_email = await self.find_by_email(user.email)
            user = by_email if by_email is not None and by_email.id == user.id else None
        return await self.admitted(user)

    async def find(self, id: ID) -> UP | None:  # noqa: A002  # FastAPI Users' name
        """Get a single user by id, with the `get` of the manager if it has one of its own."""
        try:
            return await (self.get_of_manager or self.get)(id)
        except UserNotExists:
            return None

    async def find_by_email(self, email: str) -> UP | None:
        """Get a single user by e-mail, with the `get_by_email` of the manager if it has one of its own."""
        try:
            return await (self.get_by_email_of_manager or self.get_by_email)(email)
        except UserNotExists:
            return None

    async def admits(self, id: ID) -> bool:  # noqa: A002  # FastAPI Users' name
        """Tell whether an overridden `get` finds a user of the table; True where nobody has overridden it."""
        return not self._has_own_get() or await self.find(id) is not None

    async def require_admitted(self, id: ID) -> None:  # noqa: A002  # FastAPI Users' name
        """Refuse a user of the table whom an overridden `get` does not find.

        Raises:
            UserNotExists: It finds nobody.
        """
        if not await self.admits(id):
            raise UserNotExists

    async def admitted(self, user: UP | None) -> UP | None:
        """Return a user of the table as an overridden `get` returns it; None where it finds nobody."""
        return await self.find(user.id) if user is not None and self._has_own_get() else user

    def _has_own_get(self) -> bool:
        return self.get_of_manager is not None or getattr(self.get, "__func__", None) is not Lookups.get

    def _has_own_get_by_email(self) -> bool:
        is_stock = getattr(self.get_by_email, "__func__", None) is Lookups.get_by_email
        return self.get_by_email_of_manager is not None or not is_stock

    def _find(self, session: Session, condition: ColumnElement[bool], key: object = None) -> UP | None:
        if isinstance(key, int) and not fits(session, self.user_table, key):
            return None
        # unique(): a project may load its OAuth accounts with lazy="joined", as FastAPI Users' documentation does.
        return session.scalars(select(self.user_table).where(condition)).unique().one_or_none()


def column(table: type[Any], name: str) -> Any:
    """Return an attribute of a mapped class as a column: FastAPI Users' protocols say `str` for it."""
    return cast("Any", getattr(table, name))


def fits(session: Session, table: type[Any], key: int) -> bool:
    """Tell whether the integer is in the id column's range; a driver fails on one that is not."""
    kind = inspect(table).columns["id"].type
    if session.get_bind(inspect(table)).dialect.name == "sqlite" or isinstance(kind, BigInteger):
        bits = 64
    elif isinstance(kind, SmallInteger):
        bits = 16
    else:
        bits = 32 if isinstance(kind, Integer) else 64
    limit: int = 2 ** (bits - 1)
    return -limit <= key < limit
