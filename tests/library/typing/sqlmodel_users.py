"""SQLModel users with integer ids, on a sync session: checked by mypy --strict, never run."""

from collections.abc import Iterator
from typing import Annotated, assert_type

from fastapi import Depends
from fastapi_users import BaseUserManager, FastAPIUsers, IntegerIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from sqlalchemy import create_engine
from sqlalchemy.orm import registry, selectinload
from sqlmodel import Field, Relationship, Session, SQLModel, select

from fastapi_users_sqlmodel import (
    SQLModelAccessTokenDatabase,
    SQLModelBaseAccessTokenTable,
    SQLModelBaseOAuthAccountTable,
    SQLModelBaseUserTable,
    SQLModelUserDatabase,
    rel,
)


class TableModel(SQLModel, registry=registry()):
    pass


class UserGroup(TableModel, table=True):
    id: int = Field(default=None, primary_key=True)
    users: list["User"] = Relationship(back_populates="group")


class OAuthAccount(SQLModelBaseOAuthAccountTable[int], TableModel, table=True):
    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id", ondelete="CASCADE", index=True)


class User(SQLModelBaseUserTable[int], TableModel, table=True):
    id: int = Field(default=None, primary_key=True)
    group_id: int | None = Field(default=None, foreign_key="usergroup.id", index=True)
    group: UserGroup | None = Relationship(back_populates="users")
    oauth_accounts: list[OAuthAccount] = Relationship()


class AccessToken(SQLModelBaseAccessTokenTable[int], TableModel, table=True):
    user_id: int = Field(foreign_key="user.id", ondelete="CASCADE", index=True)


engine = create_engine("sqlite://")


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def get_user_db(session: Annotated[Session, Depends(get_session)]) -> SQLModelUserDatabase[User, int]:
    return SQLModelUserDatabase(session, User, OAuthAccount)


class UserManager(IntegerIDMixin, BaseUserManager[User, int]):
    reset_password_token_secret = "secret"
    verification_token_secret = "secret"


async def get_user_manager(user_db: Annotated[SQLModelUserDatabase[User, int], Depends(get_user_db)]) -> UserManager:
    return UserManager(user_db)


def get_jwt_strategy() -> JWTStrategy[User, int]:
    return JWTStrategy("secret", lifetime_seconds=3600)


backend = AuthenticationBackend("jwt", BearerTransport("auth/login"), get_jwt_strategy)
fastapi_users = FastAPIUsers[User, int](get_user_manager, [backend])


async def answers(session: Session) -> None:
    users = SQLModelUserDatabase[User, int](session, User, OAuthAccount)
    user = await users.create({"email": "anna@example.com", "hashed_password": "hash"})
    assert_type(user.id, int)
    assert_type(user.group, UserGroup | None)
    assert_type(await users.add_oauth_account(user, {}), User)
    tokens = SQLModelAccessTokenDatabase(session, AccessToken)
    assert_type(await tokens.get_by_token("token"), AccessToken | None)


def loaded_eagerly(session: Session) -> None:
    statement = select(UserGroup).options(selectinload(rel(UserGroup.users)).selectinload(rel(User.oauth_accounts)))
    group = session.exec(statement).one()
    assert_type(group.users[0].oauth_accounts, list[OAuthAccount])
