"""SQLAlchemy users in SQLModel groups: checked by mypy --strict, never run."""

from collections.abc import Sequence
from typing import assert_type

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, selectinload
from sqlmodel import Field, Relationship, Session, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import (
    NAMING_CONVENTION,
    SQLAlchemyBaseUserTableUUID,
    check_models,
    model_problems,
    rel,
    share_registry,
)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class TableModel(SQLModel, registry=Base.registry):
    pass


class UserGroup(TableModel, table=True):
    id: int = Field(default=None, primary_key=True)
    name: str
    users: list["User"] = Relationship(back_populates="group")


class User(SQLAlchemyBaseUserTableUUID, Base):
    group_id: Mapped[int | None] = mapped_column(ForeignKey("usergroup.id"), index=True)
    group: Mapped[UserGroup | None] = relationship(back_populates="users")


def attributes(user: User, group: UserGroup) -> None:
    assert_type(group.users, list[User])
    assert_type(user.group, UserGroup | None)
    assert_type(user.group_id, int | None)
    assert_type(user.email, str)
    assert_type(user.is_active, bool)
    group.users.append(user)
    user.group = group
    for member in group.users:
        assert_type(member.email_canonical, str)


def made() -> User:
    return User(email="anna@example.com", hashed_password="hash", group=UserGroup(name="Admin"))


async def selected(session: AsyncSession) -> None:
    user = (await session.exec(select(User).where(col(User.email_canonical) == "anna@example.com"))).one()
    assert_type(user, User)
    groups = (await session.exec(select(UserGroup))).all()
    assert_type(groups, Sequence[UserGroup])
    email, name = (await session.exec(select(User.email, UserGroup.name).join(UserGroup))).one()
    assert_type(email, str)
    assert_type(name, str)


def selected_sync(session: Session) -> None:
    assert_type(session.exec(select(User)).first(), User | None)
    assert_type(session.exec(select(UserGroup).where(UserGroup.name == "Admin")).one(), UserGroup)
    assert_type(session.get(User, 1), User | None)


async def loaded_eagerly(session: AsyncSession) -> None:
    down = select(UserGroup).options(selectinload(rel(UserGroup.users)).joinedload(User.group))
    assert_type((await session.exec(down)).one().users, list[User])
    up = select(User).options(joinedload(User.group).selectinload(rel(UserGroup.users)))
    assert_type((await session.exec(up)).one().group, UserGroup | None)


def checked() -> None:
    share_registry(Base)
    assert_type(model_problems(Base, allow=["UserGroup.users"]), list[str])
    check_models(TableModel)
