"""What every collection shares: reading pages, and the verbs get, lock, create, update and delete."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Insert, Select, bindparam, false, insert, select, true
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.errors import APIError, Forbidden, NotFound, Unauthorized
from app.crud.pages import Listing, Page, Rows, columns, table_of
from app.models import TableModel, User
from app.models.base import MAX_INTEGER
from app.schemas.base import Schema
from fastapi_users_sqlmodel import is_foreign_key_violation, unique_violation
from fastapi_users_sqlmodel._statements import fetch

# A condition with bind parameters, and their values. The condition is made once: statements are cached by it.
type Rule = tuple[ColumnElement[bool], dict[str, Any]]

EVERYTHING: Rule = (true(), {})
NOTHING: Rule = (false(), {})


class Collection:
    """Rows that are read or written on one session."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def find_one(self, statement: Select[Any]) -> Any:
        """Return the only entity that a statement finds, or None."""
        return await self.session.run_sync(lambda session: session.scalar(statement))

    async def read_page(self, listing: Listing, page: Page, **values: Any) -> Rows:
        """Read one page of a list."""
        statement, of_the_page = listing.question(page)
        return listing.answer(await fetch(self.session, statement, {**of_the_page, **values}), page)


class EditableCollection[T: TableModel](Collection):
    """The rows of one table with an integer key. A subclass says who may see a row and who may change it."""

    model: type[T]
    shape: ClassVar[type[Schema]]
    newest_first: ClassVar[bool] = False
    # The column with the id of the user whose row it is, if rows belong to users.
    owner: ClassVar[str | None] = None
    not_found: ClassVar[type[NotFound]]
    # By column: the error for a value that another row has.
    taken: ClassVar[dict[str, type[APIError]]] = {}
    # The error for a foreign key whose row is gone: by default the user, who was deleted during the request.
    missing: ClassVar[type[APIError]] = Unauthorized

    @property
    def _kind(self) -> Any:
        # mypy takes the metaclass's __hash__ for none, so a class is no key of a cache for it.
        return type(self)

    def own(self, user: User) -> Rule:
        """Return the rule for a user's own rows; for all rows if the user is a superuser."""
        return EVERYTHING if user.is_superuser else (_owned(self._kind), {"owner_id": user.id})

    def visible(self, viewer: User | None) -> Rule:  # noqa: ARG002  # Subclasses look at both
        """Return the rule for the rows that a viewer may see; by default all of them."""
        return EVERYTHING

    def changeable(self, by: User) -> Rule:
        """Return the rule for the rows that a user may change; by default those that the user may see."""
        return self.visible(by)

    async def list(self, page: Page, *, seen_by: User | None = None) -> Rows:
        """Read a page of the rows that a viewer may see."""
        rule, values = self.visible(seen_by)
        return await self.read_page(_listing(self._kind, rule), page, **values)

    async def get(self, row_id: int, *, seen_by: User | None = None) -> dict[str, Any]:
        """Read the columns of a row.

        Raises:
            NotFound: There is no such row, or the viewer may not see it; the error is `not_found`.
        """
        rule, values = self.visible(seen_by)
        found = await fetch(self.session, _one(self._kind, rule), {"id": row_id, **values}) if fits(row_id) else ()
        if not found:
            raise self.not_found(row_id)
        return dict(zip(self.shape.model_fields, found[0], strict=True))

    async def lock(self, row_id: int, *, by: User) -> T:
        """Read a row and lock it until the transaction ends. A row that the user may not change is not locked.

        Raises:
            NotFound: There is no such row, or the user may not see it; the error is `not_found`.
            Forbidden: The user may see the row, and not change it.
        """
        rule, values = self.changeable(by)
        key = table_of(self.model).c.id
        # A copy in the session may be older than the lock.
        statement = select(self.model).where(key == row_id, rule).with_for_update()
        statement = statement.execution_options(populate_existing=True)
        is_asked = fits(row_id) and rule is not NOTHING[0]
        row = await self.session.scalar(statement, values) if is_asked else None
        if row is None and rule is self.visible(by)[0]:
            raise self.not_found(row_id)
        if row is None:
            await self.get(row_id, seen_by=by)
            raise Forbidden(by.id, row_id)
        return row

    async def create(self, values: dict[str, Any], *, by: User) -> dict[str, Any]:
        """Insert a row, which belongs to the user if rows have an owner, and return its columns.

        Raises:
            APIError: A constraint refuses the row: one of `taken`, or `missing`.
        """
        row = self.model(**values, **({self.owner: by.id} if self.owner is not None else {}))
        written = {name: getattr(row, name) for name in _written(self.model)}
        async with self._refused():
            [columns] = await fetch(self.session, _insert(self._kind), written)
        return dict(zip(self.shape.model_fields, columns, strict=True))

    async def update(self, row_id: int, changes: dict[str, Any], *, by: User) -> T:
        """Change a row.

        Raises:
            NotFound: As `lock` does.
            Forbidden: As `lock` does.
            APIError: A constraint refuses the change: one of `taken`, or `missing`.
        """
        row = await self.lock(row_id, by=by)
        async with self._refused():
            row.sqlmodel_update(changes)
            await self.session.flush()
        return row

    async def delete(self, row_id: int, *, by: User) -> None:
        """Delete a row.

        Raises:
            NotFound: As `lock` does.
            Forbidden: As `lock` does.
        """
        await self.session.delete(await self.lock(row_id, by=by))
        await self.session.flush()

    @asynccontextmanager
    async def _refused(self) -> AsyncIterator[None]:
        """Raise the collection's own error for a constraint that refuses a row."""
        try:
            yield
        except IntegrityError as error:
            for column in unique_violation(error, table_of(self.model)) & self.taken.keys():
                raise self.taken[column] from error
            if is_foreign_key_violation(error):
                raise self.missing from error
            raise


@cache
def _listing(collection: type[EditableCollection[Any]], rule: ColumnElement[bool]) -> Listing:
    """Return the list of the rows for which a condition holds."""
    statement = select(*columns(collection.model, collection.shape)).where(rule)
    key = table_of(collection.model).c.id
    return Listing(collection.shape, statement, key=key, newest_first=collection.newest_first)


@cache
def _owned(collection: type[EditableCollection[Any]]) -> ColumnElement[bool]:
    assert collection.owner is not None  # noqa: S101  # `own` is for rows that belong to users
    return table_of(collection.model).c[collection.owner] == bindparam("owner_id")


@cache
def _one(collection: type[EditableCollection[Any]], rule: ColumnElement[bool]) -> Select[Any]:
    key = table_of(collection.model).c.id
    return select(*columns(collection.model, collection.shape)).where(key == bindparam("id"), rule)


@cache
def _insert(collection: type[EditableCollection[Any]]) -> Insert:
    # Without the unit of work, which has no order to find for one row.
    returned = columns(collection.model, collection.shape)
    return insert(table_of(collection.model)).returning(*returned)


@cache
def _written(model: type[TableModel]) -> tuple[str, ...]:
    return tuple(column.key for column in table_of(model).columns if not column.primary_key)


def fits(row_id: int) -> bool:
    """Tell whether the column can hold an id; a database raises an error for a greater number."""
    return row_id <= MAX_INTEGER
