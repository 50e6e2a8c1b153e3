"""A small world to try the service in."""

import secrets
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.models import Item, Post, User, UserGroup
from app.users import password_helper
from fastapi_users_sqlmodel import canonical_email

GROUPS = ("Admin", "Developer", "Guest")
# "Sample data" in PostgreSQL's space of advisory locks: any number that nobody else uses.
LOCK = 7_264_829_231


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the small world."""

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


@dataclass(frozen=True, slots=True)
class Filled:
    """What was done: a password, by address, for each user that got one."""

    passwords: dict[str, str]


def fill(session: Session, *, password: str | None = None) -> Filled:
    """Add what is missing of the sample data, in the session's transaction; the caller commits.

    Several at once wait for each other. A random password for each new user, unless `password` is given: then it is
    everybody's, also of those who exist already.
    """
    _wait_for_others(session)
    groups = _groups(session)
    passwords = {}
    for person in PEOPLE:
        user = session.scalar(select(User).where(col(User.email_canonical) == canonical_email(person.email)))
        if user is None or password is not None:
            passwords[person.email] = password or secrets.token_urlsafe(12)
            hashed_password = password_helper.hash(passwords[person.email])
            if user is None:
                user = User(email=person.email, hashed_password=hashed_password)
                _describe(user, person, groups)
                session.add(user)
                session.flush()
            user.hashed_password = hashed_password
        _give_things(session, user)
    session.flush()
    return Filled(passwords)


def _wait_for_others(session: Session) -> None:
    # SQLite's transaction holds the write lock from its beginning.
    if session.get_bind().dialect.name == "postgresql":
        session.scalar(select(func.pg_advisory_xact_lock(LOCK)))
    else:
        session.connection()


def _groups(session: Session) -> dict[str, UserGroup]:
    groups = {group.name: group for group in session.scalars(select(UserGroup).where(col(UserGroup.name).in_(GROUPS)))}
    if session.scalar(select(func.count()).select_from(UserGroup)) == 0:
        # The quick start asks for group 1; a sequence remembers numbers that a killed run had taken.
        session.add_all(UserGroup(id=number, name=name, is_public=True) for number, name in enumerate(GROUPS, 1))
        session.flush()
        if session.get_bind().dialect.name == "postgresql":
            session.scalar(select(func.setval(func.pg_get_serial_sequence("usergroup", "id"), len(GROUPS))))
    else:
        session.add_all(UserGroup(name=name, is_public=True) for name in GROUPS if name not in groups)
        session.flush()
    return {group.name: group for group in session.scalars(select(UserGroup).where(col(UserGroup.name).in_(GROUPS)))}


def _describe(user: User, person: Person, groups: dict[str, UserGroup]) -> None:
    user.username = person.username
    user.name = person.name
    user.group_id = groups[person.group].id
    user.is_verified = True
    user.is_superuser = person.group == "Admin"


def _give_things(session: Session, user: User) -> None:
    """Give a user two items and two posts, if there are none: what somebody has changed stays."""
    if session.scalar(select(func.count()).select_from(Item).where(col(Item.user_id) == user.id)) == 0:
        session.add(Item(title="Lamp", description="Gives light.", price=Decimal("19.90"), user_id=user.id))
        session.add(Item(title="Chair", price=Decimal("49.00"), user_id=user.id))
    if session.scalar(select(func.count()).select_from(Post).where(col(Post.author_id) == user.id)) == 0:
        session.add(Post(title="Hello", content="My first post.", author_id=user.id))
        session.add(Post(title="Hello again", content="My second post.", author_id=user.id))
