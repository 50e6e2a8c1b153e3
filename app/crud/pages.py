"""Lists that are read in pages, and the columns that their rows have."""

import base64
import binascii
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
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

from app.core.errors import FieldsNotAllowed
from app.models.base import MAX_INTEGER
from app.schemas.base import Schema

BAD_CURSOR = "not a cursor of this list"
MAX_BIG_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that a client asks for: `limit` rows, after a cursor or after `skip` rows."""

    limit: int = 50
    skip: int = 0
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list as dictionaries by column name, and the cursor of the next page; None on the last page."""

    rows: list[dict[str, Any]]
    next: str | None


class Listing:
    """A list that is read in pages. Its statements are built once, because building one costs as much as running it.

    Args:
        shape: The schema whose fields a row has.
        statement: Selects the columns of the schema, in their order; values that differ between readers are bind
            parameters.
        key: The unique column that orders the list: an integer or a UUID.
        newest_first: Whether the order is descending.
    """

    def __init__(
        self, shape: type[Schema], statement: Select[Any], *, key: Column[Any], newest_first: bool = False
    ) -> None:
        self._names, self._key, self._parse = tuple(shape.model_fields), key.key, _parser(key)
        self._statement = statement.order_by(key.desc() if newest_first else key).limit(bindparam("rows"))
        self._rest = key < bindparam("after") if newest_first else key > bindparam("after")

    def within(self, page: Select[Any]) -> Select[Any]:
        """Return the statement that reads a page; a subclass may wrap it."""
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
        """Return the statement that reads one row more than the page, and its values."""
        rows = {"rows": page.limit + 1}
        if page.after is not None:
            return self._following, {**rows, "after": _decode(page.after, self._parse)}
        return (self._skipping, {**rows, "skip": page.skip}) if page.skip else (self._first, rows)

    def answer(self, found: Sequence[Sequence[Any]], page: Page) -> Rows:
        """Return the page; the additional row shows that another page follows."""
        rows = [dict(zip(self._names, row, strict=True)) for row in found[: page.limit]]
        return Rows(rows, _encode(rows[-1][self._key]) if len(found) > page.limit else None)


def table_of(model: type[Any]) -> Table:
    """Return the table of a mapped class, for statements without the unit of work."""
    table: Table = inspect(model).local_table
    return table


class _UuidAsText(TypeDecorator[str]):
    """A UUID as text, as JSON has it (RFC 9562, section 4)."""

    impl = Uuid(as_uuid=False)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], str | None] | None:
        """Insert dashes into SQLite's 32 digits; making a `uuid.UUID` of them takes ten times as long."""
        if dialect.supports_native_uuid:
            return super().result_processor(dialect, coltype)
        return lambda digits: digits and f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_UUID_AS_TEXT = _UuidAsText()


def columns(model: type[Any], shape: type[Schema]) -> list[ColumnElement[Any]]:
    """Return the columns that a schema has as fields, in its order; UUIDs as text."""
    shown = [table_of(model).c[name] for name in shape.model_fields]
    return [type_coerce(one, _UUID_AS_TEXT).label(one.name) if isinstance(one.type, Uuid) else one for one in shown]


def _parser(key: Column[Any]) -> Callable[[str], Any]:
    """Return the function that makes a key of a cursor's text; it raises ValueError for text that is no key."""
    if isinstance(key.type, Uuid):
        return uuid.UUID
    greatest = MAX_BIG_INTEGER if isinstance(key.type, BigInteger) else MAX_INTEGER

    def parse(text: str) -> int:
        number = int(text)
        if not 0 <= number <= greatest:
            raise ValueError(BAD_CURSOR)
        return number

    return parse


def _encode(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _decode(cursor: str, parse: Callable[[str], Any]) -> Any:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        return parse(text)
    except (binascii.Error, ValueError) as error:
        raise FieldsNotAllowed(["after"], BAD_CURSOR, where="query") from error
