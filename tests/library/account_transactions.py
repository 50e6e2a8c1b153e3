"""What the tests of transactions share: sessions of every kind, and hooks that note what they see."""

from typing import Any

from tests.library.stores import Stores, new_user

AS_IT_COMES = "sqlite as it comes"  # Without prepare_sqlite.
CASES = [
    ("sqlalchemy-uuid", "async", "sqlite"),
    ("sqlalchemy-int", "async-sqlalchemy", AS_IT_COMES),
    ("sqlmodel-int", "sync", "sqlite"),
    ("sqlmodel-int", "sync", AS_IT_COMES),
    ("sqlmodel-uuid", "async", "postgresql"),
    ("sqlalchemy-int", "sync", "postgresql"),
]
ANNA = "anna@example.com"
BERTA = "berta@example.com"


class Boom(Exception):
    pass


class Hooks:
    """Hooks that note which users another connection saw when they ran."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.saw: list[list[str]] = []

    def add(self) -> None:
        self.stores.users.after_commit(self)

    async def __call__(self) -> None:
        self.saw.append(self.stores.emails())


async def add_user(stores: Stores, email: str = ANNA) -> Any:
    return await stores.users.create(new_user(email))
