"""Make databases with FastAPI Users' own SQLAlchemy adapter: its models, its stores, and tables of an app around them.

A program for an environment of its own, because the adapter allows no SQLAlchemy that ours would share. It runs with
SQLAlchemy 1.4 and 2.0, reads what to make as JSON, and writes down what it made.
"""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202  # SQLAlchemy 1.4 has no types.

import asyncio
import json
import sys
import uuid
from datetime import datetime, timezone

import fastapi_users_db_sqlalchemy as upstream
import fastapi_users_db_sqlalchemy.access_token as upstream_tokens
from fastapi_users_db_sqlalchemy.generics import GUID
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, String, UniqueConstraint, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base, declared_attr, relationship

CREATED = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=timezone.utc)  # noqa: UP017  # as old code says it


def make_models(ids, convention):
    is_uuid = ids == "uuid"
    type_ = GUID if is_uuid else Integer
    Base = declarative_base(metadata=MetaData(naming_convention=convention))  # noqa: N806

    class Team(Base):
        __tablename__ = "team"
        id = Column(type_, primary_key=True)
        name = Column(String(40), nullable=False)

    class User(
        upstream.SQLAlchemyBaseUserTableUUID if is_uuid else upstream.SQLAlchemyBaseUserTable,
        Base,
    ):
        if not is_uuid:
            id = Column(Integer, primary_key=True)
        nickname = Column(String(40), index=True)
        invited_by = Column(type_, ForeignKey("user.id", ondelete="SET NULL"))
        team_id = Column(type_, ForeignKey("team.id"))
        oauth_accounts = relationship("OAuthAccount", lazy="joined")
        __table_args__ = (
            UniqueConstraint("team_id", "nickname", name="one_nickname_in_a_team"),
            CheckConstraint("length(nickname) > 1", name="nickname"),
            Index("ix_user_team", "team_id", postgresql_where=text("is_active"), sqlite_where=text("is_active")),
        )

    class OAuthAccount(
        upstream.SQLAlchemyBaseOAuthAccountTableUUID if is_uuid else upstream.SQLAlchemyBaseOAuthAccountTable,
        Base,
    ):
        if not is_uuid:
            id = Column(Integer, primary_key=True)

            @declared_attr
            def user_id(self):
                return Column(Integer, ForeignKey("user.id", ondelete="cascade"), nullable=False)

    class AccessToken(
        upstream_tokens.SQLAlchemyBaseAccessTokenTableUUID
        if is_uuid
        else upstream_tokens.SQLAlchemyBaseAccessTokenTable,
        Base,
    ):
        if not is_uuid:

            @declared_attr
            def user_id(self):
                return Column(Integer, ForeignKey("user.id", ondelete="cascade"), nullable=False)

    class Membership(Base):
        __tablename__ = "membership"
        user_id = Column(type_, ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
        role = Column(String(10), nullable=False, server_default="member")

    class Note(Base):
        __tablename__ = "note"
        id = Column(Integer, primary_key=True)
        member_id = Column(type_, ForeignKey("membership.user_id", ondelete="CASCADE"), index=True)
        account_id = Column(type_, ForeignKey("oauth_account.id", ondelete="SET NULL"))
        text = Column(String(40))

    return Base, Team, User, OAuthAccount, AccessToken, Membership, Note


async def make(order):
    """Make one database; who is told to get several users of an address gets them, as the adapter allows it."""
    Base, Team, User, OAuthAccount, AccessToken, Membership, Note = make_models(order["ids"], order["convention"])  # noqa: N806
    engine = create_async_engine(order["url"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    made = []
    # Version 4.0.0 made a column that takes no time zone on PostgreSQL.
    is_naive = engine.dialect.name == "postgresql" and not AccessToken.__table__.c.created_at.type.impl.timezone

    def new_id(number):
        return {"id": uuid.UUID(int=(number << 96) + 0xABCDEF, version=4)} if order["ids"] == "uuid" else {}

    for number, email in enumerate(order["emails"], 1):
        async with AsyncSession(engine) as session:
            team = Team(**new_id(1000 + number), name=f"Team {number}")
            session.add(team)
            await session.commit()
            await session.refresh(team)
            users = upstream.SQLAlchemyUserDatabase(session, User, OAuthAccount)
            columns = {"nickname": f"nick {number}", "team_id": team.id, "hashed_password": f"hash {number}"}
            if made:
                columns["invited_by"] = made[-1]["key"]
            user = await users.create({**new_id(number), "email": email, "is_superuser": number == 1, **columns})
            key = user.id
            account = {"oauth_name": "google", "access_token": f"access {number}", "account_id": f"account {number}"}
            account |= {"account_email": email, "refresh_token": None if number % 2 else "refresh", "expires_at": 7}
            if order["ids"] == "uuid":
                account["id"] = uuid.uuid4()
            # The adapter appends to a list, which a fresh object has to load.
            user = await users.get(key)
            user = await users.add_oauth_account(user, account)
            token = {"token": f"token{number}".ljust(43, "x"), "user_id": key, "created_at": CREATED}
            if is_naive:
                token["created_at"] = CREATED.replace(tzinfo=None)
            await upstream_tokens.SQLAlchemyAccessTokenDatabase(session, AccessToken).create(token)
            session.add(Membership(user_id=key))
            await session.commit()
            session.add(Note(member_id=key, text=f"note {number}"))
            await session.commit()
        made.append({"key": key, "email": email, "id": str(key), "token": token["token"]})
    await engine.dispose()
    return [{name: user[name] for name in ("id", "email", "token")} for user in made]


async def main():
    print(json.dumps([await make(order) for order in json.load(sys.stdin)]))  # noqa: T201  # it is the answer


if __name__ == "__main__":
    asyncio.run(main())
