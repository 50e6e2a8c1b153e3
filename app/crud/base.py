"""What every collection does alike: read a page, lock a row, insert where a constraint may refuse."""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Table, inspect
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.errors import AppError, InvalidField
from app.models.base import MAX_INTEGER
from fastapi_users_sqlmodel import is_foreign_key_violation, unique_violation

BAD_CURSOR = "not a cursor of this list"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for: so many rows, after a cursor or after skipping some."""

    limit: int = 50
    skip: int = 0
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Rows[T]:
    """A part of a list, and the cursor that leads to the next part; None on the last."""

    rows: Sequence[T]
    next: str | None


class Collection:
    """The rows of one noun, on one session."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def read_page(  # noqa: PLR0913  # Each is a fact about the list
        self,
        statement: Select[Any],
        page: Page,
        *,
        key: Any,
        parse: Callable[[str], Any],
        newest_first: bool = False,
        entities: bool = True,
    ) -> Rows[Any]:
        """Read one page in the order of `key`, and one row more, to know whether another page follows.

        Args:
            statement: What to read, without an order.
            page: Which part of it.
            key: The unique column that orders the list.
            parse: Makes a key of a cursor's text; raises ValueError when it is none.
            newest_first: Whether the order is descending.
            entities: Whether the statement reads entities; else it reads columns, of which one is the key.
        """
        if page.after is not None:
            last = _decode(page.after, parse)
            statement = statement.where(key < last if newest_first else key > last)
        statement = statement.order_by(key.desc() if newest_first else key).offset(page.skip).limit(page.limit + 1)
        result = await self.session.exec(statement)  # type: ignore[call-overload]  # SQLAlchemy's select() as well
        found = result.scalars().all() if entities else result.all()
        rows = found[: page.limit]
        return Rows(rows, _encode(getattr(rows[-1], key.key)) if len(found) > page.limit else None)

    @asynccontextmanager
    async def refused_as(
        self,
        *,
        unique: dict[str, type[AppError]] | None = None,
        missing: type[AppError] | None = None,
        table: type[Any],
    ) -> AsyncIterator[None]:
        """Flush what is changed inside, and say a constraint's refusal in the domain's own words.

        Args:
            unique: For a column, what it means that its value is taken.
            missing: What it means that a row which is pointed to is not there (any more).
            table: The class whose row is written.
        """
        try:
            async with self.session.begin_nested():
                yield
        except IntegrityError as error:
            columns = unique_violation(error, _table(table))
            for column, meaning in (unique or {}).items():
                if column in columns:
                    raise meaning from error
            if missing is not None and is_foreign_key_violation(error):
                raise missing from error
            raise


def integer_key(text: str) -> int:
    """Read an integer key out of a cursor."""
    number = int(text)
    if not 0 <= number <= MAX_INTEGER:
        raise ValueError(BAD_CURSOR)
    return number


def _table(model: type[Any]) -> Table:
    table: Table = inspect(model).local_table
    return table


def _encode(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _decode(cursor: str, parse: Callable[[str], Any]) -> Any:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        return parse(text)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("after", BAD_CURSOR, where="query") from error
