"""A column whose type changes keeps the values of its rows, on SQLite as on PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from tests.library.alembic_project import AlembicProject, NewDatabase, connected
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

MODELS = """
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData()
sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), {columns})
"""

ARRAY = "sa.ARRAY(sa.{}).with_variant(sa.JSON, 'sqlite')"
A_UUID = UUID("6f1c6b1e-0d3a-4d59-9c55-1f0a2b3c4d5e")
MOMENT = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # the column has no time zone

# The types; the value before, after the upgrade, and after the downgrade.
CHANGES: list[tuple[str, str, Any, Any, Any]] = [
    ("sa.DateTime", "sa.Date", MOMENT, date(2026, 1, 2), datetime(2026, 1, 2)),  # noqa: DTZ001
    ("sa.Date", "sa.DateTime", date(2026, 1, 2), datetime(2026, 1, 2), date(2026, 1, 2)),  # noqa: DTZ001
    ("sa.String(40)", "sa.Date", "2026-01-02", date(2026, 1, 2), "2026-01-02"),
    ("sa.DateTime", "sa.DateTime(timezone=False)", MOMENT, MOMENT, MOMENT),
    ("sa.String(40)", "sa.Time", "03:04:05", time(3, 4, 5), "03:04:05"),
    ("sa.String(40)", "sa.Integer", "12", 12, "12"),
    ("sa.String(40)", "sa.Numeric(9, 2)", "1.25", Decimal("1.25"), "1.25"),
    ("sa.String(40)", "sa.Boolean", "true", True, "true"),
    ("sa.String(40)", "sa.Boolean", " OFF ", False, "false"),
    ("sa.Boolean", "sa.Integer", True, 1, True),
    ("sa.Integer", "sa.Boolean", 7, True, 1),
    ("sa.Integer", "sa.BigInteger", 7, 7, 7),
    ("sa.Float", "sa.Integer", 2.7, 3, 3.0),
    ("sa.Float", "sa.Integer", 2.5, 2, 2.0),
    ("sa.Float", "sa.Integer", -3.5, -4, -4.0),
    ("sa.Numeric(9, 2)", "sa.Integer", Decimal("2.50"), 3, Decimal("3.00")),
    ("sa.Integer", "sa.Float", 2, 2.0, 2),
    ("sa.Integer", "sa.String(40)", 12, "12", 12),
    ("sa.Enum('k', 'l', name='kind')", "sa.String(40)", "k", "k", "k"),
    ("sa.Text", "sa.JSON", '{"a": 1}', {"a": 1}, '{"a": 1}'),
    ("sa.String(36)", "sa.Uuid", str(A_UUID), A_UUID, str(A_UUID)),
    ("sa.String(36)", "sa.Uuid", str(A_UUID).upper(), A_UUID, str(A_UUID)),
    ("sa.CHAR(36)", "sa.Uuid", str(A_UUID), A_UUID, str(A_UUID)),
    ("sa.Uuid", "sa.Text", A_UUID, str(A_UUID), A_UUID),
    ("sa.Text", ARRAY.format("String(20)"), 'it\'s "x"', ['it\'s "x"'], 'it\'s "x"'),
    ("sa.Text", ARRAY.format("Integer"), "12", [12], "12"),
    ("sa.Integer", ARRAY.format("Integer"), 12, [12], 12),
    ("sa.Integer", ARRAY.format("Text"), 12, ["12"], 12),
    ("sa.Boolean", ARRAY.format("Boolean"), True, [True], True),
    (ARRAY.format("Text"), "sa.Text", ["12", "13"], "12", ["12"]),
    (ARRAY.format("Text"), "sa.Text", [], None, None),
]

# What PostgreSQL refuses to convert stays on SQLite, and comes back.
KEPT: list[tuple[str, str, Any]] = [
    ("sa.String(40)", "sa.Integer", "abc"),
    ("sa.String(40)", "sa.Integer", "2.7x"),
    ("sa.String(40)", "sa.Date", "soon"),
    ("sa.String(40)", "sa.Boolean", "perhaps"),
    ("sa.String(40)", "sa.Uuid", "not-a-uuid"),
    ("sa.Date", "sa.Integer", date(2026, 1, 2)),
    ("sa.DateTime", "sa.Float", MOMENT),
    ("sa.Enum('k', 'l', name='kind')", "sa.Integer", "k"),
    ("sa.String(40)", "sa.LargeBinary", "ä"),
    ("sa.DateTime", "sa.String(40)", MOMENT),
    ("sa.JSON", "sa.Integer", {"a": [1]}),
    ("sa.JSON", "sa.Text", {"a": [1]}),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    return new_database(request.param)


def write(project: AlembicProject, types: Sequence[str]) -> None:
    columns = ", ".join(f'sa.Column("v{number}", {type_})' for number, type_ in enumerate(types))
    project.write_models(MODELS.format(columns=columns))


def migrate(project: AlembicProject, url: str, types: Sequence[str], message: str) -> None:
    write(project, types)
    project.generate(message, url=url)
    for command in (("upgrade", "head"), ("check",)):
        project.succeed(*command, url=url)


def values(project: AlembicProject, url: str, types: Sequence[str]) -> list[Any]:
    """Return the values of the first row; the second one has none."""
    write(project, types)
    with connected(url) as connection:
        first, second = connection.execute(sa.select(project.metadata().tables["t"]).order_by(sa.text("id")))
    assert {*second[1:]} == {None}
    return list(first[1:])


def insert(project: AlembicProject, url: str, row: Sequence[Any]) -> None:
    with connected(url) as connection:
        table = project.metadata().tables["t"]
        connection.execute(table.insert().values({f"v{number}": value for number, value in enumerate(row)}))
        connection.exec_driver_sql("INSERT INTO t (id) VALUES (2)")


def typed(row: Iterable[Any]) -> list[tuple[str, Any]]:
    # True is 1 to Python.
    return [(type(value).__name__, value) for value in row]


@pytest.mark.every_combination
def test_values_are_converted(project: AlembicProject, url: str) -> None:
    before, after, row, converted, back = zip(*CHANGES, strict=True)
    migrate(project, url, before, "one")
    insert(project, url, row)
    migrate(project, url, after, "two")
    assert typed(values(project, url, after)) == typed(converted)
    project.succeed("downgrade", "-1", url=url)
    assert typed(values(project, url, before)) == typed(back)
    project.succeed("upgrade", "head", url=url)
    assert typed(values(project, url, after)) == typed(converted)


def test_values_that_do_not_convert_are_kept(project: AlembicProject, new_database: NewDatabase) -> None:
    url = new_database("sqlite")
    before, after, row = zip(*KEPT, strict=True)
    migrate(project, url, before, "one")
    insert(project, url, row)
    migrate(project, url, after, "two")
    project.succeed("downgrade", "-1", url=url)
    assert values(project, url, before) == [*row]


def test_type_that_the_migration_does_not_name_is_the_one_that_is_found(
    project: AlembicProject, new_database: NewDatabase
) -> None:
    url = new_database("sqlite")
    migrate(project, url, ["sa.DateTime"], "one")
    insert(project, url, [MOMENT])
    alter = 'with op.batch_alter_table("t", recreate="always") as batch: batch.alter_column("v0", type_=sa.Date)'
    project.write_version("two", "one", alter)
    project.succeed("upgrade", "head", url=url)
    assert values(project, url, ["sa.Date"]) == [MOMENT.date()]
