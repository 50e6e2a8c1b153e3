import pytest

from tests.library.alembic_project import AlembicProject, NewDatabase, connected, imported_modules, schema_of
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

HEAD = """
import enum
import uuid
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import orm
from sqlmodel import Field, SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

metadata = sa.MetaData(naming_convention={
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
})
registry = orm.registry(metadata=metadata)

class Model(SQLModel, registry=registry):
    pass

class Base(orm.DeclarativeBase):
    metadata = metadata
"""

BEFORE = (
    HEAD
    + """
class Team(Base):
    __tablename__ = "team"
    id: orm.Mapped[uuid.UUID] = orm.mapped_column(sa.Uuid, primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(100), unique=True)
    __table_args__ = (sa.Index("ix_team_lower_name", sa.func.lower(name)),)

class Member(Model, table=True):
    id: int | None = Field(default=None, primary_key=True)
    team_id: uuid.UUID = Field(foreign_key="team.id", ondelete="CASCADE", index=True)
    name: str
"""
)

AFTER = (
    HEAD
    + """
class Mood(enum.Enum):
    GOOD = "good"
    BAD = "it's bad"

class Team(Base):
    __tablename__ = "team"
    id: orm.Mapped[uuid.UUID] = orm.mapped_column(sa.Uuid, primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(100), unique=True)
    is_open: orm.Mapped[bool] = orm.mapped_column(server_default=sa.true())
    is_shut: orm.Mapped[bool] = orm.mapped_column(server_default=sa.false())
    motto: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default="it's: 'ours'")
    empty: orm.Mapped[str] = orm.mapped_column(sa.String(10), server_default="")
    size: orm.Mapped[int] = orm.mapped_column(server_default="0")
    made: orm.Mapped[datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    mood: orm.Mapped[Mood] = orm.mapped_column(server_default="GOOD")
    kind: orm.Mapped[str] = orm.mapped_column(
        sa.Enum("x", "yy", name="kind", native_enum=False, create_constraint=True), server_default="x"
    )
    __table_args__ = (
        sa.Index("ix_team_lower_name", sa.func.lower(name)),
        sa.CheckConstraint("size >= 0", name="size"),
    )

class Member(Model, table=True):
    id: int | None = Field(default=None, primary_key=True)
    team_id: uuid.UUID = Field(foreign_key="team.id", ondelete="CASCADE", index=True)
    name: str
    best_ticket_id: int | None = Field(default=None, foreign_key="ticket.id", ondelete="SET NULL")

class Ticket(Model, table=True):
    id: int | None = Field(default=None, primary_key=True)
    team_id: uuid.UUID = Field(foreign_key="team.id", ondelete="CASCADE")
    title: str = Field(max_length=50, index=True)
    mood: Mood
    kind: str = Field(sa_type=sa.Enum("x", "yy", name="kind", native_enum=False, create_constraint=True))
    size: str = Field(sa_type=sa.Enum("s", "m", name="size"), sa_column_kwargs={"server_default": "s"})
    at: datetime = Field(sa_type=UTCDateTime, sa_column_kwargs={"server_default": sa.func.now()})
    price: Decimal = Field(sa_type=sa.Numeric(12, 2), sa_column_kwargs={"server_default": "0.00"})
    rate: float = Field(sa_column_kwargs={"server_default": sa.text("1.5")})
    big: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.text("-1")})
    token: uuid.UUID
    raw: bytes
    notes: dict[str, str] = Field(sa_type=sa.JSON, sa_column_kwargs={"server_default": "{}"})
    lasts: timedelta
    is_done: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    code: str = Field(sa_type=AutoString(8), sa_column_kwargs={"server_default": "a%b"})
    __table_args__ = (
        sa.UniqueConstraint("team_id", "code"),
        sa.CheckConstraint("price >= 0 AND code <> 'a:b'", name="price"),
        sa.Index("ix_ticket_lower_code", sa.text("lower(code)"), unique=True),
        sa.Index("ix_ticket_newest", "team_id", sa.text("at DESC")),
    )

ticket = Ticket.__table__
sa.Index("ix_ticket_open", ticket.c.title, postgresql_where=ticket.c.is_done == sa.false(),
         sqlite_where=ticket.c.is_done == sa.false())
ticket.append_constraint(sa.CheckConstraint(ticket.c.is_done.is_(sa.false()) | (ticket.c.big != 7), name="done"))
"""
)


def _insert_teams(url: str) -> None:
    with connected(url) as connection:
        for number in range(3):
            team = f"{number}0000000-0000-0000-0000-000000000000"
            team = team.replace("-", "") if connection.dialect.name == "sqlite" else team
            connection.exec_driver_sql(f"INSERT INTO team (id, name) VALUES ('{team}', 'Team {number}')")
            for member in "ab":
                connection.exec_driver_sql(f"INSERT INTO member (team_id, name) VALUES ('{team}', '{member}')")


def _count(url: str) -> tuple[int, int]:
    with connected(url) as connection:
        teams = connection.exec_driver_sql("SELECT count(*) FROM team").scalar_one()
        members = connection.exec_driver_sql("SELECT count(*) FROM member").scalar_one()
        return teams, members


@pytest.mark.parametrize("run_on", ["sqlite", "postgresql"])
@pytest.mark.parametrize("generated_on", ["sqlite", "postgresql"])
class TestGeneratedMigrations:
    def test_that_remove_things_run_down_again(
        self, project: AlembicProject, new_database: NewDatabase, generated_on: str, run_on: str
    ) -> None:
        generator, url = new_database(generated_on), new_database(run_on)
        project.write_models(AFTER)
        project.generate("one", url=generator)
        project.write_models(BEFORE)
        project.generate("two", url=generator)
        project.succeed("upgrade", "one", url=url)
        _insert_teams(url)
        before = schema_of(url)
        project.succeed("upgrade", "head", url=url)
        after = schema_of(url)
        assert not [line for line in after if line.startswith("enum")]
        assert project.run("check", url=url).status == 0
        project.succeed("downgrade", "one", url=url)
        assert schema_of(url) ^ before == set()
        project.succeed("upgrade", "head", url=url)
        assert schema_of(url) ^ after == set()
        assert _count(url) == (3, 6)

    def test_run_up_down_up_unedited_and_lose_no_row(
        self, project: AlembicProject, new_database: NewDatabase, generated_on: str, run_on: str
    ) -> None:
        generator, url, described = new_database(generated_on), new_database(run_on), new_database(run_on)
        project.write_models(BEFORE)
        sources = [project.generate("one", url=generator)]
        project.write_models(AFTER)
        sources += [project.generate("two", url=generator)]

        project.succeed("upgrade", "one", url=url)
        _insert_teams(url)
        before = schema_of(url)
        project.succeed("upgrade", "head", url=url)
        after = schema_of(url)
        assert _count(url) == (3, 6)
        with connected(described) as connection:
            project.metadata().create_all(connection)
        assert after ^ schema_of(described) == set()
        project.succeed("downgrade", "one", url=url)
        assert schema_of(url) ^ before == set()
        assert _count(url) == (3, 6)
        project.succeed("upgrade", "head", url=url)
        assert schema_of(url) ^ after == set()
        assert _count(url) == (3, 6)
        project.succeed("downgrade", "base", url=url)
        assert schema_of(url) == set()
        assert set().union(*map(imported_modules, sources)) <= {"alembic", "sqlalchemy", "sqlalchemy.dialects"}
        assert project.run("check", url=url).status == 0
        assert project.run("check", url=generator).status == 0
