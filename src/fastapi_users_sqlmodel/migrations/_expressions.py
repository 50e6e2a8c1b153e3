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
PORTABLE: sa.Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # left untyped there

_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_CAST = re.compile(
    r"::\s*(?:\"[^\"]+\"|[\w.]+)(?:\s(?:varying|precision|with(?:out)? time zone))?(?:\([\d, ]+\))?(?:\[\])?"
)
# With a dollar sign and a tag, PostgreSQL's other quotes.
_TEXT = re.compile(r"'(?:[^']|'')*'|(\$\w*\$).*?\1", re.DOTALL)
_QUOTED_NAME = re.compile(r'"((?:[^"]|"")+)"')
_LOWER_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")
_LITERAL = re.compile(rf"{_QUOTED.pattern}|{_NUMBER.pattern}|NULL\b", re.IGNORECASE)
# Where sa.text() would see a parameter, or take a backslash for an escape.
_COLON = re.compile(r"\\(?=:\w*(?![:\w]))|(?<![:\w\\])(?=:\w+(?![:\w]))")


def portable_sql(expression: Any) -> str:
    """Compile an expression in words that SQLite and PostgreSQL share, as the database is to get them."""
    if not isinstance(expression, ClauseElement):
        return str(expression)
    if isinstance(expression, TextClause) and any(
        getattr(part, "required", False) for part in expression.get_children()
    ):
        # Reflection makes text of what the database has said, without escapes: its colons look like parameters.
        return expression.text
    return str(expression.compile(dialect=PORTABLE, compile_kwargs={"literal_binds": True, "include_table": False}))


def text_argument(expression: Any) -> str:
    """Return what `sa.text()` needs to be the expression: its SQL, with a backslash before each colon that needs one.

    A string is returned as it is: CHECKs and computed columns take a string for the argument of `sa.text()` too.
    """
    return escaped(portable_sql(expression)) if isinstance(expression, ClauseElement) else str(expression)


def escaped(sql: str) -> str:
    """Escape the colons of SQL that `sa.text()` would take for parameters."""
    return _COLON.sub(lambda found: "\\" + found[0], sql)


def render_server_default(default: object, _context: AutogenContext) -> str | None:
    """Render as source code, or return None where Alembic's own rendering is the best there is."""
    if not isinstance(default, sa.DefaultClause):
        return _render_computed(default) if isinstance(default, sa.Computed) else None
    argument: Any = default.arg
    if isinstance(argument, str):
        return repr(argument)
    if isinstance(argument, TextClause):
        sql = argument.text if default.reflected else portable_sql(argument)
        return _render_text(sql, getattr(default, "column", None))
    if isinstance(argument, sa.True_ | sa.False_):
        return _render_boolean(isinstance(argument, sa.True_))
    if isinstance(argument, FunctionElement) and not list(argument.clauses):
        return f"sa.func.{argument.name}()"
    return f"sa.text({text_argument(argument)!r})"


def _render_computed(computed: sa.Computed) -> str:
    persisted = "" if computed.persisted is None else f", persisted={computed.persisted}"
    return f"sa.Computed({text_argument(computed.sqltext)!r}{persisted})"


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
    return f"sa.text({escaped(plain if _NUMBER.fullmatch(plain) else text)!r})"


def _without_casts(text: str) -> str:
    """Take away the parentheses and casts around a whole expression, with which databases give a default back."""
    before = None
    while before != text:
        before = text = text.strip()
        if text.startswith("(") and _closes_at_the_end(text):
            text = text[1:-1]
        elif (literal := _LITERAL.match(text)) and _CAST.fullmatch(text, literal.end()):
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
    """Bring SQL into a form that is equal for two texts that differ only in white space, case or doubled parentheses.

    What stands in quotes stays as it is: text, and names that are written in quotes because of their case. Other
    parentheses and casts stay too, because they may change the meaning.
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        # No SQL has this character.
        return f"\0{len(kept) - 1}\0"

    def name(found: re.Match[str]) -> str:
        return found[1] if _LOWER_NAME.fullmatch(found[1]) else keep(found)

    words = _TEXT.sub(keep, _without_casts(sql))
    words = _plain_words(_QUOTED_NAME.sub(name, words))
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], words)


def _plain_words(sql: str) -> str:
    words = re.sub(r"\b(?:true|false)\b", lambda word: normal_value(word[0]), sql.casefold())
    # A space means something between two words only.
    words = re.sub(r"(?<!\w) | (?!\w)", "", " ".join(words.split()))
    words = _without_doubled_parentheses(words)
    return "now()" if words == "current_timestamp" else words


def _without_doubled_parentheses(words: str) -> str:
    opened: list[int] = []
    pairs: dict[int, int] = {}
    for position, character in enumerate(words):
        if character == "(":
            opened.append(position)
        elif character == ")" and opened:
            pairs[opened.pop()] = position
    doubled = {position for position, end in pairs.items() if pairs.get(position + 1) == end - 1}
    gone = doubled | {pairs[position] for position in doubled}
    return "".join(character for position, character in enumerate(words) if position not in gone)


def is_null(sql: str) -> bool:
    """Return whether a default is NULL, which is what a column has without one."""
    return _without_casts(sql).casefold() == "null"


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
    """Return whether two server defaults mean the same, as far as their words show."""
    return _meaning(one, dialect) == _meaning(other, dialect)


def _meaning(default: sa.DefaultClause, dialect: sa.Dialect) -> str:
    column: sa.Column[Any] | None = getattr(default, "column", None)
    type_ = None if column is None else column.type
    if isinstance(default.arg, str):
        return normal_value(default.arg, type_)
    sql = str(default.arg.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    value = literal_value(sql, type_)
    return comparable(sql) if value is None else value
