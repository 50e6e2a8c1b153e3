"""Write server defaults, CHECKs and other SQL so that either database understands it."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ClauseElement, TextClause
from sqlalchemy.sql.functions import FunctionElement

# PostgreSQL's spelling of literals (`true` for instance) is the one that both databases read; with named parameters,
# because some drivers' style doubles the percent sign.
_PORTABLE: sa.Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # left untyped there

_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_CAST = re.compile(
    r"::\s*(?:\"[^\"]+\"|[\w.]+)(?:\s(?:varying|precision|with(?:out)? time zone))?(?:\([\d, ]+\))?(?:\[\])?"
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")


def portable_sql(expression: Any) -> str:
    """Compile an expression in words that SQLite and PostgreSQL share; text stays as its author wrote it."""
    if isinstance(expression, TextClause):
        return expression.text
    if isinstance(expression, ClauseElement):
        return str(
            expression.compile(dialect=_PORTABLE, compile_kwargs={"literal_binds": True, "include_table": False})
        )
    return str(expression)


def render_server_default(default: object, _context: AutogenContext) -> str | None:
    """Render as source code, or return None where Alembic's own rendering is the best there is."""
    if not isinstance(default, sa.DefaultClause):
        return None
    argument: Any = default.arg
    if isinstance(argument, str):
        return repr(argument)
    if isinstance(argument, TextClause):
        return _render_text(argument.text, getattr(default, "column", None))
    if isinstance(argument, sa.True_ | sa.False_):
        return _render_boolean(isinstance(argument, sa.True_))
    if isinstance(argument, FunctionElement) and not list(argument.clauses):
        return f"sa.func.{argument.name}()"
    return f"sa.text({portable_sql(argument)!r})"


def _render_boolean(value: bool) -> str:  # noqa: FBT001  # it is the value itself
    return "sa.true()" if value else "sa.false()"


def _render_text(text: str, column: sa.Column[Any] | None) -> str:
    plain = _without_casts(text)
    if literal := _QUOTED.fullmatch(plain):
        return repr(literal[1].replace("''", "'"))
    word = plain.casefold()
    if word in {"now()", "current_timestamp"}:
        return "sa.func.now()"
    if word in {"true", "false"}:
        return _render_boolean(word == "true")
    if word in {"0", "1"} and column is not None and isinstance(column.type, sa.Boolean):
        return _render_boolean(word == "1")
    return f"sa.text({(plain if _NUMBER.fullmatch(plain) else text)!r})"


def _without_casts(text: str) -> str:
    """Take away the parentheses and casts around a whole expression, with which databases give a default back."""
    before = None
    while before != text:
        before = text = text.strip()
        if text.startswith("(") and _closes_at_the_end(text):
            text = text[1:-1]
        elif (literal := _QUOTED.match(text) or _NUMBER.match(text)) and _CAST.fullmatch(text, literal.end()):
            text = literal[0]
    return text


def _closes_at_the_end(text: str) -> bool:
    depth = 0
    for position, character in enumerate(_QUOTED.sub(lambda quoted: "'" * len(quoted[0]), text)):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position == len(text) - 1
    return False


def comparable(sql: str) -> str:
    """Bring SQL into a form in which two spellings of the same are equal: no casts, parentheses, spaces or case."""
    pieces = _QUOTED.split(_CAST.sub("", _without_casts(sql)))
    # Every second piece is what stood in quotes, which stays as it is.
    return "'".join(piece if i % 2 else _plain_words(piece) for i, piece in enumerate(pieces))


def _plain_words(sql: str) -> str:
    words = re.sub(r"\b(?:true|false)\b", lambda word: normal_value(word[0]), sql.casefold())
    words = re.sub(r'[\s()"]', "", words)
    return "now" if words == "current_timestamp" else words


def literal_value(sql: str) -> str | None:
    """Return what a literal stands for, and None for an expression; numbers and booleans have one spelling each."""
    plain = _without_casts(sql)
    if literal := _QUOTED.fullmatch(plain):
        return normal_value(literal[1].replace("''", "'"))
    if _NUMBER.fullmatch(plain) or plain.casefold() in {"true", "false"}:
        return normal_value(plain)
    return None


def normal_value(value: str) -> str:
    """Spell a number or a boolean as every database would."""
    if value.casefold() in {"true", "false"}:
        return str(int(value.casefold() == "true"))
    try:
        return str(Decimal(value).normalize()) if _NUMBER.fullmatch(value) else value
    except InvalidOperation:
        return value


def is_same_default(one: sa.DefaultClause, other: sa.DefaultClause, dialect: sa.Dialect) -> bool:
    """Tell whether two server defaults mean the same, as far as their words show."""
    return _meaning(one, dialect) == _meaning(other, dialect)


def _meaning(default: sa.DefaultClause, dialect: sa.Dialect) -> str:
    if isinstance(default.arg, str):
        return normal_value(default.arg)
    sql = str(default.arg.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    value = literal_value(sql)
    return comparable(sql) if value is None else value
