"""Access tokens, behind FastAPI Users' `AccessTokenDatabase`, for its `DatabaseStrategy`."""

from datetime import datetime
from typing import Any, Generic, cast

from fastapi_users.authentication.strategy.db import AP, AccessTokenDatabase
from fastapi_users.exceptions import UserNotExists
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel.database._integrity import is_foreign_key_violation
from fastapi_users_sqlmodel.database._transactions import SessionStore, SyncSessionStore
from fastapi_users_sqlmodel.database._writing import identity, reload, writing
from fastapi_users_sqlmodel.identity import is_storable


class _AccessTokenStore(AccessTokenDatabase[AP], Generic[AP]):
    access_token_table: type[AP]

    run: Any

    async def get_by_token(self, token: str, max_age: datetime | None = None) -> AP | None:
        """Get a single access token; `max_age` is the earliest creation time (aware) that still counts."""
        if not is_storable(token):
            return None
        return cast("AP | None", await self.run(self._find, token, max_age))

    async def create(self, create_dict: dict[str, Any]) -> AP:
        """Create an access token; commits on a plain session, flushes in an explicitly opened transaction.

        Raises:
            UserNotExists: The user was deleted meanwhile.
        """
        return cast("AP", await self.run(self._save, self.access_token_table(**create_dict), {}))

    async def update(self, access_token: AP, update_dict: dict[str, Any]) -> AP:
        """Update an access token; commits on a plain session, flushes in an explicitly opened transaction."""
        return cast("AP", await self.run(self._save, access_token, update_dict))

    async def delete(self, access_token: AP) -> None:
        """Delete an access token, or do nothing if it is gone; commits on a plain session."""
        await self.run(self._delete, access_token)

    def _find(self, session: Session, token: str, max_age: datetime | None) -> AP | None:
        table: Any = self.access_token_table
        statement = select(table).where(table.token == token)
        if max_age is not None:
            statement = statement.where(table.created_at >= max_age)
        return cast("AP | None", session.scalars(statement).unique().one_or_none())

    def _save(self, session: Session, access_token: AP, update_dict: dict[str, Any]) -> AP:
        try:
            with writing(session, access_token):
                session.add(access_token)
                for name, value in update_dict.items():
                    setattr(access_token, name, value)
        except IntegrityError as error:
            if is_foreign_key_violation(error):
                raise UserNotExists from error
            raise
        reload(session, access_token)
        return access_token

    def _delete(self, session: Session, access_token: AP) -> None:
        if inspect(access_token, raiseerr=True).was_deleted:
            return
        table: Any = self.access_token_table
        with writing(session, access_token):
            row = select(table.token).where(table.token == identity(access_token)).with_for_update()
            if session.scalar(row) is not None:
                session.delete(access_token)
            elif access_token in session:
                session.expunge(access_token)


class SQLAlchemyAccessTokenDatabase(SessionStore, _AccessTokenStore[AP]):
    """Access tokens on an `AsyncSession`, whether their table is a SQLAlchemy or a SQLModel one."""

    def __init__(self, session: AsyncSession, access_token_table: type[AP]) -> None:
        self._use(session)
        self.access_token_table = access_token_table


class SQLModelAccessTokenDatabase(SyncSessionStore, _AccessTokenStore[AP]):
    """Access tokens on a sync `Session`, which works in a thread."""

    def __init__(self, session: Session, access_token_model: type[AP]) -> None:
        self._use(session)
        self.access_token_table = access_token_model
