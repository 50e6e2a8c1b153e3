"""Rebuild a SQLite table in its author's words: what a reflection would forget (CHECKs, collations, …) stays."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from fastapi_users_sqlmodel.migrations._adopt_changes import Changes

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*')
    |(?P<word>[^\W\d][\w$]*)
    |(?P<other>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_AFTER_THE_TYPE = {
    *("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK"),
    *("DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"),
}
_TABLE_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}


class _Token(NamedTuple):
    kind: str | None
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """The word in capitals; nothing that stands in quotes is a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        if self.kind != "name":
            return self.text.casefold()
        quote = "]" if self.text[0] == "[" else self.text[0]
        return self.text[1:-1].replace(quote * 2, quote).casefold()


def _tokens(sql: str) -> list[_Token]:
    found = (_Token(match.lastgroup, match[0], match.start(), match.end()) for match in _TOKEN.finditer(sql))
    return [token for token in found if token.kind != "blank"]


class TableWords:
    """A CREATE TABLE as it was written, taken apart at the commas between its columns and constraints."""

    def __init__(self, sql: str) -> None:
        depth, start = 0, 0
        self._parts: list[str] = []
        self._tail = ""
        for token in _tokens(sql):
            depth += (token.text == "(") - (token.text == ")")
            if token.text == "(" and depth == 1:
                start = token.end
            elif (token.text == "," and depth == 1) or (token.text == ")" and depth == 0):
                self._parts.append(sql[start : token.start])
                start = token.end
                if depth == 0:
                    # STRICT or WITHOUT ROWID.
                    self._tail = sql[token.end :]
                    break

    def create(self, quoted_name: str) -> str:
        """Put it together again, under another name."""
        return f"CREATE TABLE {quoted_name} ({','.join(self._parts)}){self._tail}"

    def change_column(self, column: str, *, type_: str | None = None, more: str = "") -> None:
        """Give a column another type, or more constraints."""
        position, tokens = self._find(column)
        part = self._parts[position]
        depth, start, end = 0, None, tokens[0].end
        for token in tokens[1:]:
            if depth == 0 and token.keyword in _AFTER_THE_TYPE:
                break
            depth += (token.text == "(") - (token.text == ")")
            start, end = token.start if start is None else start, token.end
        was = "" if start is None else part[start:end]
        words = " ".join(filter(None, (was if type_ is None else type_, more)))
        self._parts[position] = f"{part[: tokens[0].end]} {words}{part[end:]}"

    def add_column(self, definition: str) -> None:
        """Add a column behind the last one."""
        count = sum(_tokens(part)[0].keyword not in _TABLE_CONSTRAINTS for part in self._parts)
        self._parts.insert(count, f"\n\t{definition}")

    def add_constraint(self, definition: str) -> None:
        """Add a constraint of the table."""
        self._parts.append(f"\n\t{definition}\n")

    def drop_unique(self, column: str) -> None:
        """Drop UNIQUE from the one column, whether its definition said so or a constraint of the table."""
        self._parts = [part for part in self._parts if not _is_unique_over(part, column)]
        position, tokens = self._find(column)
        words = [token.keyword for token in tokens]
        if "UNIQUE" in words:
            first = last = words.index("UNIQUE")
            if words[first - 2] == "CONSTRAINT":
                first -= 2
            if words[last + 1 : last + 3] == ["ON", "CONFLICT"]:
                last += 3
            part = self._parts[position]
            self._parts[position] = part[: tokens[first].start].rstrip() + part[tokens[last].end :]

    def _find(self, column: str) -> tuple[int, list[_Token]]:
        for position, part in enumerate(self._parts):
            tokens = _tokens(part)
            if tokens[0].keyword not in _TABLE_CONSTRAINTS and tokens[0].name == column.casefold():
                return position, tokens
        raise KeyError(column)


def _is_unique_over(part: str, column: str) -> bool:
    tokens = _tokens(part)
    if tokens[0].keyword == "CONSTRAINT":
        tokens = tokens[2:]
    is_unique = [token.keyword for token in tokens[:1]] == ["UNIQUE"]
    return is_unique and [token.name for token in tokens[1:4]] == ["(", column.casefold(), ")"]


class _CreateTableInWords(CreateTable):
    """Has what is new as SQLAlchemy's objects, for autogenerate to remember, and all of it in the author's words."""

    inherit_cache = False

    def __init__(self, table: sa.Table, sql: str) -> None:
        super().__init__(table)
        self.sql = sql


@compiles(_CreateTableInWords)
def _compile(element: _CreateTableInWords, _compiler: object, **_: object) -> str:
    return element.sql


def rebuild(operations: Operations, changes: Changes) -> None:
    """Make the table again with all of its rows, indexes and triggers; indexes are not changed yet.

    Nothing of it is an UPDATE, so that no trigger takes note of it.

    Raises:
        CommandError: Foreign keys are switched on, so that dropping the old table would delete rows of others; or the
            words of the table could not be understood.
    """
    connection = operations.get_bind()
    if connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one():
        raise CommandError(
            f"The table {changes.table!r} has to be rebuilt, and with foreign keys switched on SQLite would delete "
            "the rows that refer to it: switch them off before the transaction begins, as run_migrations() does."
        )
    quote = connection.dialect.identifier_preparer.quote
    name = f"_rebuilt_{changes.table}"
    found = connection.exec_driver_sql(
        "SELECT type, sql FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND sql > '' ORDER BY rowid",
        (changes.table,),
    ).all()
    before = _columns(connection, changes.table)
    words = _words(operations, changes, next(row.sql for row in found if row.type == "table"))
    connection.execute(_CreateTableInWords(_changed_columns(connection, changes, name), words.create(quote(name))))
    _compare(connection, changes, before, name)
    # A generated column, which is hidden, is generated again.
    names = [*(column for column, (*_, hidden) in before.items() if not hidden), *changes.added]
    values = (changes.values.get(column, quote(column)) for column in names)
    connection.exec_driver_sql(
        f"INSERT INTO {quote(name)} ({', '.join(map(quote, names))}) SELECT {', '.join(values)} "  # noqa: S608  # quoted
        f"FROM {quote(changes.table)}"
    )
    sequence = _sequence(connection, changes.table)
    operations.drop_table(changes.table)
    with _views_not_looked_at(connection):
        operations.rename_table(name, changes.table)
    for row in found:
        if row.type != "table":
            connection.exec_driver_sql(row.sql)
    if sequence is not None:
        # AUTOINCREMENT promises that the id of a deleted row is never given again.
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (changes.table,))
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (changes.table, sequence))


def _words(operations: Operations, changes: Changes, sql: str) -> TableWords:
    dialect = operations.get_bind().dialect
    words = TableWords(sql)
    for column in changes.not_unique:
        words.drop_unique(column)
    for column in sorted({*changes.types, *changes.defaults, *changes.not_null}):
        type_, default = changes.types.get(column), changes.defaults.get(column)
        more = [f"DEFAULT {_default_sql(dialect, default)}"] if default is not None else []
        more += ["NOT NULL"] if column in changes.not_null else []
        words.change_column(
            column, type_=None if type_ is None else type_.compile(dialect=dialect), more=" ".join(more)
        )
    for column, type_ in changes.added.items():
        quoted = dialect.identifier_preparer.quote(column)
        words.add_column(f"{quoted} {type_.compile(dialect=dialect)} NOT NULL")
    for columns in changes.unique:
        constraint = sa.UniqueConstraint(*columns)
        # It gets its name from the project's convention, if there is one.
        metadata = operations.schema_obj.metadata()
        sa.Table(changes.table, metadata, *(sa.Column(column, sa.Text) for column in columns), constraint)
        words.add_constraint(_compiler(dialect).process(constraint))
    return words


def _compiler(dialect: sa.Dialect) -> Any:
    # A default or a constraint is no statement of its own; Alembic compiles one in the same way.
    return dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]


def _default_sql(dialect: sa.Dialect, default: sa.ColumnElement[Any]) -> str:
    sql: str = _compiler(dialect).get_column_default_string(sa.Column("_", sa.Text, server_default=default))
    return sql


def _changed_columns(connection: sa.Connection, changes: Changes, name: str) -> sa.Table:
    reflected = {column["name"]: column["type"] for column in sa.inspect(connection).get_columns(changes.table)}
    columns = [
        sa.Column(column, changes.types.get(column, reflected[column]), server_default=changes.defaults.get(column))
        for column in sorted({*changes.types, *changes.defaults})
    ]
    added = [sa.Column(column, type_, nullable=False) for column, type_ in changes.added.items()]
    return sa.Table(name, sa.MetaData(), *columns, *added)


def _columns(connection: sa.Connection, table: str) -> dict[str, tuple[Any, ...]]:
    query = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
    return {name: tuple(rest) for name, *rest in connection.exec_driver_sql(query, (table,))}


def _compare(connection: sa.Connection, changes: Changes, before: dict[str, tuple[Any, ...]], name: str) -> None:
    """Compare what SQLite has understood with what was meant."""
    dialect = connection.dialect
    wanted = dict(before)
    for column, (type_, not_null, default, key, hidden) in before.items():
        if column in changes.types:
            type_ = changes.types[column].compile(dialect=dialect)  # noqa: PLW2901  # the rest stays
        if column in changes.defaults:
            default = _default_sql(dialect, changes.defaults[column])  # noqa: PLW2901
        wanted[column] = (type_, int(not_null or column in changes.not_null), default, key, hidden)
    wanted |= {column: (type_.compile(dialect=dialect), 1, None, 0, 0) for column, type_ in changes.added.items()}
    keys = [
        connection.exec_driver_sql("SELECT * FROM pragma_foreign_key_list(?)", (table,)).all()
        for table in (changes.table, name)
    ]
    if _columns(connection, name) != wanted or keys[0] != keys[1]:
        raise CommandError(f"The table {changes.table!r} cannot be rebuilt: its CREATE TABLE was not understood.")


def _sequence(connection: sa.Connection, table: str) -> int | None:
    is_there = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
    if connection.exec_driver_sql(is_there).first() is None:
        return None
    found: int | None = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).scalar()
    return found


@contextmanager
def _views_not_looked_at(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite rename a table while views and the triggers of other tables speak of a table that is not there."""
    before = connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar_one()
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {before}")
