"""A small world whose ids are known before it exists, so that what is made up about it is sometimes true."""

import uuid
from decimal import Decimal
from functools import cache

from sqlmodel import Session

from app.models import Item, Post, User, UserGroup
from app.users import password_helper
from tests.app.databases import connected

PASSWORD = "correct horse battery staple"
USERS = {name: uuid.UUID(int=number, version=4) for number, name in enumerate(["admin", "member", "stranger"], 1)}
PUBLIC_GROUP, PRIVATE_GROUP = 1, 2
# Each of the three has two items and two posts.
NUMBERS = [1, 2, 3, 4, 5, 6]


@cache
def hashed_password() -> str:
    return password_helper.hash(PASSWORD)


def make_user(name: str) -> User:
    return User(
        id=USERS[name],
        email=f"{name}@example.com",
        username=name,
        hashed_password=hashed_password(),
        is_active=True,
        is_superuser=name == "admin",
    )


def restore(url: str, name: str) -> User:
    """Let somebody be there again, with their rights, and return them."""
    with connected(url) as connection, Session(connection, expire_on_commit=False) as session:
        user = session.merge(make_user(name))
        session.commit()
        return user


def make_world(url: str) -> None:
    """Make the world in an empty database that is at head."""
    with connected(url) as connection, Session(connection) as session:
        session.add_all([UserGroup(name="Public", is_public=True), UserGroup(name="Private")])
        session.flush()
        for name, user_id in USERS.items():
            user = make_user(name)
            user.group_id = PRIVATE_GROUP if name == "member" else PUBLIC_GROUP
            session.add(user)
            session.flush()
            session.add_all(Item(title="Lamp", price=Decimal(number), user_id=user_id) for number in range(2))
            session.add_all(Post(title="Hello", content="World", author_id=user_id) for _ in range(2))
            session.flush()
        session.commit()
