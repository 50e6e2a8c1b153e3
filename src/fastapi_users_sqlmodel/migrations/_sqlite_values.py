"""Convert the values of a SQLite column whose type changes, as PostgreSQL would, and keep those that do not convert.

SQLite converts what it can without loss by the affinity of the new column. A CAST would convert the rest too: DATE is a
number to SQLite, and '2026-01-02' the number 2026.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from fastapi_users_sqlmodel.migrations._type_changes import is_array
from fastapi_users_sqlmodel.migrations._type_source import POSTGRESQL, SQLITE

type Value = sa.ColumnElement[Any]

_DATE = "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2))
_DATE_AND_TIME = f"{_DATE}[ T][0-9]*"
_MIDNIGHT = " 00:00:00.000000"
_TRUE = ("1", "t", "tr", "tru", "true", "y", "ye", "yes", "on")
_FALSE = ("0", "f", "fa", "fal", "fals", "false", "n", "no", "of", "off")
_LENGTH_OF_UUID = 36


def converted(value: Value, found: TypeEngine[Any], wanted: TypeEngine[Any]) -> Value:
    """Return what is copied into a column of the type `wanted`; NULL, and what does not convert, is copied as it is.

    Args:
        value: The column of the table as it is.
        found: Its type, as the migration says it; as SQLite reflects it, it may have lost what it was.
        wanted: Its new type.
    """
    # Nothing here is to be read or bound as a date or a number.
    value = sa.type_coerce(value, NullType())
    is_list, becomes_list = (is_array(each, POSTGRESQL) for each in (found, wanted))
    found_here, wanted_here = _on_sqlite(found), _on_sqlite(wanted)
    if becomes_list and not is_list and isinstance(wanted_here, sa.JSON):
        return sa.case((value.is_not(None), _listed(value, found_here, _element(wanted))))
    if is_list and not becomes_list and isinstance(found_here, sa.JSON) and not isinstance(wanted_here, sa.JSON):
        return _converted(_first(value), _element(found), wanted_here)
    return _converted(value, found_here, wanted_here)


def _on_sqlite(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that a type is on SQLite, without its variants and decorators."""
    found = type_.dialect_impl(SQLITE)
    while isinstance(found, TypeDecorator):
        found = found.type_engine(SQLITE).dialect_impl(SQLITE)
    return found


def _element(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    array: Any = type_.dialect_impl(POSTGRESQL)
    while isinstance(array, TypeDecorator):
        array = array.type_engine(POSTGRESQL).dialect_impl(POSTGRESQL)
    return _on_sqlite(array.item_type)


def _converted(value: Value, found: TypeEngine[Any], wanted: TypeEngine[Any]) -> Value:
    cases: list[tuple[Value, Any]] = []
    if isinstance(found, sa.Uuid) or isinstance(wanted, sa.Uuid):
        cases = _cases_of_uuids(value, found, wanted)
    elif type(found) is type(wanted):
        return value
    elif isinstance(wanted, sa.Date | sa.DateTime | sa.Time):
        cases = _cases_of_times(value, wanted)
    elif isinstance(wanted, sa.Boolean):
        cases = _cases_of_booleans(value)
    elif isinstance(wanted, sa.Integer) and not isinstance(found, sa.Integer):
        cases = [(_is(value, "real"), _rounded(value, found))]
    elif isinstance(wanted, sa.LargeBinary):
        cases = [(_is(value, "text"), sa.cast(value, sa.BLOB))]
    elif isinstance(wanted, sa.String) and isinstance(found, sa.LargeBinary):
        cases = [(_is(value, "blob"), sa.cast(value, sa.TEXT))]
    elif isinstance(wanted, sa.String) and isinstance(found, sa.Boolean):
        cases = [(_is(value, "integer"), sa.case((value, _text("true")), else_=_text("false")))]
    return sa.case(*cases, else_=value) if cases else value


def _cases_of_times(value: Value, wanted: TypeEngine[Any]) -> list[tuple[Value, Any]]:
    if isinstance(wanted, sa.DateTime):
        return [(_looks_like(value, _DATE), value.op("||")(_text(_MIDNIGHT)))]
    part = (1, 10) if isinstance(wanted, sa.Date) else (12,)
    return [(_looks_like(value, _DATE_AND_TIME), sa.func.substr(value, *part))]


def _cases_of_booleans(value: Value) -> list[tuple[Value, Any]]:
    word = sa.func.lower(sa.func.trim(value))
    return [
        (sa.and_(_is(value, "text"), word.in_(list(map(_text, _TRUE)))), sa.literal_column("1")),
        (sa.and_(_is(value, "text"), word.in_(list(map(_text, _FALSE)))), sa.literal_column("0")),
        (_is(value, "integer"), value.op("<>")(sa.literal_column("0"))),
    ]


def _cases_of_uuids(value: Value, found: TypeEngine[Any], wanted: TypeEngine[Any]) -> list[tuple[Value, Any]]:
    """SQLAlchemy stores a UUID as 32 digits, and PostgreSQL writes it with dashes."""
    digits: Value = sa.func.lower(sa.func.replace(value, _text("-"), _text("")))
    is_uuid = sa.and_(sa.func.length(digits) == sa.literal_column("32"), digits.op("NOT GLOB")(_text("*[^0-9a-f]*")))
    if isinstance(wanted, sa.Uuid):
        return [] if isinstance(found, sa.Uuid) else [(is_uuid, digits)]
    if not isinstance(wanted, sa.String) or (wanted.length or _LENGTH_OF_UUID) < _LENGTH_OF_UUID:
        return []
    parts = [sa.func.substr(digits, start, length) for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]
    dashed: Value = parts[0]
    for part in parts[1:]:
        dashed = dashed.op("||")(_text("-")).op("||")(part)
    return [(is_uuid, dashed)]


def _rounded(value: Value, found: TypeEngine[Any]) -> Value:
    rounded: Value = sa.func.round(value)
    if not isinstance(found, sa.Float):
        return rounded
    # PostgreSQL rounds a half of a NUMERIC away from zero, and that of a floating-point number to the even neighbour.
    half = sa.func.abs(value.op("-")(sa.cast(value, sa.Integer))).op("=")(sa.literal_column("0.5"))
    return sa.case(
        (half, sa.func.round(value.op("/")(sa.literal_column("2"))).op("*")(sa.literal_column("2"))), else_=rounded
    )


def _listed(value: Value, found: TypeEngine[Any], element: TypeEngine[Any]) -> Value:
    """Return a list with the one element, in JSON."""
    if isinstance(element, sa.JSON):
        return sa.func.json_array(sa.case((sa.func.json_valid(value), sa.func.json(value)), else_=value))
    one = _converted(value, found, element)
    if isinstance(element, sa.Boolean):
        # SQLite has no booleans, and JSON has.
        truth = sa.case((one.op("=")(sa.literal_column("1")), _text("true")), else_=_text("false"))
        return sa.case(
            (sa.cast(one, sa.TEXT).in_([_text("0"), _text("1")]), sa.func.json_array(sa.func.json(truth))),
            else_=sa.func.json_array(one),
        )
    if isinstance(element, sa.String):
        one = sa.cast(one, sa.TEXT)
    elif isinstance(element, sa.Integer | sa.Numeric):
        number = sa.cast(one, sa.NUMERIC)
        one = sa.case((sa.cast(number, sa.TEXT).op("=")(one), number), else_=one)
    return sa.func.json_array(one)


def _first(value: Value) -> Value:
    """Return the first element of a list in JSON, and anything else as it is."""
    kind = sa.case((sa.func.json_valid(value), sa.func.json_type(value)))
    return sa.type_coerce(
        sa.case(
            (kind == _text("array"), sa.func.json_extract(value, _text("$[0]"))),
            # What SQLAlchemy stores for None.
            (kind == _text("null"), sa.null()),
            else_=value,
        ),
        NullType(),
    )


def _looks_like(value: Value, pattern: str) -> Value:
    return value.op("GLOB")(_text(pattern))


def _is(value: Value, storage_class: str) -> Value:
    return sa.func.typeof(value) == _text(storage_class)


def _text(text: str) -> Value:
    quoted = text.replace("'", "''")
    return sa.literal_column(f"'{quoted}'")
