"""The tables of a small project in each form: SQLAlchemy or SQLModel users, UUID or integer ids."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import ForeignKey, MetaData, String, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry, relationship
from sqlmodel import Field, Relationship, SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime

from fastapi_users_sqlmodel import (
    SQLAlchemyBaseAccessTokenTable,
    SQLAlchemyBaseAccessTokenTableUUID,
    SQLAlchemyBaseOAuthAccountTable,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTable,
    SQLAlchemyBaseUserTableUUID,
    SQLModelBaseAccessTokenTable,
    SQLModelBaseAccessTokenTableUUID,
    SQLModelBaseOAuthAccountTable,
    SQLModelBaseOAuthAccountTableUUID,
    SQLModelBaseUserTable,
    SQLModelBaseUserTableUUID,
)

# Computed by the database, so nobody knows it after the write.
ON_UPDATE = {"onupdate": func.now()}

type Lazy = Literal["joined", "raise", "select", "selectin"]
FORMS = ["sqlalchemy-uuid", "sqlalchemy-int", "sqlmodel-uuid", "sqlmodel-int"]


@dataclass(frozen=True)
class Models:
    """The classes of one form. They are `Any` here; tests/library/typing looks at their types."""

    base: type[DeclarativeBase | SQLModel]
    user: Any
    oauth_account: Any
    access_token: Any
    unknown_ids: list[Any]

    @property
    def metadata(self) -> MetaData:
        return self.base.metadata


@cache
def make_models(form: str, lazy: Lazy = "select") -> Models:
    make = {
        "sqlalchemy-uuid": _sqlalchemy_uuid,
        "sqlalchemy-int": _sqlalchemy_int,
        "sqlmodel-uuid": _sqlmodel_uuid,
        "sqlmodel-int": _sqlmodel_int,
    }
    return make[form](lazy)


def _sqlalchemy_uuid(lazy: Lazy) -> Models:
    class Base(DeclarativeBase):
        pass

    class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
        pass

    class User(SQLAlchemyBaseUserTableUUID, Base):
        username: Mapped[str | None] = mapped_column(String(32), unique=True)
        changed_at: Mapped[datetime | None] = mapped_column(UTCDateTime, onupdate=func.now())
        oauth_accounts: Mapped[list[OAuthAccount]] = relationship(OAuthAccount, lazy=lazy)

    class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
        pass

    return Models(Base, User, OAuthAccount, AccessToken, [uuid.uuid4()])


def _sqlalchemy_int(lazy: Lazy) -> Models:
    class Base(DeclarativeBase):
        pass

    class OAuthAccount(SQLAlchemyBaseOAuthAccountTable[Any], Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)

    class User(SQLAlchemyBaseUserTable[Any], Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        username: Mapped[str | None] = mapped_column(String(32), unique=True)
        changed_at: Mapped[datetime | None] = mapped_column(UTCDateTime, onupdate=func.now())
        oauth_accounts: Mapped[list[OAuthAccount]] = relationship(OAuthAccount, lazy=lazy)

    class AccessToken(SQLAlchemyBaseAccessTokenTable[Any], Base):
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)

    return Models(
        Base,
        User,
        OAuthAccount,
        AccessToken,
        [2**31 - 1, 0, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30],
    )


def _sqlmodel_uuid(lazy: Lazy) -> Models:
    class TableModel(SQLModel, registry=registry()):
        pass

    class OAuthAccount(SQLModelBaseOAuthAccountTableUUID, TableModel, table=True):
        pass

    class User(SQLModelBaseUserTableUUID, TableModel, table=True):
        username: str | None = Field(default=None, max_length=32, unique=True)
        changed_at: datetime | None = Field(default=None, sa_type=UTCDateTime, sa_column_kwargs=ON_UPDATE)
        oauth_accounts: list[OAuthAccount] = Relationship(sa_relationship_kwargs={"lazy": lazy})

    class AccessToken(SQLModelBaseAccessTokenTableUUID, TableModel, table=True):
        pass

    return Models(TableModel, User, OAuthAccount, AccessToken, [uuid.uuid4()])


def _sqlmodel_int(lazy: Lazy) -> Models:
    class TableModel(SQLModel, registry=registry()):
        pass

    class OAuthAccount(SQLModelBaseOAuthAccountTable[int], TableModel, table=True):
        id: int = Field(default=None, primary_key=True)
        user_id: int = Field(foreign_key="user.id", ondelete="CASCADE", index=True)

    class User(SQLModelBaseUserTable[int], TableModel, table=True):
        id: int = Field(default=None, primary_key=True)
        username: str | None = Field(default=None, max_length=32, unique=True)
        changed_at: datetime | None = Field(default=None, sa_type=UTCDateTime, sa_column_kwargs=ON_UPDATE)
        oauth_accounts: list[OAuthAccount] = Relationship(sa_relationship_kwargs={"lazy": lazy})

    class AccessToken(SQLModelBaseAccessTokenTable[int], TableModel, table=True):
        user_id: int = Field(foreign_key="user.id", ondelete="CASCADE", index=True)

    return Models(
        TableModel,
        User,
        OAuthAccount,
        AccessToken,
        [2**31 - 1, 0, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30],
    )
