"""What every collection does alike: read a page, lock a row, insert where a constraint may refuse."""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Dialect,
    Select,
    Table,
    TypeDecorator,
    Uuid,
    bindparam,
    inspect,
    type_coerce,
)
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.errors import AppError, InvalidField
from app.models.base import MAX_INTEGER
from app.schemas.base import Schema
from fastapi_users_sqlmodel import is_foreign_key_violation, unique_violation
from fastapi_users_sqlmodel.reading import fetch

BAD_CURSOR = "not a cursor of this list"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for: so many rows, after a cursor or after skipping some."""

    limit: int = 50
    skip: int = 0
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A part of a list, as named columns, and the cursor that leads to the next part; None on the last."""

    rows: list[dict[str, Any]]
    next: str | None


class Listing:
    """A list that is read in pages; what can be made before anybody asks is made once.

    SQLAlchemy knows such a statement again at a glance; to make one anew costs as much as to run it.

    Args:
        shape: What a row is to be.
        statement: Reads the shape's columns, in their order; what differs from one reader to the next is a `bindparam`.
        key: The unique column that orders the list.
        parse: Makes a key of a cursor's text; raises ValueError when it is none.
        newest_first: Whether the order is descending.
    """

    def __init__(
        self,
        shape: type[Schema],
        statement: Select[Any],
        *,
        key: Column[Any],
        parse: Callable[[str], Any],
        newest_first: bool = False,
    ) -> None:
        self._names, self._key, self._parse = tuple(shape.model_fields), key.key, parse
        self._statement = statement.order_by(key.desc() if newest_first else key).limit(bindparam("rows"))
        self._rest = key < bindparam("after") if newest_first else key > bindparam("after")

    def within(self, page: Select[Any]) -> Select[Any]:
        """Return the statement that reads a page by this one."""
        return page

    @cached_property
    def _first(self) -> Select[Any]:
        return self.within(self._statement)

    @cached_property
    def _skipping(self) -> Select[Any]:
        return self.within(self._statement.offset(bindparam("skip")))

    @cached_property
    def _following(self) -> Select[Any]:
        return self.within(self._statement.where(self._rest))

    def question(self, page: Page) -> tuple[Select[Any], dict[str, Any]]:
        """Return the statement that reads a page and one row more, and its values."""
        rows = {"rows": page.limit + 1}
        if page.after is not None:
            return self._following, {**rows, "after": _decode(page.after, self._parse)}
        return (self._skipping, {**rows, "skip": page.skip}) if page.skip else (self._first, rows)

    def answer(self, found: Sequence[Sequence[Any]], page: Page) -> Rows:
        """Return the page; the row more tells that another page follows."""
        rows = [dict(zip(self._names, row, strict=True)) for row in found[: page.limit]]
        return Rows(rows, _encode(rows[-1][self._key]) if len(found) > page.limit else None)


class Collection:
    """The rows of one noun, on one session."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def find_one(self, statement: Select[Any]) -> Any:
        """Read the entity that there is one of, or none; in a session at once, its connection is given back."""
        return await self.session.run_sync(lambda session: session.scalar(statement))

    async def read_page(self, listing: Listing, page: Page, **values: Any) -> Rows:
        """Read one page of a list."""
        statement, of_the_page = listing.question(page)
        return listing.answer(await fetch(self.session, statement, {**of_the_page, **values}), page)

    @asynccontextmanager
    async def refused_as(
        self,
        *,
        unique: dict[str, type[AppError]] | None = None,
        missing: type[AppError] | None = None,
        table: type[Any],
    ) -> AsyncIterator[None]:
        """Flush what is changed inside, and say a constraint's refusal in the domain's own words; it ends the request.

        Args:
            unique: For a column, what it means that its value is taken.
            missing: What it means that a row which is pointed to is not there (any more).
            table: The class whose row is written.
        """
        try:
            yield
            if self.session.new or self.session.dirty or self.session.deleted:
                await self.session.flush()
        except IntegrityError as error:
            columns = unique_violation(error, table_of(table))
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


def table_of(model: type[Any]) -> Table:
    """Return the table of a mapped class, for statements without its unit of work."""
    table: Table = inspect(model).local_table
    return table


class _UuidAsText(TypeDecorator[str]):
    """A UUID as text, as it is on the wire (RFC 9562, section 4)."""

    impl = Uuid(as_uuid=False)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], str | None] | None:
        """Put the dashes between the digits that SQLite keeps; by way of `uuid.UUID` it takes ten times as long."""
        if dialect.supports_native_uuid:
            return super().result_processor(dialect, coltype)
        return lambda digits: digits and f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_UUID_AS_TEXT = _UuidAsText()


def columns(model: type[Any], shape: type[Schema]) -> list[ColumnElement[Any]]:
    """Return the columns that a shape shows, in its order; UUIDs as the text that they are on the wire."""
    shown = [table_of(model).c[name] for name in shape.model_fields]
    return [type_coerce(one, _UUID_AS_TEXT).label(one.name) if isinstance(one.type, Uuid) else one for one in shown]


def _encode(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _decode(cursor: str, parse: Callable[[str], Any]) -> Any:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        return parse(text)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("after", BAD_CURSOR, where="query") from error
