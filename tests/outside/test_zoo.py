"""Models that one finds in real projects, each taken through its whole life by Alembic's command line."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.documents import installed, read_page
from tests.outside.environment import make_environment
from tests.outside.project import WORLD, Outside
from tests.programs import open_programs, preloaded_interpreter

ZOO = Path(__file__).parent / "zoo"
KEEPER = Path(__file__).parent / "keeper.py"

ENV = """
from fastapi_users_sqlmodel.migrations import run_migrations
from models import Base

run_migrations(Base.metadata, include_schemas={include_schemas})
"""

FIRST = """
from alembic import op

revision = "zero"
down_revision = None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
"""

GENERATE = "revision --autogenerate --rev-id {0} -m {0}"
LIFE = ("upgrade head", "check", "fill", "downgrade base", "upgrade head", "check", "fill")
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Zoo:
    """A folder with the models of one entry, and one database."""

    def __init__(self, outside: Outside, url: str) -> None:
        self.outside = outside
        self.versions = outside.folder / "alembic" / "versions"
        outside.programs.set(DATABASE_URL=url)
        outside.write({"keeper.py": KEEPER.read_text()})
        outside.migrate("init", "alembic")
        self.change_environment(include_schemas=False)

    def change_environment(self, *, include_schemas: bool) -> None:
        """Write `alembic/env.py`."""
        self.outside.write({"alembic/env.py": ENV.format(include_schemas=include_schemas)})

    def change(self, entry: str, *replaced: tuple[str, str]) -> None:
        """Give the folder the models of this entry, with some of their text replaced."""
        source = (ZOO / f"{entry}.py").read_text()
        for old, new in replaced:
            assert old in source
            source = source.replace(old, new)
        self.outside.write({"models.py": source})

    def write_first(self, upgrade: Sequence[str], downgrade: str) -> None:
        """Write a revision by hand that executes SQL, before all others."""
        up, down = ("\n".join(f"    op.execute({each!r})" for each in sql) for sql in (upgrade, [downgrade]))
        (self.versions / "zero.py").write_text(FIRST.format(upgrade=up, downgrade=down))

    def keep(self, *commands: str) -> str:
        """Do these things, each of which has to succeed, and return what was printed."""
        ran = self.outside.python("keeper.py", *commands)
        # Alembic's log would hide the reason.
        assert ran.status == 0, "\n".join(line for line in f"{ran.out}\n{ran.err}".splitlines() if "INFO" not in line)
        assert "Warning" not in ran.err
        return ran.out

    def live(self, revision: str = "one") -> str:
        """Write a revision, take the models through their life, and return its source."""
        self.keep(GENERATE.format(revision), *LIFE)
        (path,) = self.versions.glob(f"{revision}_*.py")
        return path.read_text()


@pytest.fixture
def zoo(outside: Outside, outside_url: str) -> Zoo:
    return Zoo(outside, outside_url)


@pytest.mark.parametrize("entry", ["portable_types", "structures", "own_types"])
def test_portable(zoo: Zoo, entry: str) -> None:
    zoo.change(entry)
    imported = set(re.findall(r"^(?:from|import) (\w+)", zoo.live(), re.MULTILINE))
    assert imported - {"typing", "alembic", "sqlalchemy"} == ({"models"} if entry == "own_types" else set())


@ON_POSTGRESQL
@pytest.mark.parametrize("entry", ["postgresql_types", "postgresql_structures"])
def test_of_postgresql(zoo: Zoo, entry: str) -> None:
    zoo.change(entry)
    assert "import models" not in zoo.live()


@ON_POSTGRESQL
def test_with_extensions(zoo: Zoo) -> None:
    names = ("citext", "pg_trgm", "hstore", "btree_gist")
    zoo.write_first([f"CREATE EXTENSION {name}" for name in names], f"DROP EXTENSION {', '.join(names)}")
    zoo.change("extensions")
    zoo.live()


@ON_POSTGRESQL
def test_in_a_second_schema(zoo: Zoo) -> None:
    zoo.write_first(["CREATE SCHEMA crm"], "DROP SCHEMA crm")
    zoo.change_environment(include_schemas=True)
    zoo.change("schemas")
    zoo.live()
    zoo.change("schemas", ('CLOSED = "closed"', 'CLOSED = "closed"\n    LOST = "lost"'), ("'A'", "'a'"))
    source = zoo.live("two")
    assert "ALTER TYPE crm.status ADD VALUE IF NOT EXISTS 'LOST' AFTER 'CLOSED'" in source
    assert "name <> 'a'" in source


def test_beside_a_view_that_no_model_knows(zoo: Zoo) -> None:
    zoo.write_first(["CREATE VIEW one AS SELECT 1 AS id"], "DROP VIEW one")
    zoo.change("own_types")
    assert "drop" not in zoo.live().partition("def downgrade")[0]


@pytest.fixture
def vectors(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Outside]:
    python = make_environment(
        tmp_path_factory.getbasetemp() / "vectors", [*installed(read_page("docs/quick-start.md")), "pgvector"]
    )
    with (
        preloaded_interpreter(python, WORLD, {"PYTHONPATH": ""}) as interpreter,
        open_programs(interpreter, tmp_path / "vectors", {"PYTHONPATH": ""}) as programs,
    ):
        yield Outside(python, programs)


@ON_POSTGRESQL
@pytest.mark.thorough
def test_with_the_type_of_a_third_party(vectors: Outside, outside_url: str) -> None:
    zoo = Zoo(vectors, outside_url)
    zoo.write_first(["CREATE EXTENSION vector"], "DROP EXTENSION vector")
    zoo.change("vectors")
    source = zoo.live()
    assert "import pgvector.sqlalchemy.vector\n" in source
    assert "sa.Column('embedding', pgvector.sqlalchemy.vector.VECTOR(dim=3), nullable=False)" in source
    assert "# document.embedding has the type pgvector.sqlalchemy.vector.VECTOR" in source
    zoo.change("vectors", ("Vector(3)", "Vector(4)"))
    assert "VECTOR(dim=4)" in zoo.keep(GENERATE.format("two")) + next(zoo.versions.glob("two_*.py")).read_text()


def test_with_a_history_that_reads_data(zoo: Zoo) -> None:
    zoo.change("own_types")
    zoo.live()
    source = FIRST.replace('"zero"', '"reads"').replace("None", '"one"', 1)
    reads = '    for row in op.get_bind().exec_driver_sql("SELECT id FROM spot").all():\n        assert row.id > 0'
    (zoo.versions / "reads.py").write_text(source.format(upgrade=reads, downgrade="    pass"))
    zoo.change("own_types", ("measure: ", "measured: "), ("(point, measure)", "(point, measured)"))
    zoo.keep("upgrade head")
    source = zoo.live("two")
    assert "batch_op.drop_column('measure')" in source


# By default tests/library/test_migrated_enums.py does the same with smaller models.
@pytest.mark.thorough
def test_adds_members_to_enums(zoo: Zoo) -> None:
    zoo.change("portable_types")
    zoo.live()
    zoo.change("portable_types", ('    LARGE = "L"', '    MEDIUM = "M"\n    LARGE = "L"\n    HUGE = "XL"'))
    source = zoo.live("two")
    for statement in (
        "ALTER TYPE size ADD VALUE IF NOT EXISTS 'MEDIUM' AFTER 'SMALL'",
        "ALTER TYPE size_value ADD VALUE IF NOT EXISTS 'XL' AFTER 'L'",
    ):
        assert statement in source.replace("\\", "")
    zoo.change("portable_types", ('    SMALL = "S"', '    TINY = "S"'), ("Size.SMALL", "Size.TINY"))
    ran = zoo.outside.python("keeper.py", "check")
    assert ran.status != 0
    assert "The enum type size has lost 'SMALL', 'MEDIUM', 'HUGE' in the models" in ran.out
