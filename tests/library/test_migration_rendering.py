"""What autogenerate writes is Python that runs, whatever the models carry."""

import pytest

from tests.library.alembic_project import AlembicProject, NewDatabase, imported_modules
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

NEW_APP = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase
from sqlmodel import SQLModel

from fastapi_users_sqlmodel import SQLAlchemyBaseUserTableUUID, SQLModelBaseUserTableUUID

class Base(DeclarativeBase):
    pass

class Model(SQLModel, registry=Base.registry):
    pass

class User(SQLAlchemyBaseUserTableUUID, Base):
    pass

class Customer(SQLModelBaseUserTableUUID, Model, table=True):
    __tablename__ = "customer"

metadata = Base.metadata
"""

WITH_INFO = """
import sqlalchemy as sa

class Owner:
    pass

metadata = sa.MetaData()
sa.Table(
    "report",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, info={"owner": Owner()}),
    info={"owner": Owner(), "team": ["billing", 7], "kept": {"until": float("inf")}},
    prefixes=["/* it's */"],
    comment="it's a \\"report\\"",
)
sa.Table("plain", metadata, sa.Column("id", sa.Integer, primary_key=True), info={"team": "billing"})
sa.Table("objects", metadata, sa.Column("id", sa.Integer, primary_key=True), info={Owner: Owner()})
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    return new_database(request.param)


class TestFirstMigrationOfANewApp:
    def test_runs(self, project: AlembicProject, url: str) -> None:
        project.write_models(NEW_APP)
        source = project.generate("one", url=url)
        assert "info=" not in source
        assert imported_modules(source) == {"sqlalchemy", "alembic"}
        for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
            project.succeed(*command, url=url)


class TestInfo:
    def test_is_written_as_far_as_it_is_source(self, project: AlembicProject, url: str) -> None:
        project.write_models(WITH_INFO)
        source = project.generate("one", url=url)
        assert "info={'team': ['billing', 7]}" in source
        assert "info={'team': 'billing'}" in source
        assert "Owner" not in source.replace("# ", "")
        assert "# info of the table 'report' is left out for 'owner', 'kept': it has no Python literal." in source
        for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
            project.succeed(*command, url=url)


OWN_TYPES = """
import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, UserDefinedType

class Point(UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return "POINT"

class Place(TypeDecorator):
    impl = Point
    cache_ok = True

class Colour:
    def __repr__(self):
        return "a colour"

class Ink:
    pass

metadata = sa.MetaData()
table = sa.Table("spot", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String))
"""


class TestWhatHasNoSource:
    @pytest.mark.parametrize(
        "type_", ["Point()", "Place()", "sa.ARRAY(Point())", "sa.String().with_variant(Point(), 'sqlite')"]
    )
    def test_of_a_type_is_an_error_that_names_the_column(self, project: AlembicProject, url: str, type_: str) -> None:
        # This module is run and not imported, so that nobody can import from it.
        project.write_models(f"{OWN_TYPES}\ntable.append_column(sa.Column('place', {type_}))")
        ran = project.run("revision", "--autogenerate", "-m", "one", url=url)
        assert ran.status == -1
        assert "spot.place" in ran.out
        assert "its module '<run_path>' cannot be imported" in ran.out
        assert not list(project.versions.glob("*.py"))

    @pytest.mark.parametrize(
        ("more", "shown"),
        [
            ("sa.Index('ix_spot', table.c.name, postgresql_with={'fillfactor': Colour()})", "a colour"),
            ("sa.Index('ix_spot', table.c.name, postgresql_ops={'name': Ink()})", "Ink object"),
            ("table.dialect_options['postgresql']['tablespace'] = int", "class 'int'"),
            ("table.append_constraint(sa.UniqueConstraint('name', deferrable=Colour()))", "a colour"),
        ],
    )
    def test_of_anything_else_is_an_error_that_names_the_table(
        self, project: AlembicProject, url: str, more: str, shown: str
    ) -> None:
        project.write_models(f"{OWN_TYPES}\n{more}")
        ran = project.run("revision", "--autogenerate", "-m", "one", url=url)
        assert ran.status == -1
        assert "of the table 'spot' would not be Python" in ran.out
        assert shown in ran.out
        assert not list(project.versions.glob("*.py"))

    NAMED = "Ink.__repr__ = lambda _: 'Ink'; sa.Index('ix', table.c.name, postgresql_tablespace=Ink())"

    def test_of_a_name_that_nothing_brings_is_an_error(self, project: AlembicProject, url: str) -> None:
        project.write_models(f"{OWN_TYPES}\n{self.NAMED}")
        ran = project.run("revision", "--autogenerate", "-m", "one", url=url)
        assert "nothing defines Ink" in ran.out

    def test_of_a_name_that_the_template_imports_is_none(
        self, project: AlembicProject, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(project.folder)
        (project.folder / "inks.py").write_text("Ink = None\n")
        template = project.folder / "alembic" / "script.py.mako"
        template.write_text(template.read_text().replace("${imports", "from inks import Ink\n${imports", 1))
        project.write_models(f"{OWN_TYPES}\n{self.NAMED}")
        assert "postgresql_tablespace=Ink" in project.generate("one", url=url)
