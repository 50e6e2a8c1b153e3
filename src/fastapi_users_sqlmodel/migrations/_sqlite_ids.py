"""Ids that FastAPI Users' adapter wrote to SQLite as 36 characters, and every column that refers to one."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

# What the adapter's GUID and SQLAlchemy's Uuid are called there.
GUID, UUID = "CHAR(36)", "CHAR(32)"


class ColumnOf(NamedTuple):
    """A column and its table."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


class _Key(NamedTuple):
    """One column of a foreign key."""

    child: ColumnOf
    parent: ColumnOf
    number: int


class Ids:
    """The columns that hold UUIDs: some that are known, whatever refers to them, and what they refer to."""

    def __init__(self, connection: sa.Connection, known: Iterable[ColumnOf], named: Iterable[ColumnOf]) -> None:
        self._connection = connection
        self._types = _types(connection)
        self._keys = list(_foreign_keys(connection, self._types))
        self.missing = sorted(each for each in map(self._actual, named) if each not in self._types)
        found = {each for each in map(self._actual, named) if each in self._types}
        found |= {each for each in map(self._actual, known) if self._is_id(each)}
        self.columns = sorted(self._connected(found))

    def _actual(self, given: ColumnOf) -> ColumnOf:
        # To SQLite, names that differ in case are the same.
        return next((each for each in self._types if _same(each) == _same(given)), given)

    def _is_id(self, column: ColumnOf) -> bool:
        type_ = self._types.get(column)
        # A migration that said sa.Uuid made the column, and the adapter filled it, which SQLite does not mind.
        return type_ == GUID or (type_ == UUID and bool(self._scalar(column, f"length({_q(column.column)}) = 36")))

    def _connected(self, found: set[ColumnOf]) -> set[ColumnOf]:
        while True:
            more = {key.child for key in self._keys if key.parent in found}
            more |= {key.parent for key in self._keys if key.child in found and key.parent in self._types}
            if more <= found:
                return found
            found |= more

    def _scalar(self, column: ColumnOf, condition: str) -> int:
        query = f"SELECT EXISTS (SELECT 1 FROM {_q(column.table)} WHERE {condition})"  # noqa: S608  # quoted
        found: int = self._connection.exec_driver_sql(query).scalar_one()
        return found

    def retyped(self) -> set[ColumnOf]:
        """Say which columns are declared as something else than a UUID."""
        return {each for each in self.columns if self._types[each] != UUID}

    def rewritten(self) -> set[ColumnOf]:
        """Say which columns hold UUIDs in another spelling than SQLAlchemy's."""
        return {each for each in self.columns if self._scalar(each, f"{_q(each.column)} <> {as_hex(each.column)}")}

    def left(self) -> list[ColumnOf]:
        """Say which other columns look as if the adapter had written ids there as well."""
        others = [each for each, type_ in self._types.items() if type_ == GUID and each not in self.columns]
        return sorted(each for each in others if self._scalar(each, f"{_q(each.column)} GLOB '????????-*-*-*-*'"))

    def problems(self) -> Iterator[str]:
        """Report what is no UUID, what would become the same UUID, and what refers to nothing."""
        for column in self.missing:
            yield f"There is no column {column}, which uuid_columns names."
        for column in self.columns:
            table, name, key = _q(column.table), _q(column.column), as_hex(column.column)
            query = f"SELECT {name}, count(*) FROM {table} WHERE {_is_no_uuid(column.column)} GROUP BY 1 ORDER BY 1"  # noqa: S608  # quoted
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
        # FastAPI Users' documentation does not switch foreign keys on: the tokens of a deleted user are still there.
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


def as_hex(column: str) -> str:
    """Spell the UUID in a column as SQLAlchemy does."""
    return f"lower(replace({_q(column)}, '-', ''))"


def _is_no_uuid(column: str) -> str:
    digits = f"replace({_q(column)}, '-', '')"
    return (
        f"{_q(column)} IS NOT NULL AND (typeof({_q(column)}) <> 'text' "
        f"OR length({digits}) <> 32 OR {digits} GLOB '*[^0-9a-fA-F]*')"
    )


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _same(column: ColumnOf) -> tuple[str, str]:
    return column.table.casefold(), column.column.casefold()


def _types(connection: sa.Connection) -> dict[ColumnOf, str]:
    query = (
        "SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
        "WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL %'"
    )
    return {
        ColumnOf(table, column): type_.upper().replace(" ", "")
        for table, column, type_ in connection.exec_driver_sql(query)
    }


def _foreign_keys(connection: sa.Connection, types: dict[ColumnOf, str]) -> Iterator[_Key]:
    # A foreign key that names no column means the primary key.
    query = (
        'SELECT m.name, f."from", f."table", '
        'coalesce(f."to", (SELECT name FROM pragma_table_info(f."table") WHERE pk = f.seq + 1)), f.id '
        "FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table'"
    )
    actual = {_same(each): each for each in types}
    for table, column, parent_table, parent_column, number in connection.exec_driver_sql(query):
        child, parent = ColumnOf(table, column), ColumnOf(parent_table, str(parent_column))
        yield _Key(actual.get(_same(child), child), actual.get(_same(parent), parent), number)
