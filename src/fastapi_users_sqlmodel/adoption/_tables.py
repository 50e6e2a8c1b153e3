"""A table of FastAPI Users' adapter as the database has it: its columns, constraints and indexes."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from fastapi_users_sqlmodel.migrations._types import is_same_type


class FoundTable:
    """A table of the adapter, reflected."""

    def __init__(self, connection: sa.Connection, name: str) -> None:
        inspector = sa.inspect(connection)
        self.name = name
        self._dialect = connection.dialect
        self.columns = {each["name"]: each for each in inspector.get_columns(name)}
        # For queries: the same object everywhere, so that SQLAlchemy correlates subqueries with it.
        self.table = sa.table(name, *(sa.column(each, column["type"]) for each, column in self.columns.items()))
        # The columns of each UNIQUE constraint, with its name if it has one.
        self.unique = {tuple(each["column_names"]): each["name"] for each in inspector.get_unique_constraints(name)}
        # An index on an expression or on some of the rows belongs to the app, not to the adapter or the library.
        self._indexes = [
            (str(each["name"]), tuple(filter(None, each["column_names"])), bool(each["unique"]))
            for each in inspector.get_indexes(name)
            if None not in each["column_names"]
            and "duplicates_constraint" not in each
            and not any(option.endswith("_where") for option in each.get("dialect_options", {}))
        ]
        self._key = tuple(inspector.get_pk_constraint(name)["constrained_columns"])

    def is_other_type(self, column: str, wanted: TypeEngine[Any]) -> bool:
        """Return whether a column has another type than this one."""
        return not is_same_type(self.columns[column]["type"], wanted, self._dialect)

    def indexes_on(self, column: str, *, unique: bool) -> list[str]:
        """Return the names of the indexes on exactly this column."""
        return [name for name, columns, is_unique in self._indexes if columns == (column,) and is_unique == unique]

    def is_indexed(self, column: str) -> bool:
        """Return whether an index, a UNIQUE constraint or the primary key begins with this column."""
        found = [*(columns for _, columns, _ in self._indexes), *self.unique, self._key]
        return any(columns[:1] == (column,) for columns in found)
