"""A member that is added to an enum reaches PostgreSQL's type; one that was removed or renamed is refused."""

import pytest

from tests.documents import files, read_page
from tests.library.alembic_project import AlembicProject, NewDatabase, connected
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

MODELS = """
import enum

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData()

class Mood(enum.Enum):
{members}

mood = {type_}
sa.Table(
    "diary",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mood", mood, server_default={default}),
)
sa.Table("letter", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("mood", {other}))
"""

PLAIN = "sa.Enum(Mood)"


def models(*members: str, type_: str = PLAIN, other: str = "mood", default: str | None = None) -> str:
    lines = "\n".join(f"    {name} = {value!r}" for name, _, value in (each.partition("=") for each in members))
    return MODELS.format(members=lines, type_=type_, other=other, default=repr(default))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    return new_database(request.param)


def members_of(url: str, name: str = "mood") -> list[str]:
    with connected(url) as connection:
        query = "SELECT enumlabel FROM pg_enum WHERE enumtypid = '%s'::regtype ORDER BY enumsortorder"
        return list(connection.exec_driver_sql(query % name).scalars())


def start(project: AlembicProject, url: str, source: str) -> None:
    project.write_models(source)
    project.generate("one", url=url)
    project.succeed("upgrade", "head", url=url)


def add(project: AlembicProject, url: str, source: str, message: str = "two") -> str:
    project.write_models(source)
    written = project.generate(message, url=url)
    for command in (("upgrade", "head"), ("check",), ("downgrade", "-1"), ("upgrade", "head"), ("check",)):
        project.succeed(*command, url=url)
    return written


class TestAddedMember:
    def test_can_be_inserted(self, project: AlembicProject, url: str, new_database: NewDatabase) -> None:
        start(project, url, models("GOOD=good", "BAD=bad"))
        source = add(project, url, models("ZERO=0", "GOOD=good", "SO_SO=so", "BAD=bad", "LAST=last"))
        assert source.count("autocommit_block()") == 1
        for statement in (
            "'ZERO' BEFORE 'GOOD'",
            "'SO_SO' AFTER 'GOOD'",
            "'LAST' AFTER 'BAD'",
        ):
            assert f"ALTER TYPE mood ADD VALUE IF NOT EXISTS {statement}" in source
        assert (
            "# PostgreSQL cannot remove a member of an enum: 'ZERO', 'SO_SO', 'LAST' of mood stays.\n    pass" in source
        )
        with connected(url) as connection:
            connection.exec_driver_sql("INSERT INTO diary (mood) VALUES ('SO_SO'), ('ZERO')")
        # What one database has written, the other runs, and neither finds a difference afterwards.
        other = new_database("postgresql" if url.startswith("sqlite") else "sqlite")
        for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
            project.succeed(*command, url=other)
        postgresql = other if url.startswith("sqlite") else url
        assert members_of(postgresql) == ["ZERO", "GOOD", "SO_SO", "BAD", "LAST"]

    @pytest.mark.parametrize(
        ("type_", "name", "label"),
        [
            ("sa.Enum(Mood, values_callable=lambda e: [m.value for m in e])", "mood", "so: it''s 50%"),
            ("postgresql.ARRAY(sa.Enum(Mood, name='moods'))", "moods", "SO_SO"),
            pytest.param(
                "sa.Enum(Mood, name='mood', schema='public')", "public.mood", "SO_SO", marks=pytest.mark.thorough
            ),
            ("sa.String(9).with_variant(postgresql.ENUM(Mood, name='Odd Mood'), 'postgresql')", '"Odd Mood"', "SO_SO"),
        ],
    )
    def test_is_found_in_types_of_each_kind(
        self, project: AlembicProject, url: str, type_: str, name: str, label: str
    ) -> None:
        if "ARRAY" in type_ and url.startswith("sqlite"):
            type_ += ".with_variant(sa.String(), 'sqlite')"
        start(project, url, models("GOOD=good", type_=type_))
        source = add(project, url, models("GOOD=good", "SO_SO=so: it's 50%", type_=type_))
        assert f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS" in source.replace("\\", "")
        if not url.startswith("sqlite"):
            assert members_of(url, name)[-1] == label.replace("''", "'")

    def test_may_be_used_by_a_later_revision(
        self, project: AlembicProject, url: str, new_database: NewDatabase
    ) -> None:
        start(project, url, models("GOOD=good"))
        add(project, url, models("GOOD=good", "SO_SO=so"))
        project.write_version("three", "two", "op.execute(\"INSERT INTO diary (mood) VALUES ('SO_SO')\")")
        project.succeed("upgrade", "head", url=url)
        add(project, url, models("GOOD=good", "SO_SO=so", "BAD=bad"), "four")
        fresh = new_database("sqlite" if url.startswith("sqlite") else "postgresql")
        for command in (("upgrade", "head"), ("check",)):
            project.succeed(*command, url=fresh)

    def test_survives_the_type(self, project: AlembicProject, url: str) -> None:
        start(project, url, models("GOOD=good"))
        add(project, url, models("GOOD=good", "SO_SO=so"))
        source = add(project, url, "import sqlalchemy as sa\nmetadata = sa.MetaData()", "three")
        # Its downgrade makes the type with all of its members.
        assert "sa.Enum('GOOD', 'SO_SO', name='mood').create(" in source
        # A new type of the old name begins anew.
        add(project, url, models("OTHER=other"), "four")

    @pytest.mark.parametrize("constraint", ["", ", create_constraint=True"])
    def test_of_an_enum_that_is_text(self, project: AlembicProject, url: str, constraint: str) -> None:
        type_ = f"sa.Enum(Mood, native_enum=False, name='ck_mood'{constraint})"
        start(project, url, models("GOOD=good", type_=type_, other="sa.Integer"))
        source = add(project, url, models("GOOD=good", "INDIFFERENT=x", type_=type_, other="sa.Integer"))
        assert "ALTER TYPE" not in source
        with connected(url) as connection:
            connection.exec_driver_sql("INSERT INTO diary (mood) VALUES ('INDIFFERENT')")


class TestOtherChange:
    @pytest.mark.parametrize(("page", "after"), [("rename", ("GOOD=1", "POOR=2")), ("remove", ("GOOD=1",))])
    def test_is_written_as_the_page_says(
        self, project: AlembicProject, url: str, page: str, after: tuple[str, ...]
    ) -> None:
        start(project, url, models("GOOD=1", "BAD=2", other="sa.Integer"))
        with connected(url) as connection:
            connection.exec_driver_sql("INSERT INTO diary (mood) VALUES ('BAD')")
        source = files(read_page("docs/migrations.md"))[f"{page}_a_member.py"]
        header = 'from alembic import op\n\nrevision = "two"\ndown_revision = "one"\n\n\n'
        (project.versions / "two.py").write_text(header + source)
        project.write_models(models(*after, other="sa.Integer"))
        for command in (("upgrade", "head"), ("check",), ("downgrade", "-1"), ("upgrade", "head"), ("check",)):
            project.succeed(*command, url=url)
        with connected(url) as connection:
            assert connection.exec_driver_sql("SELECT mood FROM diary").scalars().all() == [after[-1].partition("=")[0]]

    @pytest.mark.parametrize("after", [("GOOD=good",), ("GOOD=good", "POOR=bad")])
    def test_is_refused(self, project: AlembicProject, url: str, after: tuple[str, ...]) -> None:
        start(project, url, models("GOOD=good", "BAD=bad", default="GOOD"))
        project.write_models(models(*after, default="GOOD"))
        for command in (("revision", "--autogenerate", "-m", "two"), ("check",)):
            ran = project.run(*command, url=url)
            assert ran.status == -1
            assert "The enum type mood has lost 'BAD' in the models" in ran.out
            assert "ALTER TYPE mood RENAME VALUE 'BAD' TO 'its new name'" in ran.out
            assert "ALTER TABLE letter ALTER COLUMN mood TYPE mood USING mood::text::mood" in ran.out

    @pytest.mark.parametrize("statements", ["rename", "remake"])
    def test_is_accepted_when_it_was_written_by_hand(self, project: AlembicProject, url: str, statements: str) -> None:
        start(project, url, models("GOOD=good", "BAD=bad", default="GOOD"))
        after = ("GOOD=good", "POOR=bad") if statements == "rename" else ("GOOD=good",)
        project.write_models(models(*after, default="GOOD"))
        said = project.run("check", url=url).out
        if statements == "rename":
            sql = ["ALTER TYPE mood RENAME VALUE 'BAD' TO 'POOR'"]
        else:
            sql = said.split("make the type anew: ")[1].split(". Or keep")[0].replace("…", "'GOOD'").split("; ")
        lines = [f"    op.execute({each!r})" for each in sql]
        project.write_version("two", "one", "\n".join(['if op.get_context().dialect.name == "postgresql":', *lines]))
        for command in (("upgrade", "head"), ("check",)):
            project.succeed(*command, url=url)
        add(project, url, models(*after, "NEW=new", default="GOOD"), "three")

    def test_of_the_order_is_none(self, project: AlembicProject, url: str) -> None:
        start(project, url, models("GOOD=good", "BAD=bad"))
        project.write_models(models("BAD=bad", "GOOD=good"))
        assert "No new upgrade operations" in project.succeed("check", url=url)

    def test_between_two_columns_is_refused_unless_one_has_all(self, project: AlembicProject, url: str) -> None:
        start(project, url, models("GOOD=good", "BAD=bad", other="sa.Enum('GOOD', name='mood')"))
        project.succeed("check", url=url)
        project.write_models(models("GOOD=good", "BAD=bad", other="sa.Enum('WORSE', name='mood')"))
        assert "Two columns use the enum type mood with different members" in project.run("check", url=url).out
