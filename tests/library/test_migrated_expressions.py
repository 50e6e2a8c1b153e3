"""A change of CHECKs, defaults and indexes is seen although only the case of quoted text or names differs."""

import pytest

from fastapi_users_sqlmodel.migrations._expressions import comparable
from tests.library.alembic_project import AlembicProject, NewDatabase
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData(naming_convention={{"ck": "ck_%(table_name)s_%(constraint_name)s"}})
table = sa.Table(
    "letter",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(20), server_default={default}),
    sa.Column("Sort", sa.String(20)),
    sa.CheckConstraint({check!r}, name="kind"),
    sa.Index("ix_letter", {index}),
    sa.Index("ix_some", "id", postgresql_where=sa.text({where!r}), sqlite_where=sa.text({where!r})),
)
"""

PLAIN = {"default": "'a'", "check": "kind > ''", "index": 'sa.text("lower(kind)")', "where": "id > 0"}


def models(**parts: str) -> str:
    return MODELS.format(**PLAIN | parts)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    return new_database(request.param)


CASES = [
    ("check", "kind = 'a'", "kind = 'A'"),
    ("check", "kind <> 'a::text'", "kind <> 'a'"),
    ("default", "'true'", "'TRUE'"),
    ("index", "sa.text(\"replace(kind, 'a', 'b')\")", "sa.text(\"replace(kind, 'A', 'b')\")"),
    ("where", "kind = 'a'", "kind = 'A'"),
]
MORE = [
    ("check", "kind IN ('a', 'b')", "kind IN ('a', 'B')"),
    ("check", "kind <> '' AND kind <> 'it''s'", "kind <> '' AND kind <> 'IT''s'"),
    ("check", "kind <> '(a)'", "kind <> 'a'"),
    ("check", "kind <> 'true'", "kind <> 'TRUE'"),
    ("check", 'length("Sort") > 1', 'length("Sort") > 2'),
    ("check", '"Sort" > kind', 'kind > "Sort"'),
    ("default", "'a'", "'A'"),
    ("default", "'1'", "'1.0'"),
    ("default", "sa.text(\"lower('a')\")", "sa.text(\"lower('A')\")"),
    ("default", "sa.text(\"('a' || 'b')\")", "sa.text(\"('a' || 'B')\")"),
    ("index", 'sa.text("lower(kind)")', "sa.text('lower(\"Sort\")')"),
    ("index", "sa.func.replace(sa.column('kind'), 'a', 'b')", "sa.func.replace(sa.column('kind'), 'a', 'B')"),
    ("where", "\"Sort\" = 'a'", "kind = 'a'"),
]


@pytest.mark.parametrize(
    ("part", "before", "after"), [*CASES, *(pytest.param(*each, marks=pytest.mark.thorough) for each in MORE)]
)
def test_change_is_seen(project: AlembicProject, url: str, part: str, before: str, after: str) -> None:
    project.write_models(models(**{part: before}))
    project.generate("one", url=url)
    project.succeed("upgrade", "head", url=url)
    project.succeed("check", url=url)
    project.write_models(models(**{part: after}))
    project.generate("two", url=url)
    for command in (("upgrade", "head"), ("check",), ("downgrade", "-1"), ("upgrade", "head")):
        project.succeed(*command, url=url)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"Kind" = 1', "kind = 1", False),
        ('"Kind" = 1', '"kind" = 1', False),
        ('("kind" = 1)', "KIND=1", True),
        ("x = $$a$$", "x = $$A$$", False),
        ("(kind)::text = 'a'::text", "kind = 'a'", False),
        ("a AND (b OR c)", "(a AND b) OR c", False),
        ("((a AND  ((b OR c))))", "A and (b or c)", True),
        ("not a", "nota", False),
        ("x = 'a::b'", "x = 'a'", False),
        ("x IN ('a', 'it''s')", "X in ('a','it''s')", True),
        ("x = '\"Kind\"'", "x = '\"kind\"'", False),
    ],
)
def test_what_is_compared(one: str, other: str, *, same: bool) -> None:
    assert (comparable(one) == comparable(other)) == same
