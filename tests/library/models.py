"""The tables of a small project in each form that the library supports: SQLAlchemy or SQLModel users, UUID or int ids."""

import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import ForeignKey, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry, relationship
from sqlmodel import Field, Relationship, SQLModel

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

type Lazy = Literal["joined", "raise", "select", "selectin"]
FORMS = ["sqlalchemy-uuid", "sqlalchemy-int", "sqlmodel-uuid", "sqlmodel-int"]


@dataclass(frozen=True)
class Models:
    """The classes of one form. They are `Any` here; tests/library/typing looks at their types."""

    metadata: MetaData
    user: Any
    oauth_account: Any
    access_token: Any
    unknown_id: uuid.UUID | int


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
        oauth_accounts: Mapped[list[OAuthAccount]] = relationship(OAuthAccount, lazy=lazy)

    class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
        pass

    return Models(Base.metadata, User, OAuthAccount, AccessToken, uuid.uuid4())


def _sqlalchemy_int(lazy: Lazy) -> Models:
    class Base(DeclarativeBase):
        pass

    class OAuthAccount(SQLAlchemyBaseOAuthAccountTable[Any], Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)

    class User(SQLAlchemyBaseUserTable[Any], Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        username: Mapped[str | None] = mapped_column(String(32), unique=True)
        oauth_accounts: Mapped[list[OAuthAccount]] = relationship(OAuthAccount, lazy=lazy)

    class AccessToken(SQLAlchemyBaseAccessTokenTable[Any], Base):
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)

    return Models(Base.metadata, User, OAuthAccount, AccessToken, 7)


def _sqlmodel_uuid(lazy: Lazy) -> Models:
    class TableModel(SQLModel, registry=registry()):
        pass

    class OAuthAccount(SQLModelBaseOAuthAccountTableUUID, TableModel, table=True):
        pass

    class User(SQLModelBaseUserTableUUID, TableModel, table=True):
        username: str | None = Field(default=None, max_length=32, unique=True)
        oauth_accounts: list[OAuthAccount] = Relationship(sa_relationship_kwargs={"lazy": lazy})

    class AccessToken(SQLModelBaseAccessTokenTableUUID, TableModel, table=True):
        pass

    return Models(TableModel.metadata, User, OAuthAccount, AccessToken, uuid.uuid4())


def _sqlmodel_int(lazy: Lazy) -> Models:
    class TableModel(SQLModel, registry=registry()):
        pass

    class OAuthAccount(SQLModelBaseOAuthAccountTable[int], TableModel, table=True):
        id: int = Field(default=None, primary_key=True)
        user_id: int = Field(foreign_key="user.id", ondelete="CASCADE", index=True)

    class User(SQLModelBaseUserTable[int], TableModel, table=True):
        id: int = Field(default=None, primary_key=True)
        username: str | None = Field(default=None, max_length=32, unique=True)
        oauth_accounts: list[OAuthAccount] = Relationship(sa_relationship_kwargs={"lazy": lazy})

    class AccessToken(SQLModelBaseAccessTokenTable[int], TableModel, table=True):
        user_id: int = Field(foreign_key="user.id", ondelete="CASCADE", index=True)

    return Models(TableModel.metadata, User, OAuthAccount, AccessToken, 7)
