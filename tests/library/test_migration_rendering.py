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
