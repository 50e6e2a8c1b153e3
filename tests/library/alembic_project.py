"""A small project with migrations, for the tests of ours: real files, and Alembic's real command line."""

import ast
import itertools
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import CommandLine, Config

from tests.conftest import CreateDatabase

INI = """\
[alembic]
script_location = %(here)s/alembic
path_separator = os
"""

ENV = """\
import runpy
from pathlib import Path

from fastapi_users_sqlmodel.migrations import run_migrations

# A real project imports its models; a test changes them between two commands of one process.
run_migrations(runpy.run_path(str(Path(__file__).parents[1] / "models.py"))["metadata"])
"""

MAKO = '''\
"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
'''


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: object
    out: str
    err: str


class AlembicProject:
    """A folder with `alembic.ini`, `alembic/` and `models.py`, all of it written by this class."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.versions = folder / "alembic" / "versions"
        self.versions.mkdir(parents=True)
        (folder / "alembic.ini").write_text(INI)
        (folder / "alembic" / "env.py").write_text(ENV)
        (folder / "alembic" / "script.py.mako").write_text(MAKO)
        self._capsys = capsys

    @property
    def config(self) -> Config:
        return Config(self.folder / "alembic.ini")

    def write_models(self, source: str) -> None:
        (self.folder / "models.py").write_text(dedent(source))

    def write_env(self, options: str, before: str = "", metadata: str = 'models["metadata"]') -> None:
        """Give `run_migrations` more arguments; in their source, `models` are the names of models.py."""
        (self.folder / "alembic" / "env.py").write_text(
            "import runpy\nfrom pathlib import Path\n"
            "from fastapi_users_sqlmodel.migrations import run_migrations\n"
            'models = runpy.run_path(str(Path(__file__).parents[1] / "models.py"))\n'
            f"{dedent(before)}\nrun_migrations({metadata}, {options})\n"
        )

    def write_version(self, revision: str, down: str | None, upgrade: str, downgrade: str = "pass") -> None:
        body = "import sqlalchemy as sa\nfrom alembic import op\n"
        body += f"revision = {revision!r}\ndown_revision = {down!r}\n"
        for name, lines in (("upgrade", upgrade), ("downgrade", downgrade)):
            body += f"def {name}():\n" + "".join(f"    {line}\n" for line in dedent(lines).strip().splitlines())
        (self.versions / f"{revision}.py").write_text(body)

    def metadata(self) -> sa.MetaData:
        found: sa.MetaData = runpy.run_path(str(self.folder / "models.py"))["metadata"]
        return found

    def run(self, *arguments: str, url: str | None = None) -> Ran:
        """Run Alembic's command line in this process."""
        command_line = CommandLine()
        given = ["-c", str(self.folder / "alembic.ini"), *(["-x", f"url={url}"] if url else []), *arguments]
        options = command_line.parser.parse_args(given)
        self._capsys.readouterr()
        status: object = 0
        try:
            # What alembic.config.main() does; but that writes to where stdout was when Alembic was imported.
            command_line.run_cmd(Config(options.config[0], cmd_opts=options, stdout=sys.stdout), options)
        except SystemExit as end:
            status = end.code
        captured = self._capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    def succeed(self, *arguments: str, url: str) -> str:
        """Run a command that has to succeed, and return what it said."""
        ran = self.run(*arguments, url=url)
        assert ran.status == 0, ran
        return ran.out

    def generate(self, message: str, *, url: str) -> str:
        """Autogenerate a migration, and return its source."""
        before = set(self.versions.glob("*.py"))
        self.succeed("revision", "--autogenerate", "-m", message, "--rev-id", message, url=url)
        (new,) = set(self.versions.glob("*.py")) - before
        return new.read_text()


class Wrapper:
    """Passes everything on, as tools do that count or guard what a test says to its database."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


type NewDatabase = Callable[[str], str]


@pytest.fixture
def new_database(tmp_path: Path, create_database: CreateDatabase) -> NewDatabase:
    """Return a maker of empty databases, "sqlite" or "postgresql", that gives back their URLs."""
    numbers = itertools.count()
    return lambda kind: create_database() if kind == "postgresql" else f"sqlite:///{tmp_path}/{next(numbers)}.db"


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AlembicProject:
    return AlembicProject(tmp_path / "project", capsys)


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """Connect and commit, with foreign keys that SQLite enforces."""
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver(url)), poolclass=sa.NullPool)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        yield connection


def driver(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"


def imported_modules(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def schema_of(url: str) -> set[str]:
    """Describe a database, a line for each column, constraint, index and enum; Alembic's own table is left out."""
    with connected(url) as connection, warnings.catch_warnings():
        # We read the indexes' own words instead.
        warnings.filterwarnings("ignore", message="Skipped unsupported reflection of expression-based index")
        inspector = sa.inspect(connection)
        lines = {f"enum {label}" for label in _enums(connection)}
        for table in set(inspector.get_table_names()) - {"alembic_version"}:
            for column in inspector.get_columns(table):
                type_ = column["type"].compile(dialect=connection.dialect)
                lines.add(f"{table}.{column['name']} {type_} null={column['nullable']} default={column['default']}")
            lines.add(f"{table} primary key {inspector.get_pk_constraint(table)}")
            lines |= {f"{table} foreign key {key}" for key in inspector.get_foreign_keys(table)}
            lines |= {f"{table} unique {unique}" for unique in inspector.get_unique_constraints(table)}
            lines |= {f"{table} check {_spelled_alike(str(ck))}" for ck in inspector.get_check_constraints(table)}
            lines |= {f"{table} index {index}" for index in _indexes(connection, table)}
        return lines


def _indexes(connection: sa.Connection, table: str) -> list[Any]:
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > '' AND tbl_name = :table ORDER BY 1"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :table ORDER BY 1"
    return [(name, _spelled_alike(sql)) for name, sql in connection.execute(sa.text(query), {"table": table})]


def _spelled_alike(sql: str) -> str:
    # To SQLite, and in what it keeps, false is just another word for 0.
    return sql.replace("false", "0")


def _enums(connection: sa.Connection) -> list[Any]:
    if connection.dialect.name == "sqlite":
        return []
    query = "SELECT typname, enumlabel FROM pg_enum JOIN pg_type ON enumtypid = pg_type.oid ORDER BY 1, enumsortorder"
    return [tuple(row) for row in connection.exec_driver_sql(query)]
