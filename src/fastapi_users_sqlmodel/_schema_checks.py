"""Find what schemas accept, or allow-lists allow, and a column does not take."""

import sys
from collections.abc import Collection, Iterator
from typing import Any

from fastapi_users.schemas import BaseUser, BaseUserCreate, BaseUserUpdate
from sqlalchemy import inspect

from fastapi_users_sqlmodel._column_checks import Problem, takes_none

# An e-mail address is not longer than this (RFC 5321, 4.5.3.1, with its @).
_EMAIL_LENGTH = 320
# Fields of the library's schemas, which the manager looks after.
_OF_THE_LIBRARY = {*BaseUserCreate.model_fields, *BaseUserUpdate.model_fields, "current_password", "oauth_accounts"}
_ALLOW_LISTS = ("registration_fields", "own_fields", "superuser_fields")


def schema_problems(model: type[Any], written: Collection[type[Any]]) -> Iterator[Problem]:
    """Find fields of schemas that have no column, nulls that a column refuses, and texts that it does not hold."""
    columns = inspect(model).columns
    for schema in written:
        if issubclass(schema, BaseUser):
            continue
        described = schema.model_json_schema(by_alias=False)
        for field, shape in described.get("properties", {}).items():
            name = f"{model.__name__}.{field}"
            if not hasattr(model, field):
                if field not in _OF_THE_LIBRARY:
                    yield Problem(
                        name,
                        f"{name} does not exist, and {schema.__name__} accepts it: add the column, or take the field "
                        "out of the schema",
                    )
            elif field in columns:
                yield from _null_problem(name, columns[field], schema, field)
                yield from _length_problem(name, columns[field], schema, _longest(shape, described.get("$defs", {})))


def _null_problem(name: str, column: Any, schema: type[Any], field: str) -> Iterator[Problem]:
    # In FastAPI Users' schemas of updates, null means that a field was not sent; the manager refuses it with 422.
    if column.nullable or field in _OF_THE_LIBRARY or issubclass(schema, BaseUserUpdate):
        return
    if takes_none(schema.model_fields[field].annotation):
        yield Problem(
            name,
            f"{name} is NOT NULL, and {schema.__name__} accepts null, which the database refuses: make the column "
            "nullable, or the field not optional",
        )


def _length_problem(name: str, column: Any, schema: type[Any], longest: int | None) -> Iterator[Problem]:
    held = getattr(column.type, "length", None)
    if held is not None and longest is not None and longest > held:
        accepted = "any length" if longest == sys.maxsize else f"{longest} characters"
        yield Problem(
            name,
            f"{name} holds {held} characters, and {schema.__name__} accepts {accepted}: PostgreSQL refuses what is "
            f"longer, and SQLite keeps it; say max_length={held} in the schema",
        )


def _longest(shape: dict[str, Any], definitions: dict[str, Any]) -> int | None:
    """Return how long a text may be that has this JSON schema; None if it is no free text."""
    if "$ref" in shape:
        return _longest(definitions[shape["$ref"].rpartition("/")[2]], definitions)
    if parts := shape.get("anyOf") or shape.get("allOf"):
        lengths = [length for part in parts if (length := _longest(part, definitions)) is not None]
        return max(lengths, default=None)
    # A date or a UUID has a form of its own.
    if shape.get("type") != "string" or shape.keys() & {"enum", "const"} or shape.get("format") not in {None, "email"}:
        return None
    return int(shape.get("maxLength", _EMAIL_LENGTH if "format" in shape else sys.maxsize))


def field_problems(model: type[Any], manager: type[Any]) -> Iterator[Problem]:
    """Find names in a manager's allow-lists that are no attribute of the model; those of the library it may lack."""
    for allow_list in _ALLOW_LISTS:
        # The library's own names are in every list, whether or not a project has such columns.
        known = next(getattr(base, allow_list) for base in reversed(manager.__mro__) if hasattr(base, allow_list))
        for field in sorted(getattr(manager, allow_list) - known):
            if not hasattr(model, field):
                name = f"{model.__name__}.{field}"
                yield Problem(
                    name,
                    f"{name} does not exist, and {manager.__name__}.{allow_list} lets it be set, which is refused with "
                    f"422: add the column, or take the name out of {allow_list}",
                )
