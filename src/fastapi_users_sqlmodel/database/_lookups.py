"""Look users up, and lock them; `get` and `get_by_email`, which a project may override, decide which users exist."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Concatenate, Generic, cast

from fastapi_users.db import BaseUserDatabase
from fastapi_users.exceptions import UserNotExists
from fastapi_users.models import ID, UP
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    SmallInteger,
    and_,
    bindparam,
    inspect,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from fastapi_users_sqlmodel._statements import SyncDirectSession, fetch
from fastapi_users_sqlmodel.database._listeners import has_listeners
from fastapi_users_sqlmodel.database._objects import make_loaded, plain_columns
from fastapi_users_sqlmodel.database._transactions import Transactions, locked_user, note_locked
from fastapi_users_sqlmodel.identity import canonical_email, is_storable
from fastapi_users_sqlmodel.sessions._rows import LiveSession
from fastapi_users_sqlmodel.tables._accounts import AccountTables, account_tables
from fastapi_users_sqlmodel.tables._columns import EMAIL_LENGTH


class Lookups(Transactions, BaseUserDatabase[UP, ID], Generic[UP, ID]):
    """Users by id, e-mail and username.

    A project may override `get` and `get_by_email`, in the store or in the manager, for soft deletes or tenants. Then
    every other path to a user (a session, a mailed token, a lock) calls them too, and a user that they do not find is
    not found. Without an override, there is no further statement.
    """

    user_table: type[UP]

    # Set by a manager that overrides these methods itself; they raise UserNotExists.
    get_of_manager: Callable[[ID], Awaitable[UP]] | None = None
    get_by_email_of_manager: Callable[[str], Awaitable[UP]] | None = None

    async def get(self, id: ID) -> UP | None:  # noqa: A002  # FastAPI Users' name
        """Get a single user by id; None for an id that the column cannot hold."""
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
        """Return whether an overridden `get` finds a user of the table; True without an override."""
        return not self._has_own_get() or await self.find(id) is not None

    async def require_admitted(self, id: ID) -> None:  # noqa: A002  # FastAPI Users' name
        """Refuse a user of the table that an overridden `get` does not find.

        Raises:
            UserNotExists: `get` does not find the user.
        """
        if not await self.admits(id):
            raise UserNotExists

    async def admitted(self, user: UP | None) -> UP | None:
        """Return a user of the table as an overridden `get` returns it; None if it does not find the user."""
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


class AccountStore(Lookups[UP, ID], Generic[UP, ID]):
    """Users to be changed, and the tables beside them."""

    async def get_by_session(self, session_id: uuid.UUID, now: datetime) -> tuple[UP, LiveSession] | None:
        """Get a user and a live session of the user in one statement, and one more where `get` is overridden."""
        found = await self._find_by_session(session_id, now)
        user = await self.admitted(found[0]) if found is not None else None
        return (user, found[1]) if found is not None and user is not None else None

    async def _find_by_session(self, session_id: uuid.UUID, now: datetime) -> tuple[UP, LiveSession] | None:
        values = {"session_id": session_id, "now": now}
        session: Any = self.session
        behind: Any = getattr(session, "sync_session", None)
        # Any other session may have listeners or several engines, and uses the ORM.
        is_direct = isinstance(behind, SyncDirectSession) and not has_listeners(behind)
        if is_direct and (columns := plain_columns(self.user_table)) is not None:
            rows = await fetch(session, _columns_by_session(self.user_table), values)
            if not rows:
                return None
            many = len(columns)
            user = make_loaded(behind, self.user_table, tuple(columns), rows[0][:many])
            if user is not None:
                return user, LiveSession(*rows[0][many:])
        return await self.run(self._read_by_session, values)

    async def reread(self, id: ID) -> UP | None:  # noqa: A002  # FastAPI Users' name
        """Get a single user as of now, whatever this session has read before."""
        return await self._read_admitted(column(self.user_table, "id") == id, as_of_now=True)

    async def lock(self, id: ID) -> UP | None:  # noqa: A002  # FastAPI Users' name
        """Lock a user until the transaction ends, and return the row as it is now.

        A user that this transaction has locked or inserted already is returned without a statement.
        """
        user = await self.run(self._lock, id)
        return user if user is not None and await self.admits(user.id) else None

    async def lock_by_email(self, email: str) -> UP | None:
        """Lock a user by e-mail, in whatever spelling, and return the row as it is now; one statement in any case.

        An overridden `get_by_email` is called first; the user that it finds is locked by id.
        """
        if self._has_own_get_by_email():
            user = await self.find_by_email(email)
            return await self.lock(user.id) if user is not None else None
        # An address that no column holds has no user; the statement runs all the same.
        known = canonical_email(email) if len(email) <= EMAIL_LENGTH and is_storable(email) else ""
        return await self._read_admitted(column(self.user_table, "email_canonical") == known, lock=True)

    async def lock_to_administer(self, id: ID) -> tuple[UP | None, set[ID]]:  # noqa: A002  # FastAPI Users' name
        """Lock a user and every active superuser; return the user and the ids of the superusers.

        One statement locks in the order of ids. Of two superusers who remove each other, the second one waits and sees
        what the first did; there is no deadlock.
        """
        user, superusers = await self.run(self._lock_to_administer, id)
        if user is not None and not await self.admits(user.id):
            user = None
        return user, {one for one in superusers if await self.admits(one)}

    async def upgrade_hash(self, id: ID, known_hash: str, upgraded: str) -> bool:  # noqa: A002  # FastAPI Users' name
        """Replace a hash by a stronger one of the same password, unless the hash has changed meanwhile."""
        async with self.transaction():
            is_upgraded = await self.ask(_upgrade_hash, id, known_hash, upgraded)
            # The user object in this session gets the new hash.
            return is_upgraded and await self.reread(id) is not None

    async def ask[**P, T](
        self, work: Callable[Concatenate[Connection, AccountTables, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function on the connection of the present transaction, with the tables beside the users."""

        def on_connection(session: Session) -> T:
            connection = session.connection(bind_arguments={"mapper": inspect(self.user_table)})
            return work(connection, account_tables(self.user_table), *args, **kwargs)

        return await self.run(on_connection)

    async def _read_admitted(self, condition: Any, *, lock: bool = False, as_of_now: bool = False) -> UP | None:
        user = await self.run(self._read, condition, lock=lock, as_of_now=as_of_now)
        return user if user is not None and await self.admits(user.id) else None

    def _lock(self, session: Session, key: ID) -> UP | None:
        known: UP | None = locked_user(session, self.user_table, key)
        return known if known is not None else self._read(session, column(self.user_table, "id") == key, lock=True)

    def _read(self, session: Session, condition: Any, *, lock: bool = False, as_of_now: bool = False) -> UP | None:
        statement = select(self.user_table).where(condition)
        if lock:
            # Of the user alone: a project may join other tables to it, and an outer join cannot be locked.
            statement = statement.with_for_update(of=self.user_table)
        if lock or as_of_now:
            statement = statement.execution_options(populate_existing=True)
        user = session.scalars(statement).unique().one_or_none()
        if lock and user is not None:
            note_locked(session, self.user_table, user)
        return user

    def _read_by_session(self, session: Session, values: dict[str, Any]) -> tuple[UP, LiveSession] | None:
        row = session.execute(_by_session(self.user_table), values).unique().one_or_none()
        return (row[0], LiveSession(*row[1:])) if row is not None else None

    def _lock_to_administer(self, session: Session, key: ID) -> tuple[UP | None, set[ID]]:
        if isinstance(key, int) and not fits(session, self.user_table, key):
            return None, set()
        table = self.user_table
        id_, is_superuser, is_active = (column(table, name) for name in ("id", "is_superuser", "is_active"))
        statement = (
            select(table)
            .where(or_(and_(is_superuser, is_active), id_ == key))
            .order_by(id_)
            .with_for_update(of=table)
            .execution_options(populate_existing=True)
        )
        users = {user.id: user for user in session.scalars(statement).unique()}
        return users.get(key), {user.id for user in users.values() if user.is_superuser and user.is_active}


# Every signed-in request runs this. SQLAlchemy finds the same object in its cache without comparing its parts.
@lru_cache(maxsize=32)
def _by_session(user_table: Any) -> Select[Any]:
    table, id_ = account_tables(user_table).sessions, column(user_table, "id")
    return (
        select(user_table, *(table.c[name] for name in LiveSession.__slots__))
        .join(table, table.c.user_id == id_)
        .where(table.c.id == bindparam("session_id"), table.c.idle_expires_at > bindparam("now"))
    )


@lru_cache(maxsize=32)
def _columns_by_session(user_table: Any) -> Select[Any]:
    columns = plain_columns(user_table) or {}
    table = account_tables(user_table).sessions
    return _by_session(user_table).with_only_columns(
        *columns.values(), *(table.c[name] for name in LiveSession.__slots__)
    )


def _upgrade_hash(connection: Connection, tables: AccountTables, id_: Any, known_hash: str, upgraded: str) -> bool:
    user = tables.user_columns
    as_known = (user["id"] == id_, user["hashed_password"] == known_hash)
    statement = update(tables.users).where(*as_known).values({user["hashed_password"]: upgraded})
    return connection.execute(statement).rowcount == 1


def column(table: type[Any], name: str) -> Any:
    """Return an attribute of a mapped class as a column: FastAPI Users' protocols declare `str`."""
    return cast("Any", getattr(table, name))


def fits(session: Session, table: type[Any], key: int) -> bool:
    """Return whether an integer is in the range of the id column; drivers fail on others."""
    kind = inspect(table).columns["id"].type
    if session.get_bind(inspect(table)).dialect.name == "sqlite" or isinstance(kind, BigInteger):
        bits = 64
    elif isinstance(kind, SmallInteger):
        bits = 16
    else:
        bits = 32 if isinstance(kind, Integer) else 64
    limit: int = 2 ** (bits - 1)
    return -limit <= key < limit
