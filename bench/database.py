"""Make databases, and fill them in bulk."""

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

import psycopg
from psycopg import sql
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import make_url

from bench.environment import ROOT
from bench.world import Table, World
from tests.postgres import postgres_database, postgres_server

BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Database:
    """A database that is filled, and the world in it."""

    kind: str
    url: str
    world: World


class Databases:
    """Databases of one kind, each made when it is first asked for, and gone with the context that made this."""

    def __init__(self, kind: str, stack: ExitStack) -> None:
        self.kind = kind
        self._stack = stack
        self._by_size: dict[int, Database] = {}
        self._server = stack.enter_context(postgres_server()) if kind == "postgresql" else ""
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

    def of_size(self, size: int) -> Database:
        """Return the database with so many users."""
        if size not in self._by_size:
            self._by_size[size] = self._make(size)
        return self._by_size[size]

    def _make(self, size: int) -> Database:
        if self.kind == "postgresql":
            url = self._stack.enter_context(postgres_database(self._server))
        else:
            url = f"sqlite:///{self._folder}/{size}.db"
        alembic = [sys.executable, "-m", "alembic", "-x", f"url={url}", "upgrade", "head"]
        subprocess.run(alembic, cwd=ROOT, check=True, capture_output=True, timeout=120)  # noqa: S603  # Our own program
        world = World(size)
        tables = world.tables()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns) as progress:
            rows = sum(table.count for table in tables)
            task = progress.add_task(f"{self.kind}: filling for {size:,} users", total=rows)
            for done in _copy(url, tables) if self.kind == "postgresql" else _insert(url, tables):
                progress.advance(task, done)
        return Database(self.kind, url, world)


@contextmanager
def databases(kind: str) -> Iterator[Databases]:
    """Yield the databases of a kind: `sqlite` or `postgresql`."""
    with ExitStack() as stack:
        yield Databases(kind, stack)


def _copy(url: str, tables: list[Table]) -> Iterator[int]:
    """Fill PostgreSQL through COPY, and yield how many rows went there each time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        for table in tables:
            name = sql.Identifier(table.name)
            columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
            with (
                connection.cursor() as cursor,
                cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)) as copy,
            ):
                for rows in batched(table.rows, BATCH, strict=False):
                    lines = ("\t".join(map(str, row)) for row in rows)
                    copy.write("\n".join(lines) + "\n")
                    yield len(rows)
            if table.name in {"usergroup", "item", "post"}:
                # COPY takes the ids as they are, and the sequence has not heard of them.
                move = "SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT max(id) FROM {}))"
                connection.execute(sql.SQL(move).format(sql.Literal(table.name), name))
        # VACUUM as well: else the first to read each page would mark its rows, in the middle of a measurement.
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _insert(url: str, tables: list[Table]) -> Iterator[int]:
    """Fill SQLite in one transaction, and yield how many rows went there each time."""
    with closing(sqlite3.connect(make_url(url).database or "", isolation_level=None)) as connection:
        # What a power cut would leave behind is thrown away anyhow; the service finds a file in WAL mode, as its own.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for table in tables:
            marks = ", ".join("?" * len(table.columns))
            statement = f'INSERT INTO "{table.name}" ({", ".join(table.columns)}) VALUES ({marks})'  # noqa: S608  # Our own names
            for rows in batched(table.rows, BATCH, strict=False):
                connection.executemany(statement, rows)
                yield len(rows)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode = WAL")
