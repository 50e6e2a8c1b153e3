"""The app of adopt_upstream.py before and after: with the adapter's tables, and with the library's models."""

import uuid
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from fastapi_users_sqlmodel import (
    NAMING_CONVENTION,
    SQLAlchemyBaseAccessTokenTable,
    SQLAlchemyBaseAccessTokenTableUUID,
    SQLAlchemyBaseOAuthAccountTable,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTable,
    SQLAlchemyBaseUserTableUUID,
)
from tests.library.models import Models

type Ids = Literal["uuid", "int"]


def adapter_tables(ids: str, *, named: bool = False, timezone: bool = True, guid: str = "CHAR(36)") -> MetaData:
    """Return the tables as the adapter makes them: for databases, and migrations, that are made without it."""
    tables = MetaData(naming_convention=NAMING_CONVENTION if named else None)

    def id_type() -> Any:
        text = sa.CHAR(36) if guid == "CHAR(36)" else sa.VARCHAR(36)
        return text.with_variant(sa.Uuid(), "postgresql") if ids == "uuid" else Integer()

    def to(name: str, target: str, ondelete: str | None, **options: Any) -> Column[Any]:
        return Column(name, id_type(), ForeignKey(target, ondelete=ondelete), **options)

    Table("team", tables, Column("id", id_type(), primary_key=True), Column("name", String(40), nullable=False))
    Table(
        "user",
        tables,
        Column("id", id_type(), primary_key=True),
        Column("email", String(320), unique=True, index=True, nullable=False),
        Column("hashed_password", String(1024), nullable=False),
        *(Column(name, sa.Boolean, nullable=False) for name in ("is_active", "is_superuser", "is_verified")),
        Column("nickname", String(40), index=True),
        to("invited_by", "user.id", "SET NULL"),
        to("team_id", "team.id", None),
        *_constraints(),
    )
    Table(
        "oauth_account",
        tables,
        Column("id", id_type(), primary_key=True),
        to("user_id", "user.id", "cascade", nullable=False),
        Column("oauth_name", String(100), index=True, nullable=False),
        Column("access_token", String(1024), nullable=False),
        Column("expires_at", Integer),
        Column("refresh_token", String(1024)),
        Column("account_id", String(320), index=True, nullable=False),
        Column("account_email", String(320), nullable=False),
    )
    Table(
        "accesstoken",
        tables,
        Column("token", String(43), primary_key=True),
        Column("created_at", sa.TIMESTAMP(timezone=timezone), index=True, nullable=False),
        to("user_id", "user.id", "cascade", nullable=False),
    )
    _further_tables(tables, id_type)
    return tables


def _constraints() -> tuple[Any, ...]:
    return (
        UniqueConstraint("team_id", "nickname", name="one_nickname_in_a_team"),
        CheckConstraint("length(nickname) > 1", name="nickname"),
        Index("ix_user_team", "team_id", postgresql_where=sa.text("is_active"), sqlite_where=sa.text("is_active")),
    )


def _further_tables(metadata: MetaData, guid: Any) -> None:
    Table(
        "membership",
        metadata,
        Column("user_id", guid(), ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        Column("role", String(10), nullable=False, server_default="member"),
    )
    Table(
        "note",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("member_id", guid(), ForeignKey("membership.user_id", ondelete="CASCADE"), index=True),
        Column("account_id", guid(), ForeignKey("oauth_account.id", ondelete="SET NULL")),
        Column("text", String(40)),
    )


@cache
def library_models(ids: str, *, named: bool = False) -> Models:
    """Return the models of the app when it has changed its imports."""
    made = MetaData(naming_convention=NAMING_CONVENTION if named else None)

    def guid() -> Any:
        return sa.Uuid() if ids == "uuid" else Integer()

    Table("team", made, Column("id", guid(), primary_key=True), Column("name", String(40), nullable=False))
    make = _with_uuids if ids == "uuid" else _with_integers
    found = make(made)
    _further_tables(made, guid)
    return found


def _with_uuids(made: MetaData) -> Models:
    class Base(DeclarativeBase):
        metadata = made

    class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
        pass

    class User(SQLAlchemyBaseUserTableUUID, Base):
        nickname: Mapped[str | None] = mapped_column(String(40), index=True)
        invited_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
        team_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("team.id"))
        oauth_accounts: Mapped[list[OAuthAccount]] = relationship(OAuthAccount)
        __table_args__ = _constraints()

    class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
        pass

    return Models(Base, User, OAuthAccount, AccessToken, [])


def _with_integers(made: MetaData) -> Models:
    class Base(DeclarativeBase):
        metadata = made

    # As FastAPI Users' documentation shows them: without an index, and "cascade" in small letters.
    class OAuthAccount(SQLAlchemyBaseOAuthAccountTable[int], Base):
        __table_args__ = ({"info": {"by": Base}},)
        id: Mapped[int] = mapped_column(Integer, primary_key=True)

        @declared_attr
        def user_id(self) -> Mapped[int]:
            return mapped_column(Integer, ForeignKey("user.id", ondelete="cascade"), nullable=False)

    class User(SQLAlchemyBaseUserTable[int], Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        nickname: Mapped[str | None] = mapped_column(String(40), index=True)
        invited_by: Mapped[int | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
        team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
        oauth_accounts: Mapped[list[OAuthAccount]] = relationship(OAuthAccount)
        __table_args__ = _constraints()

    class AccessToken(SQLAlchemyBaseAccessTokenTable[int], Base):
        @declared_attr
        def user_id(self) -> Mapped[int]:
            return mapped_column(Integer, ForeignKey("user.id", ondelete="cascade"), nullable=False)

    return Models(Base, User, OAuthAccount, AccessToken, [])
