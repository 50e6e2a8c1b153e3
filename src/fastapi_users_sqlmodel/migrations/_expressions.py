"""Write server defaults, CHECKs and other SQL so that either database understands it."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ClauseElement, TextClause
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

# PostgreSQL's spelling of literals (`true` for instance) is the one that both databases read; with named parameters,
# because some drivers' style doubles the percent sign.
_PORTABLE: sa.Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # left untyped there

_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_CAST = re.compile(
    r"::\s*(?:\"[^\"]+\"|[\w.]+)(?:\s(?:varying|precision|with(?:out)? time zone))?(?:\([\d, ]+\))?(?:\[\])?"
)
# With a dollar sign and a tag, PostgreSQL's other quotes.
_TEXT = re.compile(r"'(?:[^']|'')*'|(\$\w*\$).*?\1", re.DOTALL)
_QUOTED_NAME = re.compile(r'"((?:[^"]|"")+)"')
_LOWER_NAME = re.compile(r"[a-z_][a-z0-9_]*")
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
    """Bring SQL into a form in which two spellings of the same are equal: no casts, parentheses, spaces or case.

    What stands in quotes keeps its case: text, and names that are written in quotes because of their case.
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        # No SQL has this character.
        return f"\0{len(kept) - 1}\0"

    def name(found: re.Match[str]) -> str:
        return found[1] if _LOWER_NAME.fullmatch(found[1]) else keep(found)

    # A cast may name its type in quotes.
    words = _CAST.sub("", _TEXT.sub(keep, _without_casts(sql)))
    words = _plain_words(_QUOTED_NAME.sub(name, words))
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], words)


def _plain_words(sql: str) -> str:
    words = re.sub(r"\b(?:true|false)\b", lambda word: normal_value(word[0]), sql.casefold())
    words = re.sub(r"[\s()]", "", words)
    return "now" if words == "current_timestamp" else words


def literal_value(sql: str, type_: TypeEngine[Any] | None = None) -> str | None:
    """Return what a literal stands for in a column of a type, and None for an expression."""
    plain = _without_casts(sql)
    if literal := _QUOTED.fullmatch(plain):
        return normal_value(literal[1].replace("''", "'"), type_)
    if _NUMBER.fullmatch(plain) or plain.casefold() in {"true", "false"}:
        return normal_value(plain, type_)
    return None


def normal_value(value: str, type_: TypeEngine[Any] | None = None) -> str:
    """Spell a number or a boolean as every database would; in a column of text it is text."""
    if type_ is not None and _is_text(type_):
        return value
    if value.casefold() in {"true", "false"}:
        return str(int(value.casefold() == "true"))
    try:
        return str(Decimal(value).normalize()) if _NUMBER.fullmatch(value) else value
    except InvalidOperation:
        return value


def _is_text(type_: TypeEngine[Any]) -> bool:
    while isinstance(type_, sa.types.TypeDecorator):
        type_ = type_.impl_instance
    return isinstance(type_, sa.String)


def is_same_default(one: sa.DefaultClause, other: sa.DefaultClause, dialect: sa.Dialect) -> bool:
    """Tell whether two server defaults mean the same, as far as their words show."""
    return _meaning(one, dialect) == _meaning(other, dialect)


def _meaning(default: sa.DefaultClause, dialect: sa.Dialect) -> str:
    column: sa.Column[Any] | None = getattr(default, "column", None)
    type_ = None if column is None else column.type
    if isinstance(default.arg, str):
        return normal_value(default.arg, type_)
    sql = str(default.arg.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    value = literal_value(sql, type_)
    return comparable(sql) if value is None else value
