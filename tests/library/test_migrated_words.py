"""What a migration writes is what the models say: percent signs, colons, parentheses, casts, options and types."""

import pytest
import sqlalchemy as sa

from tests.library.alembic_project import AlembicProject, NewDatabase, connected
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

MODELS = """
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData()
sa.Table("other", metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table(
    "t",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a", sa.String(20)),
    sa.Column("b", sa.Integer),
    sa.Column("x", sa.Boolean),
    sa.Column("y", sa.Boolean),
    sa.Column("z", sa.Boolean),
    {items}
)
"""


def models(items: str) -> str:
    return MODELS.format(items=items)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    return new_database(request.param)


def migrated(project: AlembicProject, url: str, items: str, message: str) -> str:
    """Write the models, migrate to them, and find nothing left to do; return the migration."""
    project.write_models(models(items))
    source = project.generate(message, url=url)
    project.succeed("upgrade", "head", url=url)
    project.succeed("check", url=url)
    return source


def cycle(project: AlembicProject, url: str, before: str, after: str, rows: str | None = None) -> str:
    """Migrate from the one to the other, back and again; return the second migration."""
    migrated(project, url, before, "one")
    if rows is not None:
        with connected(url) as connection:
            connection.exec_driver_sql(rows)
    source = migrated(project, url, after, "two")
    project.succeed("downgrade", "-1", url=url)
    project.write_models(models(before))
    project.succeed("upgrade", "one", url=url)
    project.succeed("upgrade", "head", url=url)
    return source


PERCENT_AND_COLON = r"""
    sa.Column("c1", sa.String, sa.Computed("a || '%'", persisted=True)),
    sa.Column("c2", sa.String, sa.Computed(r"a || ' \:q'", persisted=True)),
    sa.Column("d1", sa.String, server_default="100%"),
    sa.Column("d2", sa.String, server_default=sa.text("('5%' || 'x')")),
    sa.Column("d3", sa.String, server_default=sa.text(r"'x \:y'")),
    sa.Column("d4", sa.String, server_default=sa.text(r"('x \:y' || '%')")),
    sa.Column("d5", sa.String, server_default=" :y"),
    sa.CheckConstraint("a <> '50%'", name="ck_percent"),
    sa.CheckConstraint("a <> '50'", name="pct%"),
    sa.CheckConstraint(r"a <> ' \:x'", name="ck_colon"),
    sa.CheckConstraint(sa.column("a") != " :x%", name="ck_element"),
    sa.Index("ix_percent", sa.text("(a || '%')")),
    sa.Index("ix_colon", sa.text(r"(a || ' \:q')")),
    sa.Index("ix_where", "b", postgresql_where=sa.text(r"a <> ' \:q%'"), sqlite_where=sa.text(r"a <> ' \:q%'")),
"""


def test_percent_signs_and_colons_are_neither_doubled_nor_escaped(project: AlembicProject, url: str) -> None:
    migrated(project, url, PERCENT_AND_COLON, "one")
    with connected(url) as connection:
        connection.exec_driver_sql("INSERT INTO t (id, a) VALUES (1, 'a')")
        row = connection.execute(sa.text("SELECT c1, c2, d1, d2, d3, d4, d5 FROM t")).one()
        assert tuple(row) == ("a%", "a :q", "100%", "5%x", "x :y", "x :y%", " :y")
        words = (
            "SELECT sql FROM sqlite_master"
            if connection.dialect.name == "sqlite"
            else "SELECT indexdef FROM pg_indexes UNION SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        )
        written = "\n".join(str(sql) for sql in connection.scalars(sa.text(words)))
    assert "%%" not in written
    assert "\\" not in written
    project.write_models(models(""))
    project.generate("two", url=url)
    for command in (("upgrade", "head"), ("check",), ("downgrade", "-1")):
        project.succeed(*command, url=url)
    with connected(url) as connection:
        assert tuple(connection.execute(sa.text("SELECT c1, c2, d2, d3 FROM t")).one()) == ("a%", "a :q", "5%x", "x :y")
    project.write_models(models(PERCENT_AND_COLON))
    project.succeed("upgrade", "one", url=url)
    with connected(url) as connection:
        inspector = sa.inspect(connection)
        assert "pct%" in {check["name"] for check in inspector.get_check_constraints("t")}


SEEN = [
    ('sa.CheckConstraint({!r}, name="c")', "x AND (y OR z)", "(x AND y) OR z"),
    ('sa.Column("n", sa.Integer, server_default=sa.text({!r}))', "(2*(3+4))", "((2*3)+4)"),
    ('sa.Index("i", sa.text({!r}))', "(b - (1 - id))", "((b - 1) - id)"),
]
SEEN_MORE = [
    ('sa.CheckConstraint({!r}, name="c")', "b - (1 - 2) > 0", "(b - 1) - 2 > 0"),
    ('sa.CheckConstraint({!r}, name="c")', "NOT (x AND y)", "(NOT x) AND y"),
    ('sa.CheckConstraint({!r}, name="c")', "CAST(b AS varchar(9)) = '1'", "CAST(b AS varchar(8)) = '1'"),
    ('sa.Column("n", sa.Integer, server_default=sa.text({!r}))', "(8 - (4 - 2))", "(8 - 4 - 2)"),
    (
        'sa.Index("i", "b", postgresql_where=sa.text({0!r}), sqlite_where=sa.text({0!r}))',
        "x AND (y OR z)",
        "x AND y OR z",
    ),
]
SEEN_POSTGRESQL = [
    ('sa.CheckConstraint({!r}, name="c")', "id::text = '1'", "id::int = '1'"),
    ('sa.Column("n", sa.String, server_default=sa.text({!r}))', "now()::date::text", "now()::text"),
    ('sa.Index("i", sa.text({!r}))', "(b::bigint)", "(b::text)"),
    ('sa.Index("i", "a", {})', 'postgresql_include=["b"]', 'postgresql_include=["x"]'),
    ('sa.Index("i", "a", {})', 'postgresql_using="hash"', ""),
    ('sa.Index("i", "a", {})', 'postgresql_ops={"a": "text_pattern_ops"}', ""),
    ('sa.Index("i", "b", {})', 'postgresql_with={"fillfactor": 50}', 'postgresql_with={"fillfactor": 70}'),
    ('sa.Index("i", "b", unique=True, postgresql_nulls_not_distinct={})', "True", "False"),
    ('sa.Column("v", {})', "sa.String", "pg.ARRAY(sa.String)"),
    ('sa.Column("v", {})', 'sa.Enum("k", "l", name="kind")', 'pg.ARRAY(sa.Enum("k", "l", name="kind"))'),
    ('sa.Column("v", {})', "sa.Integer", "pg.ARRAY(sa.BigInteger)"),
]


@pytest.mark.parametrize(
    ("item", "before", "after"), [*SEEN, *(pytest.param(*each, marks=pytest.mark.thorough) for each in SEEN_MORE)]
)
def test_parentheses_are_seen(project: AlembicProject, url: str, item: str, before: str, after: str) -> None:
    cycle(project, url, item.format(before), item.format(after))


@pytest.mark.thorough
@pytest.mark.parametrize(("item", "before", "after"), SEEN_POSTGRESQL)
def test_seen_on_postgresql(
    project: AlembicProject, new_database: NewDatabase, item: str, before: str, after: str
) -> None:
    cycle(project, new_database("postgresql"), item.format(before), item.format(after))


CLEAN = """
    sa.Column("f1", sa.Float(24)),
    sa.Column("f2", sa.Float(25)),
    sa.Column("f3", sa.Float),
    sa.Column("f4", sa.REAL),
    sa.Column("n1", sa.String, server_default=sa.text("NULL")),
    sa.Column("n2", sa.Integer, server_default=sa.text("NULL")),
    sa.Column("v1", sa.Text().with_variant(pg.DOMAIN("filled", sa.Text, not_null=True), "postgresql")),
    sa.Column(
        "v2", sa.Text().with_variant(pg.DOMAIN("filled", sa.Text, not_null=True), "postgresql"), nullable=False
    ),
    sa.Index("i1", "a", "b", postgresql_include=["x"]),
    sa.Index("i2", sa.func.lower(sa.column("a")), sa.column("b") + sa.column("id")),
    sa.Index("i3", sa.desc("b")),
    sa.Column("l", sa.String(5, collation="C").with_variant(sa.String(5), "sqlite")),
    sa.Index("i4", "l", postgresql_ops={"l": "text_pattern_ops"}),
"""


def test_nothing_is_left_to_do(project: AlembicProject, url: str) -> None:
    migrated(project, url, CLEAN, "one")
    if not url.startswith("sqlite"):
        project.succeed("-x", "compare=database", "check", url=url)


def test_type_that_needs_using(project: AlembicProject, new_database: NewDatabase) -> None:
    before = """
        sa.Column("e", sa.String(5), server_default="k"), sa.Column("n", sa.String), sa.Column("j", sa.Text),
        sa.Column("l", sa.String), sa.Column("o", sa.Integer), sa.Column("m", sa.Enum("k", "l", name="kind1")),
    """
    after = """
        sa.Column("e", sa.Enum("k", "l", name="kind"), server_default="l"), sa.Column("n", sa.Integer),
        sa.Column("j", pg.JSONB), sa.Column("l", pg.ARRAY(sa.String)), sa.Column("o", sa.Boolean),
        sa.Column("m", sa.Enum("k", "l", name="kind2"), server_default="k"),
    """
    url = new_database("postgresql")
    rows = "INSERT INTO t VALUES (1, '', 1, NULL, NULL, NULL, 'k', '12', '{}', 'x', 1, 'l')"
    assert "every value has to allow it" in cycle(project, url, before, after, rows)
    with connected(url) as connection:
        found = connection.execute(sa.text("SELECT e, n, j, l, o, m FROM t ORDER BY id")).all()
    assert [tuple(row) for row in found] == [("k", 12, {}, ["x"], True, "l")]


def test_type_that_needs_using_on_postgresql_runs_on_sqlite(project: AlembicProject, new_database: NewDatabase) -> None:
    url = new_database("sqlite")
    item = 'sa.Column("n", sa.{}, server_default="1")'
    source = cycle(
        project, url, item.format("String"), item.format("Integer"), "INSERT INTO t (id, n) VALUES (1, '12')"
    )
    assert "postgresql_using='n::INTEGER'" in source
    project.succeed("upgrade", "head", url=new_database("postgresql"))
    with connected(url) as connection:
        assert connection.scalar(sa.text("SELECT n FROM t")) == 12


def test_sqlite_rebuilds_a_table_with_a_computed_column(project: AlembicProject, new_database: NewDatabase) -> None:
    computed = 'sa.Column("g", sa.Integer, sa.Computed("id * 2", persisted={})),'
    url = new_database("sqlite")
    columns = computed.format(True) + computed.format(False).replace('"g"', '"h"')
    cycle(
        project,
        url,
        f'{columns} sa.Column("s", sa.String(10))',
        f'{columns} sa.Column("s", sa.String(20), nullable=False, server_default="s")',
        "INSERT INTO t (id, s) VALUES (3, 's')",
    )
    with connected(url) as connection:
        assert tuple(connection.execute(sa.text("SELECT id, s, g, h FROM t")).one()) == (3, "s", 6, 6)


@pytest.mark.parametrize(
    ("item", "word"),
    [
        ('sa.UniqueConstraint("a")', "UNIQUE constraint over a"),
        ('sa.ForeignKeyConstraint(["b"], ["other.id"])', "FOREIGN KEY constraint over b"),
        ('sa.Column("o", sa.Integer, sa.ForeignKey("other.id"))', "FOREIGN KEY constraint over o"),
    ],
)
def test_unnamed_constraint_is_refused(project: AlembicProject, url: str, item: str, word: str) -> None:
    migrated(project, url, "", "one")
    project.write_models(models(item))
    ran = project.run("revision", "--autogenerate", "-m", "two", url=url)
    assert ran.status
    assert word in ran.err + ran.out
    assert "NAMING_CONVENTION" in ran.err + ran.out
    assert len(list(project.versions.glob("*.py"))) == 1


DOMAINS = """
    sa.Column("d1", sa.Integer().with_variant(pg.DOMAIN("pos", sa.Integer(), check="VALUE > 0"), "postgresql")),
    sa.Column("d2", sa.BigInteger().with_variant(pg.DOMAIN("big", sa.BigInteger()), "postgresql")),
"""


def test_domain_over_a_number_is_created_once(project: AlembicProject, url: str, new_database: NewDatabase) -> None:
    migrated(project, url, "", "one")
    source = cycle_from(project, url, DOMAINS, "two")
    assert source.count(".create(") == 2
    source = cycle_from(project, url, DOMAINS + 'sa.Column("more", sa.Integer),', "three")
    assert "DOMAIN" not in source
    source = cycle_from(project, url, "", "four")
    assert source.count(".drop(") == source.count(".create(") == 2
    other = new_database("postgresql" if url.startswith("sqlite") else "sqlite")
    for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
        project.succeed(*command, url=other)


def cycle_from(project: AlembicProject, url: str, after: str, message: str) -> str:
    """Migrate to the models, back and again; return the migration."""
    source = migrated(project, url, after, message)
    for command in (("downgrade", "-1"), ("upgrade", "head"), ("check",)):
        project.succeed(*command, url=url)
    return source


NAMED = 'sa.MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})'


@pytest.mark.parametrize("convention", ["sa.MetaData()", NAMED])
def test_check_of_a_column_is_a_check_of_its_table(
    project: AlembicProject, url: str, new_database: NewDatabase, convention: str
) -> None:
    def write(column: str) -> None:
        project.write_models(models(column).replace("sa.MetaData()", convention, 1))

    item = 'sa.Column("n", sa.Integer, sa.CheckConstraint({!r}, name="n_pos")), sa.Column("{}", sa.Integer),'
    name = "n_pos" if convention == "sa.MetaData()" else "ck_t_n_pos"
    for message, column in (("one", item.format("n > 0", "m")), ("two", item.format("n > 1", "m"))):
        write(column)
        source = project.generate(message, url=url)
        assert f"op.f({name!r})" in source or f"name={name!r}" in source
        for command in (("upgrade", "head"), ("check",), ("-x", "compare=database", "check")):
            project.succeed(*command, url=url)
        with connected(url) as connection:
            (check,) = sa.inspect(connection).get_check_constraints("t")
            assert check["name"] == name
    for message, column in (("three", ""), ("four", item.format("n > 1", "k"))):
        write(column)
        cycle_from_models = project.generate(message, url=url)
        assert name in cycle_from_models
        for command in (("upgrade", "head"), ("check",), ("downgrade", "-1"), ("upgrade", "head"), ("check",)):
            project.succeed(*command, url=url)
    with connected(url) as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql("INSERT INTO t (id, n) VALUES (1, 1)")
    other = new_database("postgresql" if url.startswith("sqlite") else "sqlite")
    for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
        project.succeed(*command, url=other)


@pytest.mark.parametrize(
    "item", ['sa.CheckConstraint("b > 0")', 'sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0"))']
)
def test_check_without_a_name_is_written_with_its_table(project: AlembicProject, url: str, item: str) -> None:
    assert "sa.CheckConstraint(" in migrated(project, url, item, "one")
    project.succeed("-x", "compare=database", "check", url=url)


def test_check_without_a_name_is_not_added_to_a_table_that_exists(project: AlembicProject, url: str) -> None:
    migrated(project, url, "", "one")
    project.write_models(models('sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0"))'))
    with pytest.warns(UserWarning, match=r"The table t has a CHECK without a name, \(n > 0\).* give it a name"):
        assert "Check" not in project.generate("two", url=url)


EXCLUSION = """
    pg.ExcludeConstraint(
        (sa.text("int4range(id, id + 5)"), "&&"), using="gist", where=sa.text("{where}"), name="Far away"
    ){only},
"""


def exclusions(url: str) -> list[str]:
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            return []
        query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'x'"
        return list(connection.scalars(sa.text(query)))


@pytest.mark.parametrize("only", ["", '.ddl_if(dialect="postgresql")'])
@pytest.mark.parametrize("compare", ["scratch", "database"])
def test_exclusion_constraint_is_compared(
    project: AlembicProject, new_database: NewDatabase, only: str, compare: str
) -> None:
    project.write_env(f"compare={compare!r}")
    url = new_database("postgresql")
    start, other = (EXCLUSION.format(where=where, only=only) for where in (r"a <> ' \\:x%'", "b > 0"))
    found: list[list[str]] = [[]]
    for message, items in (("one", ""), ("two", start), ("three", other), ("four", ""), ("five", other)):
        assert "CheckConstraint" not in migrated(project, url, items, message)
        assert len(exclusions(url)) == bool(items)
        project.succeed("downgrade", "-1", url=url)
        assert exclusions(url) == found[-1]
        project.succeed("upgrade", "head", url=url)
        found.append(exclusions(url))
    assert "<> ' :x%'" in found[2][0]
    # The downgrade of a table that was removed has it again.
    project.write_models("import sqlalchemy as sa\nmetadata = sa.MetaData()")
    project.generate("six", url=url)
    for command in (("upgrade", "head"), ("check",), ("downgrade", "-1")):
        project.succeed(*command, url=url)
    assert exclusions(url) == found[-1]
    project.write_env("")
    other = new_database("sqlite")
    for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
        project.succeed(*command, url=other)


@pytest.mark.parametrize("only", ["", '.ddl_if(dialect="postgresql")'])
def test_exclusion_constraint_of_a_new_table_is_skipped_on_sqlite(
    project: AlembicProject, url: str, new_database: NewDatabase, only: str
) -> None:
    unnamed = EXCLUSION.format(where="b > 0", only=only).replace(', name="Far away"', "")
    source = migrated(project, url, EXCLUSION.format(where="b > 1", only=only) + unnamed, "one")
    assert source.count("EXCLUDE USING gist") == 2
    for kind in ("sqlite", "postgresql"):
        other = new_database(kind)
        for command in (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head")):
            project.succeed(*command, url=other)
        assert len(exclusions(other)) == (2 if kind == "postgresql" else 0)


def test_exclusion_constraint_without_a_name_is_not_added_to_a_table_that_exists(
    project: AlembicProject, new_database: NewDatabase
) -> None:
    url = new_database("postgresql")
    migrated(project, url, "", "one")
    project.write_models(models(EXCLUSION.format(where="b > 0", only="").replace(', name="Far away"', "")))
    ran = project.run("revision", "--autogenerate", "-m", "two", url=url)
    assert ran.status
    assert "exclusion constraint without a name" in ran.err + ran.out
