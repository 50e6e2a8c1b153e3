"""With compare="database" autogenerate reads the catalogs of the real database, and takes no lock on its tables."""

import psycopg
import pytest

from tests.library.alembic_project import AlembicProject, NewDatabase, connected
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414
from tests.library.postgres_roles import CreateOwned, Owned, execute, locked
from tests.library.postgres_roles import create_owned as create_owned  # noqa: PLC0414

NO_CHANGES = "No new upgrade operations detected.\n"

# Everything here is something else in PostgreSQL's own words.
MODELS = """
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})
t = sa.Table(
    "t",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), nullable=False),
    sa.Column("rest", postgresql.JSON, server_default='{"a":1}'),
    sa.Column("more", postgresql.JSONB, server_default='{"a":1}'),
    sa.Column("key", sa.Uuid, server_default=sa.text("gen_random_uuid()")),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("since", sa.DateTime(timezone=True), server_default="2020-01-01"),
    sa.Column("soon", sa.DateTime(timezone=True), server_default=sa.text("now() + interval '1 day'")),
    sa.Column("number", sa.Integer, server_default=sa.text("nextval('numbers')")),
    sa.Column("price", sa.Numeric(9, 2), server_default="1.50"),
    sa.Column("tags", postgresql.ARRAY(sa.Text), server_default=sa.text("ARRAY['a','b']::text[]")),
    sa.Column("lower", sa.String(20), sa.Computed("lower(name) || '-x'", persisted=True)),
    sa.Column("size", sa.Integer, sa.Identity(always=True, start=5), nullable=False),
    sa.CheckConstraint("name IN ('a', 'b') OR price > 1 AND price < 2", name="name"),
)
sa.Index("ix_t_both", t.c.name + " " + t.c.lower)
sa.Index("ix_t_few", t.c.name, postgresql_where=t.c.price.in_([1, 2]))
sa.Index("ix_t_first", sa.func.lower(t.c.name), sa.text("price DESC NULLS LAST"), unique=True)
"""
BEFORE = 'op.execute("CREATE SEQUENCE IF NOT EXISTS numbers")\n'


def generated(project: AlembicProject, url: str) -> None:
    """Write the first migration of the models, which need a sequence, and run it."""
    project.generate("one", url=url)
    path = project.versions / next(each.name for each in project.versions.glob("*one.py"))
    source = path.read_text()
    path.write_text(source.replace("def upgrade() -> None:\n", f"def upgrade() -> None:\n    {BEFORE}", 1))
    project.succeed("upgrade", "head", url=url)


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database("postgresql")


@pytest.fixture(params=["scratch", "database"])
def compare(request: pytest.FixtureRequest, project: AlembicProject) -> str:
    project.write_env(f"compare={request.param!r}")
    return str(request.param)


class TestNormalisedExpressions:
    def test_are_equal_to_themselves(self, project: AlembicProject, url: str, compare: str) -> None:
        project.write_models(MODELS)
        generated(project, url)
        assert project.succeed("check", url=url) == NO_CHANGES
        # A volatile default was not evaluated.
        assert execute(url, "SELECT is_called FROM numbers") == [(False,)]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("""JSON, server_default='{"a":1}'""", """JSON, server_default='{"a":2}'"""),
            ("""JSONB, server_default='{"a":1}'""", """JSONB, server_default='{"a":2}'"""),
            ("'1 day'", "'2 days'"),
            ("gen_random_uuid()", "uuidv7()"),
            ('server_default="2020-01-01"', 'server_default="2020-01-02"'),
            ("'a','b'", "'a','B'"),
            ("price < 2", "price < 3"),
            ("IN ('a', 'b')", "IN ('a', 'B')"),
            ("in_([1, 2])", "in_([1, 3])"),
            ('t.c.name + " " + t.c.lower', 't.c.lower + " " + t.c.name'),
            ("NULLS LAST", "NULLS FIRST"),
            ("always=True", "always=False"),
            ("start=5", "start=5, increment=2"),
        ],
    )
    def test_are_seen_when_they_change(
        self, project: AlembicProject, url: str, compare: str, before: str, after: str
    ) -> None:
        project.write_models(MODELS)
        generated(project, url)
        models = (project.folder / "models.py").read_text()
        changed = models.replace(before, after)
        assert changed != models
        project.write_models(changed)
        assert project.run("check", url=url).status != 0
        project.generate("two", url=url)
        project.succeed("upgrade", "head", url=url)
        assert project.succeed("check", url=url) == NO_CHANGES
        project.succeed("downgrade", "one", url=url)
        project.succeed("upgrade", "head", url=url)

    def test_of_identities_come_and_go(self, project: AlembicProject, url: str, compare: str) -> None:
        project.write_models(MODELS)
        generated(project, url)
        for number, changed in enumerate((MODELS.replace(", sa.Identity(always=True, start=5)", ""), MODELS)):
            project.write_models(changed)
            project.generate(f"more_{number}", url=url)
            project.succeed("upgrade", "head", url=url)
            assert project.succeed("check", url=url) == NO_CHANGES
        project.succeed("downgrade", "one", url=url)

    @pytest.mark.parametrize(
        ("before", "after", "why"),
        [
            ("sa.Identity(always=True, start=5)", "server_default='1'", "DROP IDENTITY, then SET DEFAULT"),
            ("""server_default=sa.text("nextval('numbers')")""", "sa.Identity()", "DROP DEFAULT, then ADD GENERATED"),
            (
                '"id", sa.Integer, primary',
                '"id", sa.Integer, sa.Identity(), primary',
                "DROP DEFAULT, then ADD GENERATED",
            ),
        ],
    )
    def test_of_identities_do_not_replace_defaults(
        self, project: AlembicProject, url: str, compare: str, before: str, after: str, why: str
    ) -> None:
        project.write_models(MODELS)
        generated(project, url)
        project.write_models(MODELS.replace(before, after))
        assert why in project.run("check", url=url).out

    def test_of_computed_columns_cannot_change_and_it_is_said(
        self, project: AlembicProject, url: str, compare: str
    ) -> None:
        project.write_models(MODELS)
        generated(project, url)
        project.write_models(MODELS.replace("|| '-x'", "|| '-X'"))
        with pytest.warns(UserWarning, match=r"The computed column t\.lower is .*drop the column and add it again"):
            project.succeed("check", url=url)


class TestOnSQLite:
    def test_sees_neither_identities_nor_other_defaults(
        self, project: AlembicProject, new_database: NewDatabase
    ) -> None:
        url = new_database("sqlite")
        project.write_models(
            """
            import sqlalchemy as sa
            metadata = sa.MetaData()
            sa.Table("t", metadata, sa.Column("id", sa.Integer, sa.Identity(start=3), primary_key=True),
                     sa.Column("name", sa.Text), sa.Column("low", sa.Text, sa.Computed("lower(name)")))
            """
        )
        project.generate("one", url=url)
        project.succeed("upgrade", "head", url=url)
        for compare in ("scratch", "database"):
            assert project.succeed("-x", f"compare={compare}", "check", url=url) == NO_CHANGES

    def test_leaves_views_and_full_text_tables_alone(self, project: AlembicProject, new_database: NewDatabase) -> None:
        url = new_database("sqlite")
        project.write_models("import sqlalchemy as sa\nmetadata = sa.MetaData()")
        project.write_version(
            "one",
            None,
            """
            op.execute("CREATE VIEW v AS SELECT 1 AS one")
            op.execute("CREATE VIRTUAL TABLE found USING fts5(words)")
            """,
        )
        project.succeed("upgrade", "head", url=url)
        for compare in ("scratch", "database"):
            assert project.succeed("-x", f"compare={compare}", "check", url=url) == NO_CHANGES

    def test_has_to_be_at_head(self, project: AlembicProject, database_url: str) -> None:
        project.write_models("import sqlalchemy as sa\nmetadata = sa.MetaData()")
        project.write_version("one", None, "pass")
        ran = project.run("-x", "compare=database", "check", url=database_url)
        assert "Target database is not up to date." in ran.out
        # Alembic by itself would have made its version table.
        with connected(database_url) as connection:
            assert not connection.dialect.has_table(connection, "alembic_version")


class TestRealTables:
    @pytest.fixture
    def owned(self, create_owned: CreateOwned, project: AlembicProject) -> Owned:
        owned = create_owned("NOCREATEDB")
        project.write_models(MODELS)
        project.write_env('compare="database"')
        generated(project, owned.url)
        return owned

    def test_are_neither_read_nor_locked(self, project: AlembicProject, owned: Owned) -> None:
        # Reading a default takes the lock of a reader for a moment, and this is the strongest that lets it through.
        with locked(owned.url, "t", mode="EXCLUSIVE"):
            assert project.succeed("check", url=owned.url) == NO_CHANGES
        execute(owned.superuser_url, "ALTER TABLE t OWNER TO CURRENT_USER")
        assert project.succeed("check", url=owned.url) == NO_CHANGES
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(owned.url, "SELECT 1 FROM t")

    def test_may_be_compared_by_a_role_that_may_make_none(
        self, project: AlembicProject, create_owned: CreateOwned
    ) -> None:
        owned = create_owned()
        execute(owned.superuser_url, f"REVOKE CREATE ON SCHEMA public FROM {owned.role}")
        project.write_models(MODELS)
        # Alembic by itself would make its version table first.
        assert "New upgrade operations detected" in project.run("-x", "compare=database", "check", url=owned.url).out

    def test_need_a_temporary_table_beside_them(self, project: AlembicProject, owned: Owned) -> None:
        execute(owned.superuser_url, f"REVOKE TEMPORARY ON DATABASE {owned.name} FROM PUBLIC")
        ran = project.run("check", url=owned.url)
        assert ran.status != 0
        grant = f"GRANT TEMPORARY ON DATABASE {owned.name} TO {owned.role};"
        assert grant in ran.out
        execute(owned.superuser_url, grant)
        assert project.succeed("check", url=owned.url) == NO_CHANGES

    def test_that_no_model_knows_and_that_are_none_are_not_dropped(self, project: AlembicProject, owned: Owned) -> None:
        execute(
            owned.superuser_url,
            "CREATE VIEW v AS SELECT 1 AS one",
            "CREATE MATERIALIZED VIEW m AS SELECT 1 AS one",
            "CREATE EXTENSION file_fdw",
            "CREATE SERVER s FOREIGN DATA WRAPPER file_fdw",
            "CREATE FOREIGN TABLE f (line text) SERVER s OPTIONS (filename '/dev/null')",
            "CREATE TABLE of_extension (id int)",
            "ALTER EXTENSION file_fdw ADD TABLE of_extension",
            "CREATE TABLE parent (id int, at date) PARTITION BY RANGE (at)",
            "CREATE TABLE part PARTITION OF parent FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        )
        project.write_models(
            MODELS
            + """
sa.Table("parent", metadata, sa.Column("id", sa.Integer), sa.Column("at", sa.Date),
         postgresql_partition_by="RANGE (at)")
"""
        )
        assert project.succeed("check", url=owned.superuser_url) == NO_CHANGES
        # A table is still a table.
        execute(owned.superuser_url, "CREATE TABLE forgotten (id int)")
        ran = project.run("check", url=owned.superuser_url)
        assert "remove_table" in ran.out
        assert "forgotten" in ran.out
