"""SQLAlchemy users and SQLModel groups in one registry."""

import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import ForeignKey, MetaData, inspect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, selectinload
from sqlmodel import Field, Relationship, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import NAMING_CONVENTION, SQLAlchemyBaseUserTableUUID, model_problems, rel
from fastapi_users_sqlmodel.engines import async_url


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class TableModel(SQLModel, registry=Base.registry):
    pass


class UserGroup(TableModel, table=True):
    id: int = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    users: list["User"] = Relationship(back_populates="group", sa_relationship_kwargs={"lazy": "raise"})


class User(SQLAlchemyBaseUserTableUUID, Base):
    group_id: Mapped[int | None] = mapped_column(ForeignKey("usergroup.id"), index=True)
    group: Mapped[UserGroup | None] = relationship(back_populates="users", lazy="raise")


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(async_url(database_url))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
    await engine.dispose()


class TestOneRegistry:
    @pytest.fixture
    async def group(self, session: AsyncSession) -> UserGroup:
        group = UserGroup(name="Admin")
        group.users = [User(email=f"{name}@example.com", hashed_password="hash") for name in ("anna", "berta")]
        session.add(group)
        await session.commit()
        session.expunge_all()
        return group

    def test_the_models_fit_together(self) -> None:
        assert model_problems(Base) == []
        assert set(Base.metadata.tables) == {"user", "user_audit_event", "user_session", "user_token", "usergroup"}

    async def test_from_the_group_to_its_users_and_back(self, session: AsyncSession, group: UserGroup) -> None:
        statement = select(UserGroup).options(selectinload(rel(UserGroup.users)).joinedload(User.group))
        found = (await session.exec(statement)).one()
        assert sorted(user.email for user in found.users) == ["anna@example.com", "berta@example.com"]
        assert [user.group for user in found.users] == [found, found]

    async def test_from_a_user_to_its_group_and_back(self, session: AsyncSession, group: UserGroup) -> None:
        statement = (
            select(User)
            .where(col(User.email_canonical) == "anna@example.com")
            .options(joinedload(User.group).selectinload(rel(UserGroup.users)))
        )
        found = (await session.exec(statement)).one()
        assert found.group is not None
        assert {user.email for user in found.group.users} == {"anna@example.com", "berta@example.com"}

    async def test_a_user_joins_a_group_from_either_side(self, session: AsyncSession, group: UserGroup) -> None:
        user = User(email="carla@example.com", hashed_password="hash", group=UserGroup(name="Guest"))
        assert user.group is not None
        assert user.group.users == [user]
        session.add(user)
        await session.commit()
        assert user.group_id == user.group.id

    async def test_every_constraint_has_a_name(self, session: AsyncSession) -> None:
        def names(session: AsyncSession) -> set[str | None]:
            inspector = inspect(session.get_bind())
            return {key["name"] for key in inspector.get_foreign_keys("user")} | {
                constraint["name"] for constraint in inspector.get_unique_constraints("usergroup")
            }

        found = await session.run_sync(names)  # type: ignore[arg-type]
        assert found == {"fk_user_group_id_usergroup", "uq_usergroup_name"}


def run(script: str) -> str:
    """Run a program of its own, since what it changes holds for the whole process."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr.strip().rpartition("\n")[2]


class TestShareRegistry:
    def test_the_seed_s_way_works(self) -> None:
        """Tables that inherit from plain `SQLModel`, and the library's SQLModel bases, imported before the call."""
        assert (
            run("""
            from sqlalchemy import ForeignKey, create_engine
            from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
            from sqlmodel import Field, Relationship, Session, SQLModel, select
            from fastapi_users_sqlmodel import (
                SQLAlchemyBaseUserTableUUID, SQLModelBaseAccessTokenTableUUID, model_problems, share_registry
            )

            class Base(DeclarativeBase):
                pass

            share_registry(Base)
            share_registry(Base)

            class UserGroup(SQLModel, table=True):
                id: int | None = Field(default=None, primary_key=True)
                users: list["User"] = Relationship(back_populates="group")

            class User(SQLAlchemyBaseUserTableUUID, Base):
                group_id: Mapped[int | None] = mapped_column(ForeignKey("usergroup.id"))
                group: Mapped[UserGroup | None] = relationship(back_populates="users")

            class AccessToken(SQLModelBaseAccessTokenTableUUID, table=True):
                pass

            assert SQLModel.metadata is Base.metadata
            print(sorted(SQLModel.metadata.tables), model_problems(Base), model_problems(SQLModel))
            engine = create_engine("sqlite://")
            SQLModel.metadata.create_all(engine)
            with Session(engine) as session:
                session.add(UserGroup(users=[User(email="anna@example.com", hashed_password="hash")]))
                session.commit()
                print(session.exec(select(User)).one().group.users[0].email)
            engine.dispose()
            """)
            == "['accesstoken', 'user', 'user_audit_event', 'user_session', 'user_token', 'usergroup'] [] []\n"
            "anna@example.com\n"
        )

    def test_it_refuses_when_tables_were_declared_before(self) -> None:
        assert run("""
            from sqlalchemy.orm import DeclarativeBase
            from sqlmodel import Field, SQLModel
            from fastapi_users_sqlmodel import share_registry

            class Base(DeclarativeBase):
                pass

            class UserGroup(SQLModel, table=True):
                id: int | None = Field(default=None, primary_key=True)

            class Item(SQLModel, table=True):
                id: int | None = Field(default=None, primary_key=True)

            share_registry(Base)
            """) == (
            "sqlalchemy.exc.InvalidRequestError: share_registry(Base) comes too late: item, usergroup already declared "
            "on SQLModel's own metadata; call it before the first SQLModel class with table=True is imported"
        )
