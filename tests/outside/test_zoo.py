"""Models that one finds in real projects, each taken through its whole life by Alembic's command line."""

from pathlib import Path

import pytest

from tests.outside.project import Outside

ZOO = Path(__file__).parent / "zoo"
KEEPER = Path(__file__).parent / "keeper.py"

ENV = """
from fastapi_users_sqlmodel.migrations import run_migrations
from models import Base

run_migrations(Base.metadata)
"""

LIFE = ("upgrade head", "check", "fill", "downgrade base", "upgrade head", "check", "fill")


class Zoo:
    """A folder with the models of one entry, and one database."""

    def __init__(self, outside: Outside, url: str) -> None:
        self.outside = outside
        outside.programs.set(DATABASE_URL=url)
        outside.write({"keeper.py": KEEPER.read_text()})
        outside.migrate("init", "alembic")
        outside.write({"alembic/env.py": ENV})

    def change(self, entry: str) -> None:
        """Give the folder the models of this entry."""
        self.outside.write({"models.py": (ZOO / f"{entry}.py").read_text()})

    def keep(self, *commands: str) -> str:
        """Do these things, each of which has to succeed, and return what was printed."""
        ran = self.outside.python("keeper.py", *commands)
        # Alembic's log would hide the reason.
        assert ran.status == 0, "\n".join(line for line in f"{ran.out}\n{ran.err}".splitlines() if "INFO" not in line)
        return ran.out

    def live(self) -> str:
        """Take the models through their life, and return the source of the migration."""
        self.keep("revision --autogenerate --rev-id one -m one", *LIFE)
        (revision,) = (self.outside.folder / "alembic" / "versions").glob("one_*.py")
        return revision.read_text()


@pytest.fixture
def zoo(outside: Outside, outside_url: str) -> Zoo:
    return Zoo(outside, outside_url)


@pytest.mark.parametrize("entry", ["portable_types", "own_types"])
def test_portable(zoo: Zoo, entry: str) -> None:
    zoo.change(entry)
    source = zoo.live()
    assert ("import models" in source) == (entry == "own_types")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_types_of_postgresql(zoo: Zoo) -> None:
    zoo.change("postgresql_types")
    assert "import models" not in zoo.live()
