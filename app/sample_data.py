"""Sample groups, users, items and posts, to try the service with."""

import secrets
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select, true
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Item, Post, User, UserGroup
from app.schemas import UserCreate
from app.users import ScriptUserManager, password_helper
from fastapi_users_sqlmodel import PasswordPolicy, schemas

GROUPS = ("Admin", "Developer", "Guest")
# "Sample data" in PostgreSQL's space of advisory locks: any number that nobody else uses.
LOCK = 7_264_829_231


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the sample data."""

    username: str
    name: str
    group: str

    @property
    def email(self) -> str:
        """The address: nobody's, by RFC 2606."""
        return f"{self.username}@example.com"


PEOPLE = (
    Person("admin", "Admin", "Admin"),
    Person("dev1", "Dev One", "Developer"),
    Person("dev2", "Dev Two", "Developer"),
    Person("guest1", "Guest One", "Guest"),
    Person("guest2", "Guest Two", "Guest"),
    Person("guest3", "Guest Three", "Guest"),
)


class SampleUserManager(ScriptUserManager):
    """The manager of the sample users, whose password may be as simple as one likes."""

    password_policy = PasswordPolicy(strength=None)


class _Place(schemas.BaseUserUpdate):
    group_id: int | None = None


async def fill(session: AsyncSession, *, password: str | None = None) -> dict[str, str]:
    """Add what is missing of the sample data, in the session's transaction; the caller commits.

    Several processes wait for each other. Each new user gets a random password, unless `password` is given: then every
    sample user gets that one, also those who exist already.

    Returns:
        By address: the passwords that were set.
    """
    await _wait_for_others(session)
    group_ids = await _group_ids(session)
    manager, passwords = SampleUserManager.on(session), {}
    for person in PEOPLE:
        user = await manager.user_db.get_by_email(person.email)
        if user is None:
            passwords[person.email] = password or secrets.token_urlsafe(12)
            new = UserCreate(
                email=person.email,
                password=passwords[person.email],
                username=person.username,
                name=person.name,
            )
            place = _Place(is_superuser=person.group == "Admin", is_verified=True, group_id=group_ids[person.group])
            user = await manager.update(place, await manager.create(new))
        elif password is not None and not password_helper.verify_and_update(password, user.hashed_password)[0]:
            passwords[person.email] = password
            await manager.update(schemas.BaseUserUpdate(password=password), user)
        await _give_things(session, user)
    await session.flush()
    return passwords


async def _wait_for_others(session: AsyncSession) -> None:
    connection = await session.connection()
    # SQLite's transaction holds the write lock from its beginning.
    if connection.dialect.name == "postgresql":
        # The limits of a request are not those of a script.
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            await connection.execute(select(func.set_config(limit, "0", true())))
        await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def _group_ids(session: AsyncSession) -> dict[str, int]:
    known = select(col(UserGroup.name), col(UserGroup.id)).where(col(UserGroup.name).in_(GROUPS))
    found = dict((await session.execute(known)).tuples().all())
    if await session.scalar(select(func.count()).select_from(UserGroup)) == 0:
        # The quick start asks for group 1, and a killed run may have used up the first numbers of the sequence.
        session.add_all(UserGroup(id=number, name=name, is_public=True) for number, name in enumerate(GROUPS, 1))
        await session.flush()
        if session.get_bind().dialect.name == "postgresql":
            await session.scalar(select(func.setval(func.pg_get_serial_sequence("usergroup", "id"), len(GROUPS))))
    else:
        session.add_all(UserGroup(name=name, is_public=True) for name in GROUPS if name not in found)
        await session.flush()
    return dict((await session.execute(known)).tuples().all())


async def _give_things(session: AsyncSession, user: User) -> None:
    """Give a user two items and two posts, if the user has none: what somebody has changed stays."""
    if await session.scalar(select(func.count()).select_from(Item).where(col(Item.user_id) == user.id)) == 0:
        session.add(Item(title="Lamp", description="Gives light.", price=Decimal("19.90"), user_id=user.id))
        session.add(Item(title="Chair", price=Decimal("49.00"), user_id=user.id))
    if await session.scalar(select(func.count()).select_from(Post).where(col(Post.author_id) == user.id)) == 0:
        session.add(Post(title="Hello", content="My first post.", author_id=user.id))
        session.add(Post(title="Hello again", content="My second post.", author_id=user.id))
