"""A manager that hashes cheaply and remembers what it sends and hears, on every kind of store."""

import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users.exceptions import InvalidID
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy import select

from fastapi_users_sqlmodel import BaseUserManager, LetterKind, PasswordHelper, PasswordPolicy
from fastapi_users_sqlmodel.tables._accounts import AccountTables, account_tables
from tests.library.models import Models
from tests.library.stores import Stores, open_stores

PASSWORD = "correct horse battery"
NEW_PASSWORD = "another horse entirely"
NETWORK = "192.0.2.1"


class CountingHasher(Argon2Hasher):
    """Argon2, cheap, that counts its computations in whatever thread."""

    def __init__(self) -> None:
        super().__init__(memory_cost=8, time_cost=1, parallelism=1)
        self.count = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._add_one()
        return super().hash(password, salt=salt)

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  # pwdlib's name
        self._add_one()
        return super().verify(password, hash)

    def _add_one(self) -> None:
        with self._lock:
            self.count += 1


counting = CountingHasher()
# No legacy schemes: nobody waits to be refused.
password_helper = PasswordHelper(PasswordHash((counting, BcryptHasher(rounds=4))), legacy=())
HASH = password_helper.hash(PASSWORD)
# Made now: the first failure would be counted as two computations.
password_helper.verify(PASSWORD, None)


@dataclass(frozen=True)
class Letter:
    """What was queued."""

    kind: LetterKind
    to: str | None
    token: str | None


class Manager(BaseUserManager[Any, Any]):
    """Remembers its letters and the hooks that were called, with the e-mail addresses of whom they are about."""

    password_policy = PasswordPolicy(strength=None)
    throttle = None

    def __init__(self, user_db: Any, helper: PasswordHelper = password_helper) -> None:
        super().__init__(user_db, helper)
        self.letters: list[Letter] = []
        self.heard: list[str] = []

    def parse_id(self, value: Any) -> Any:
        try:
            return account_tables(self.user_db.user_table).users.c.id.type.python_type(str(value))
        except ValueError as error:
            raise InvalidID from error

    def token(self, kind: LetterKind) -> str:
        """Return the token of the newest letter of a kind."""
        return next(letter.token for letter in reversed(self.letters) if letter.kind is kind and letter.token)

    async def queue_letter(self, kind: LetterKind, to: str | None, *, user: Any, token: str | None = None) -> None:
        self.letters.append(Letter(kind, to, token))

    async def on_register(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_register")

    async def on_failed_login(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_failed_login")

    async def on_change_password(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_change_password")

    async def on_change_email(self, user: Any, previous_email: str, request: Request | None = None) -> None:
        self.heard.append("on_change_email")

    async def on_before_delete(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_before_delete")

    async def on_after_register(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_after_register")

    async def on_after_update(self, user: Any, update_dict: dict[str, Any], request: Request | None = None) -> None:
        self.heard.append("on_after_update")

    async def on_after_request_verify(self, user: Any, token: str, request: Request | None = None) -> None:
        self.heard.append("on_after_request_verify")

    async def on_after_verify(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_after_verify")

    async def on_after_forgot_password(self, user: Any, token: str, request: Request | None = None) -> None:
        self.heard.append("on_after_forgot_password")

    async def on_after_reset_password(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_after_reset_password")

    async def on_after_change_password(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_after_change_password")

    async def on_after_request_change_email(
        self, user: Any, email: str, token: str | None, undo_token: str | None, request: Request | None = None
    ) -> None:
        self.heard.append("on_after_request_change_email")

    async def on_after_change_email(self, user: Any, previous_email: str, request: Request | None = None) -> None:
        self.heard.append("on_after_change_email")

    async def on_after_delete(self, user: Any, request: Request | None = None) -> None:
        self.heard.append("on_after_delete")


@dataclass(frozen=True)
class Accounts:
    """A manager, and the stores that it works on."""

    manager: Manager
    stores: Stores

    @property
    def tables(self) -> AccountTables:
        return account_tables(self.stores.models.user)

    async def user(self, email: str = "anna@example.com", **columns: Any) -> Any:
        """Create a user whose password is PASSWORD."""
        return await self.manager.user_db.create({"email": email, "hashed_password": HASH, **columns})

    async def reload(self, user_id: Any) -> Any:
        """Look at a user as of now, and hold no lock."""
        user = await self.manager.user_db.lock(user_id)
        await self.manager.release()
        return user

    def events(self, *columns: str) -> list[Any]:
        """Say what another connection sees of the audit trail, in its order."""
        table = self.tables.audit_events
        chosen = [table.c[name] for name in columns or ("kind",)]
        with self.stores.outside.connect() as connection:
            rows = connection.execute(select(*chosen).order_by(table.c.id)).all()
        return [tuple(row) for row in rows] if columns else [row[0] for row in rows]

    def tokens(self) -> list[str]:
        """Say which purposes of tokens another connection sees."""
        with self.stores.outside.connect() as connection:
            return sorted(connection.scalars(select(self.tables.tokens.c.purpose)))

    def column(self, name: str, email: str = "anna@example.com") -> Any:
        """Say what another connection sees in a column of a user."""
        users = self.tables.users
        with self.stores.outside.connect() as connection:
            return connection.scalar(select(users.c[name]).where(users.c.email == email))


@asynccontextmanager
async def open_accounts(
    models: Models,
    url: str,
    kind: str,
    manager_class: type[Manager] = Manager,
    *,
    prepared: bool = True,
    expire_on_commit: bool = False,
) -> AsyncIterator[Accounts]:
    """Open a manager with a session of its own, as a request has one."""
    async with open_stores(models, url, kind, prepared=prepared, expire_on_commit=expire_on_commit) as stores:
        yield Accounts(manager_class(stores.users), stores)


def credentials(username: str, password: str = PASSWORD) -> OAuth2PasswordRequestForm:
    return OAuth2PasswordRequestForm(username=username, password=password)


def request(network: str = NETWORK) -> Request:
    """Make a request from a network, with an id of its own."""
    state = {"request_id": uuid.uuid4().hex}
    return Request({"type": "http", "headers": [], "client": (network, 50000), "state": state})
