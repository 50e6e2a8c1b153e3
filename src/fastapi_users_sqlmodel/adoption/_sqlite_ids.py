"""Ids that FastAPI Users' adapter wrote to SQLite as 36 characters, and every column that refers to one."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

# The types of the adapter's GUID and of SQLAlchemy's Uuid on SQLite.
GUID, UUID = "CHAR(36)", "CHAR(32)"


class ColumnOf(NamedTuple):
    """A column and its table."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


class _Key(NamedTuple):
    """One column of a foreign key; `number` tells the foreign keys of a table apart."""

    child: ColumnOf
    parent: ColumnOf
    number: int


class Ids:
    """The columns that hold UUIDs: known ones, the columns that refer to them, and the columns they refer to."""

    def __init__(self, connection: sa.Connection, known: Iterable[ColumnOf], named: Iterable[ColumnOf]) -> None:
        self._connection = connection
        query = (
            "SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
            "WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL %'"
        )
        rows = connection.exec_driver_sql(query).all()
        self._types = {ColumnOf(*names): type_.upper().replace(" ", "") for *names, type_ in rows}
        self._spellings = {(each.table.casefold(), each.column.casefold()): each for each in self._types}
        self._keys = list(self._foreign_keys())
        given = {self._actual(each) for each in named}
        self._missing = sorted(given - self._types.keys())
        found = given & self._types.keys()
        found |= {each for each in map(self._actual, known) if self._is_id(each)}
        self.columns = sorted(self._connected(found))

    def _foreign_keys(self) -> Iterator[_Key]:
        # A foreign key that names no column means the primary key.
        query = (
            'SELECT m.name, f."from", f."table", '
            'coalesce(f."to", (SELECT name FROM pragma_table_info(f."table") WHERE pk = f.seq + 1)), f.id '
            "FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table'"
        )
        for table, column, parent, parent_column, number in self._connection.exec_driver_sql(query):
            child = self._actual(ColumnOf(table, column))
            yield _Key(child, self._actual(ColumnOf(parent, str(parent_column))), number)

    def _actual(self, given: ColumnOf) -> ColumnOf:
        # SQLite's names are case-insensitive.
        return self._spellings.get((given.table.casefold(), given.column.casefold()), given)

    def _is_id(self, column: ColumnOf) -> bool:
        type_ = self._types.get(column)
        # A migration with sa.Uuid may have created a column that the adapter wrote: SQLite does not enforce the length.
        return type_ == GUID or (type_ == UUID and self._has(column, f"length({_q(column.column)}) = 36"))

    def _connected(self, found: set[ColumnOf]) -> set[ColumnOf]:
        while True:
            more = {key.child for key in self._keys if key.parent in found}
            more |= {key.parent for key in self._keys if key.child in found and key.parent in self._types}
            if more <= found:
                return found
            found |= more

    def _has(self, column: ColumnOf, condition: str) -> bool:
        query = f"SELECT EXISTS (SELECT 1 FROM {_q(column.table)} WHERE {condition})"  # noqa: S608  # quoted
        return bool(self._connection.exec_driver_sql(query).scalar_one())

    def changing(self) -> Iterator[ColumnOf]:
        """Yield the columns that are not declared as a UUID, or hold one in another spelling than SQLAlchemy's."""
        for each in self.columns:
            if self._types[each] != UUID or self._has(each, f"{_q(each.column)} <> {_hex(each.column)}"):
                yield each

    def left(self) -> list[ColumnOf]:
        """Return further columns that look as if the adapter had written ids there as well."""
        others = [each for each, type_ in self._types.items() if type_ == GUID and each not in self.columns]
        return sorted(each for each in others if self._has(each, f"{_q(each.column)} GLOB '????????-*-*-*-*'"))

    def problems(self) -> Iterator[str]:
        """Report values that are no UUID, values that would become the same UUID, and rows that refer to nothing."""
        for column in self._missing:
            yield f"There is no column {column}, which uuid_columns names."
        for column in self.columns:
            table, name, key = _q(column.table), _q(column.column), _hex(column.column)
            is_no_uuid = (
                f"{name} IS NOT NULL AND (typeof({name}) <> 'text' OR length({key}) <> 32 OR {key} GLOB '*[^0-9a-f]*')"
            )
            query = f"SELECT {name}, count(*) FROM {table} WHERE {is_no_uuid} GROUP BY 1 ORDER BY 1"  # noqa: S608  # quoted
            for value, count in self._connection.exec_driver_sql(query):
                yield f"{column} is {value!r} in {count} row(s), which is no UUID."
            if not self._is_unique(column):
                continue
            query = (
                f"SELECT {key}, {name} FROM {table} WHERE {key} IN "  # noqa: S608  # quoted
                f"(SELECT {key} FROM {table} GROUP BY 1 HAVING count(*) > 1) ORDER BY 1, 2"
            )
            for value, given in self._connection.exec_driver_sql(query):
                yield f"{column} is {given!r}, and another row of {column.table} has the same UUID {value} as well."
        yield from self._orphans()

    def _is_unique(self, column: ColumnOf) -> bool:
        indexes = (
            'SELECT 1 FROM pragma_index_list(?) AS i WHERE i."unique" '
            "AND (SELECT group_concat(name) FROM pragma_index_info(i.name)) = ?"
        )
        return self._connection.exec_driver_sql(indexes, tuple(column)).first() is not None

    def _orphans(self) -> Iterator[str]:
        # FastAPI Users' documentation does not switch foreign keys on, so the tokens of deleted users are still there.
        query = 'SELECT "table", parent, fkid, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2, 3 ORDER BY 1, 2, 3'
        for table, parent, number, count in self._connection.exec_driver_sql(query):
            keys = [key for key in self._keys if key.child.table == table and key.number == number]
            columns = ", ".join(key.child.column for key in keys)
            help_ = ""
            if len(keys) == 1 and keys[0].parent in self._types:
                child, other = _q(keys[0].child.column), _q(keys[0].parent.column)
                rows = f"FROM {_q(table)} WHERE {child} NOT IN (SELECT {other} FROM {_q(keys[0].parent.table)})"  # noqa: S608  # shown
                help_ = f" Look: SELECT * {rows}. If they may go: DELETE {rows}."
            yield f"{count} row(s) of {table} refer to nothing: {parent} has no row for their {columns}.{help_}"


def _hex(column: str) -> str:
    # The spelling in which SQLAlchemy stores a UUID.
    return f"lower(replace({_q(column)}, '-', ''))"


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
