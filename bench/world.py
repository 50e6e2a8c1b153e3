"""The rows that a database is filled with, the same on every machine, and the tokens of those who are signed in."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from fastapi_users.jwt import generate_jwt
from pwdlib.hashers.argon2 import Argon2Hasher

from app.core.settings import settings
from app.users import sessions
from fastapi_users_sqlmodel.sessions._tokens import RefreshToken, encode_access, encode_refresh

PASSWORD = "correct horse battery staple"  # noqa: S105  # It guards nothing
GROUP = 100
CROWD = 1_000
VIEWERS = 200
ITEMS_OF_A_VIEWER = 100
REFRESH_TOKENS = 2_000
POSTS_AT_LEAST = 20_000

# As SQLAlchemy writes them into SQLite, and as PostgreSQL reads them in COPY.
type Cell = str | int | float
type Rows = Iterator[tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who is signed in, by the service's tokens and by FastAPI Users' own."""

    group_id: int
    token: str
    stock_token: str


@dataclass(frozen=True, slots=True)
class Table:
    """What is put into a table: so many rows, made while they are written."""

    name: str
    columns: tuple[str, ...]
    count: int
    rows: Rows


class World:
    """So many users in groups of a hundred, one more group of a thousand, and what they own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.now = datetime.now(UTC)
        chance = random.Random(size)  # noqa: S311  # The same ids in every run, for nothing secret
        self.ids = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(size + CROWD)]
        self._chance = chance
        self.hashed_password = Argon2Hasher(memory_cost=19456, time_cost=2, parallelism=1).hash(PASSWORD)

    @property
    def groups(self) -> int:
        """How many groups of a hundred there are; the group after them is that of the thousand."""
        return self.size // GROUP

    @property
    def crowd_id(self) -> int:
        """The id of the group of a thousand."""
        return self.groups + 1

    def group_of(self, number: int) -> int:
        """Tell whose group a user is in: who came after another need not be in the same group."""
        return number % self.groups + 1 if number < self.size else self.crowd_id

    @cached_property
    def viewer_numbers(self) -> list[int]:
        """Who is signed in: people from all groups."""
        stride = self.size // VIEWERS
        return [number * stride + number % stride for number in range(VIEWERS)]

    @cached_property
    def emails(self) -> list[str]:
        """The addresses of people who sign in: others, so that they do not use up the sessions of the viewers."""
        viewers = set(self.viewer_numbers)
        others = [number for number in range(self.size) if number not in viewers]
        return [f"user{number}@example.com" for number in others[:: len(others) // VIEWERS]][:VIEWERS]

    @cached_property
    def viewers(self) -> list[Viewer]:
        """Those who are signed in, in groups of a hundred."""
        return [self._viewer(number) for number in self.viewer_numbers]

    @cached_property
    def walkers(self) -> list[Viewer]:
        """Those who are signed in, in the group of a thousand."""
        return [self._viewer(self.size + number) for number in range(10)]

    @cached_property
    def refresh_tokens(self) -> list[str]:
        """One token for each of many sessions."""
        return [encode_refresh(sessions.keys, token) for token, _ in self._refresh_tokens]

    @cached_property
    def post_count(self) -> int:
        """How many posts there are."""
        return max(POSTS_AT_LEAST, self.size)

    def tables(self) -> list[Table]:
        """Return what is to be written, parents first."""
        return [
            Table("usergroup", ("id", "name", "is_public"), self.crowd_id, self._groups()),
            Table("user", _USER, len(self.ids), self._users()),
            Table("user_session", _SESSION, VIEWERS + 10 + REFRESH_TOKENS, self._sessions()),
            Table("item", _ITEM, self._item_count, self._items()),
            Table("post", _POST, self.post_count, self._posts()),
        ]

    def _viewer(self, number: int) -> Viewer:
        user_id = str(self.ids[number])
        token = encode_access(
            sessions.keys,
            self._session_id(number),
            user_id,
            issuer=sessions.issuer,
            expires_at=self.now + timedelta(days=1),
        )
        stock = {"sub": user_id, "aud": ["fastapi-users:auth"]}
        return Viewer(self.group_of(number), token, generate_jwt(stock, settings.secret_key.get_secret_value(), 86_400))

    def _session_id(self, number: int) -> uuid.UUID:
        return uuid.UUID(int=self.ids[number].int ^ 1)

    @cached_property
    def _refresh_tokens(self) -> list[tuple[RefreshToken, int]]:
        bits = self._chance.getrandbits
        return [
            (RefreshToken(uuid.UUID(int=bits(128), version=4), 0, self._chance.randbytes(32)), number % self.size)
            for number in range(REFRESH_TOKENS)
        ]

    def _groups(self) -> Rows:
        return ((number, f"Group {number}", 0) for number in range(1, self.crowd_id + 1))

    def _users(self) -> Rows:
        now = _text(self.now)
        for number, user_id in enumerate(self.ids):
            email, name = f"user{number}@example.com", f"User Number {number}"
            flags, username = (1, 0, 1), f"user{number}"
            group_id = self.group_of(number)
            yield (user_id.hex, email, email, self.hashed_password, *flags, username, name, group_id, now, now)

    def _sessions(self) -> Rows:
        walkers = range(self.size, self.size + 10)
        begun = [(self._session_id(number), number, b"") for number in (*self.viewer_numbers, *walkers)]
        begun += [(token.session_id, number, token.secret) for token, number in self._refresh_tokens]
        now, idle, end = (_text(self.now + timedelta(days=days)) for days in (0, 14, 30))
        for session_id, number, secret in begun:
            secret_hash = sessions.keys.digests("refresh", secret)[0].hex()
            yield (session_id.hex, self.ids[number].hex, "bearer", "password", now, now, idle, end, now, secret_hash, 0)

    @property
    def _others_have_items(self) -> bool:
        return self.size <= 100_000

    @property
    def _item_count(self) -> int:
        return VIEWERS * ITEMS_OF_A_VIEWER + (self.size - VIEWERS) * self._others_have_items

    def _items(self) -> Rows:
        now, viewers, item_id = _text(self.now), set(self.viewer_numbers), 0
        for number in range(self.size) if self._others_have_items else self.viewer_numbers:
            for _ in range(ITEMS_OF_A_VIEWER if number in viewers else 1):
                item_id += 1
                price = item_id % 10_000 / 100
                yield (item_id, f"Item {item_id}", f"Thing {item_id} of {number}.", price, self.ids[number].hex, now)

    def _posts(self) -> Rows:
        now, content = _text(self.now), "What somebody wrote. " * 5
        for post_id in range(1, self.post_count + 1):
            yield (post_id, f"Post {post_id}", content, self.ids[post_id * 7919 % self.size].hex, now)


_USER = (
    "id",
    "email",
    "email_canonical",
    "hashed_password",
    "is_active",
    "is_superuser",
    "is_verified",
    "username",
    "name",
    "group_id",
    "created_at",
    "updated_at",
)
_SESSION = (
    "id",
    "user_id",
    "transport",
    "method",
    "created_at",
    "last_seen_at",
    "idle_expires_at",
    "expires_at",
    "proved_at",
    "secret_hash",
    "generation",
)
_ITEM = ("id", "title", "description", "price", "user_id", "created_at")
_POST = ("id", "title", "content", "author_id", "created_at")


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
