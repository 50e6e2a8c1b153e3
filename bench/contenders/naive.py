"""The seed's pattern, written anew: FastAPI Users' stock backend, ORM entities, relationships that load themselves.

They have to, each of them: an async session cannot load them later.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import BaseUserDatabase
from fastapi_users.password import PasswordHelper
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel, ConfigDict, EmailStr
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlmodel import Field, Relationship, SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime

from app.core.settings import settings

SECRET = settings.secret_key.get_secret_value()


class Base(DeclarativeBase):
    """Base of the tables."""


class TableModel(SQLModel, registry=Base.registry):
    """Base of the SQLModel tables."""


class User(Base):
    """A user: FastAPI Users' columns and the service's."""

    __tablename__ = "user"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    email: Mapped[str]
    hashed_password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    is_superuser: Mapped[bool] = mapped_column(default=False)
    is_verified: Mapped[bool] = mapped_column(default=False)
    username: Mapped[str | None]
    name: Mapped[str | None]
    group_id: Mapped[int | None] = mapped_column(ForeignKey("usergroup.id"))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime())
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime())

    group: Mapped["UserGroup | None"] = relationship(back_populates="users", lazy="selectin")


class UserGroup(TableModel, table=True):
    """A group of users."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    is_public: bool = False

    users: list[User] = Relationship(back_populates="group", sa_relationship_kwargs={"lazy": "joined"})


class Item(TableModel, table=True):
    """A thing with a price."""

    id: int | None = Field(default=None, primary_key=True)
    title: str
    description: str | None = None
    price: float
    user_id: uuid.UUID = Field(foreign_key="user.id")
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    owner: User = Relationship(sa_relationship_kwargs={"lazy": "selectin"})


class Post(TableModel, table=True):
    """Something that somebody wrote."""

    id: int | None = Field(default=None, primary_key=True)
    title: str
    content: str
    author_id: uuid.UUID = Field(foreign_key="user.id")
    created_at: datetime

    author: User = Relationship(sa_relationship_kwargs={"lazy": "selectin"})


class UserRead(schemas.BaseUser[uuid.UUID]):
    """A user on the wire, with FastAPI Users' fields and the service's."""

    username: str | None
    name: str | None
    group_id: int | None
    created_at: datetime
    updated_at: datetime


class UserGroupMember(BaseModel):
    """A member of a group on the wire: the service's fields, so that as much is sent."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    name: str | None
    username: str | None
    email: EmailStr


class ItemCreate(BaseModel):
    """A new item."""

    title: str
    description: str | None = None
    price: float


class ItemRead(ItemCreate):
    """An item on the wire."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    user_id: uuid.UUID
    created_at: datetime


class PostRead(BaseModel):
    """A post on the wire."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    content: str
    author_id: uuid.UUID
    created_at: datetime


engine = create_async_engine(settings.database_url)
async_session_maker = async_sessionmaker(engine, expire_on_commit=False)


async def get_async_session() -> AsyncIterator[AsyncSession]:
    """Hand over a session."""
    async with async_session_maker() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class SQLAlchemyUserDatabase(BaseUserDatabase[Any, uuid.UUID]):
    """The queries of FastAPI Users' adapter for SQLAlchemy, which does not install beside SQLAlchemy 2.1."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, id: uuid.UUID) -> User | None:  # noqa: A002  # FastAPI Users' signature
        """Find a user by id."""
        return await self._get_user(select(User).where(User.id == id))

    async def get_by_email(self, email: str) -> User | None:
        """Find a user by e-mail address."""
        return await self._get_user(select(User).where(func.lower(User.email) == func.lower(email)))

    async def update(self, user: User, update_dict: dict[str, Any]) -> User:
        """Change a user."""
        for key, value in update_dict.items():
            setattr(user, key, value)
        self.session.add(user)
        await self.session.commit()
        await self.session.refresh(user)
        return user

    async def _get_user(self, statement: Any) -> User | None:
        results = await self.session.execute(statement)
        user: User | None = results.unique().scalar_one_or_none()
        return user


class UserManager(UUIDIDMixin, BaseUserManager[Any, uuid.UUID]):
    """FastAPI Users' manager."""


async def get_user_db(session: SessionDep) -> SQLAlchemyUserDatabase:
    """Hand over the store of users."""
    return SQLAlchemyUserDatabase(session)


async def get_user_manager(user_db: Annotated[SQLAlchemyUserDatabase, Depends(get_user_db)]) -> UserManager:
    """Hand over the manager, with the service's Argon2 parameters: FastAPI Users' own cost five times as much."""
    argon2 = Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1)
    return UserManager(user_db, PasswordHelper(PasswordHash((argon2,))))


def get_jwt_strategy() -> JWTStrategy[Any, uuid.UUID]:
    """Make the strategy, as FastAPI Users' example does."""
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


auth_backend = AuthenticationBackend(
    name="jwt", transport=BearerTransport(tokenUrl="auth/jwt/login"), get_strategy=get_jwt_strategy
)
fastapi_users = FastAPIUsers[Any, uuid.UUID](get_user_manager, [auth_backend])
CurrentUser = Annotated[User, Depends(fastapi_users.current_user(active=True))]

app = FastAPI()
app.include_router(fastapi_users.get_auth_router(auth_backend), prefix="/auth/jwt")


@app.get("/users/me", response_model=UserRead)
async def read_me(user: CurrentUser) -> User:
    """Read oneself."""
    return user


@app.get("/user-groups/{group_id}/users", response_model=list[UserGroupMember])
async def list_user_group_users(group_id: int, user: CurrentUser, session: SessionDep) -> list[User]:
    """List the users of a group, to its members."""
    group = await session.get(UserGroup, group_id)
    if group is None or user.group_id != group_id:
        raise HTTPException(404)
    return group.users


@app.get("/items", response_model=list[ItemRead])
async def list_items(user: CurrentUser, session: SessionDep, skip: int = 0, limit: int = 10) -> Sequence[Item]:
    """List one's items."""
    statement = select(Item).where(Item.user_id == user.id).offset(skip).limit(limit)  # type: ignore[arg-type]  # SQLModel
    return (await session.execute(statement)).scalars().all()


@app.post("/items", response_model=ItemRead, status_code=201)
async def create_item(item_create: ItemCreate, user: CurrentUser, session: SessionDep) -> Item:
    """Create an item."""
    item = Item(**item_create.model_dump(), user_id=user.id)
    session.add(item)
    await session.commit()
    await session.refresh(item)
    return item


@app.get("/posts/{post_id}", response_model=PostRead)
async def read_post(post_id: int, session: SessionDep) -> Post:
    """Read a post."""
    post = await session.get(Post, post_id)
    if post is None:
        raise HTTPException(404)
    return post


if __name__ == "__main__":
    uvicorn.run(app, port=settings.port, log_config=None, log_level="error", access_log=False)
