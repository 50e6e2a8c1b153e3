"""What a replayed statement must not do: reach another schema than the scratch, or outlive it."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, bindparam, event, text

_QUOTED_OR_COMMENT = re.compile(
    r"""(?P<quoted>\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*")"""
    r"|(?P<delimiter>(?<![\w$])\$(?:[^\W\d]\w*)?\$)(?P<body>.*?)(?P=delimiter)|(?P<line>--[^\n]*)|/\*",
    re.DOTALL,
)
_BLOCK_COMMENT_EDGE = re.compile(r"/\*|\*/")
_LITERAL = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_CONCURRENTLY = re.compile(r"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX)\b", re.IGNORECASE)
_CREATE = re.compile(r"(\s*CREATE\s+(?:SCHEMA|EXTENSION))\s+(?!IF\s+NOT\s+EXISTS\b|AUTHORIZATION\b)", re.IGNORECASE)

# Roles, privileges and the server belong to every database, and autogenerate compares none of them.
_OF_THE_SERVER = re.compile(
    r"\s*(?:(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER(?!\s+MAPPING)|GROUP|DATABASE|TABLESPACE|SUBSCRIPTION)|ALTER\s+SYSTEM"
    r"|ALTER\s+DEFAULT\s+PRIVILEGES|REASSIGN\s+OWNED|DROP\s+OWNED|COMMENT\s+ON\s+(?:DATABASE|ROLE)|GRANT|REVOKE)\b",
    re.IGNORECASE,
)
# What would end the transaction, at the start of a statement. In the body of a function the same words mean a block.
_ENDS_TRANSACTION = re.compile(
    r"(?:^|;)\s*(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|ABORT"
    r"|PREPARE\s+TRANSACTION|DISCARD|RESET|SET\s+(?:SESSION\s+|LOCAL\s+)?(?:schema|role|authorization)"
    r"|SET\s+SESSION\s+AUTHORIZATION)\b",
    re.IGNORECASE,
)
# What would lead to another schema or database, wherever it stands.
_LEADS_AWAY = re.compile(r"\bSET\s+(?:SESSION\s+|LOCAL\s+)?search_path\b|\bset_config\s*\(|\bdblink", re.IGNORECASE)

_OTHER_SCHEMAS = text("""
    SELECT nspname FROM pg_namespace
    WHERE nspname <> :scratch AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
""")
_REACHED = text("""
    SELECT l.relation, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND n.nspname IN :schemas AND c.relkind NOT IN ('i', 'I')
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 2
""").bindparams(bindparam("schemas", expanding=True))


class UnsafeStatementError(CommandError):
    """A revision says something that could reach more than the scratch."""


@contextmanager
def inside_a_scratch(connection: Connection, *, is_transaction: bool) -> Iterator[None]:
    """Let statements run that would fail in the scratch alone, and none that would change the whole server."""

    def rewrite(
        _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        plain = without_comments(statement)
        if _OF_THE_SERVER.match(plain) and ";" not in plain.rstrip("; \n\t"):
            return "SELECT 1", ()
        # The scratch is empty and private: an index needs no concurrency there, and a transaction does not allow it.
        if is_transaction and _CONCURRENTLY.match(plain):
            return re.sub(r"\s+CONCURRENTLY\b", "", plain, count=1, flags=re.IGNORECASE), parameters
        # Schemas and extensions of the real database are there from the start.
        if _CREATE.match(plain):
            return _CREATE.sub(r"\1 IF NOT EXISTS ", plain, count=1), parameters
        return statement, parameters

    event.listen(connection, "before_cursor_execute", rewrite, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", rewrite)


@contextmanager
def inside_a_schema(connection: Connection, scratch: str) -> Iterator[None]:
    """Refuse what reaches the other schemas of the database.

    A statement that names one of them, or that would leave the transaction or the `search_path`, is refused before it
    runs. What no text shows (a function that builds its SQL) shows in the locks: the first statement after which the
    transaction holds one on another schema's relation is refused, and everything is rolled back.

    Raises:
        UnsafeStatementError: A statement is refused.
    """
    others = list(connection.scalars(_OTHER_SCHEMAS, {"scratch": scratch}))
    named = _naming(others)
    held = _reached(connection, others)
    is_asking = False

    def before(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if is_asking:
            return
        # What is a comment in a function's body may be text in a literal: so both are searched.
        plain = without_comments(statement)
        if found := (
            _ENDS_TRANSACTION.search(_LITERAL.sub("''", plain))
            or _LEADS_AWAY.search(plain)
            or _LEADS_AWAY.search(statement)
        ):
            raise UnsafeStatementError(f"it says {_short(found[0])}, which would leave the scratch schema")
        if found := named.search(statement) or named.search(plain):
            raise UnsafeStatementError(f"it names the schema {found[1]!r}, which is the real one")

    def after(*_: object) -> None:
        nonlocal is_asking
        if is_asking:
            return
        is_asking = True
        try:
            reached = _reached(connection, others) - held
        finally:
            is_asking = False
        if reached:
            names = ", ".join(sorted(name for _, name in reached))
            raise UnsafeStatementError(f"it reached {names} of the real database (everything was rolled back)")

    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", before)
        event.remove(connection, "after_cursor_execute", after)


def without_comments(sql: str) -> str:
    """Replace each comment by a space, in the bodies of functions too; quotes keep what looks like one."""
    kept: list[str] = []
    position = 0
    while found := _QUOTED_OR_COMMENT.search(sql, position):
        kept.append(sql[position : found.start()])
        position = found.end()
        if found["quoted"] is not None:
            kept.append(found["quoted"])
        elif found["delimiter"] is not None:
            kept += [found["delimiter"], without_comments(found["body"]), found["delimiter"]]
        else:
            kept.append(" ")
            if found["line"] is None:
                position = _end_of_block_comment(sql, position)
    return "".join(kept) + sql[position:]


def _end_of_block_comment(sql: str, position: int) -> int:
    # PostgreSQL nests them.
    depth = 1
    for edge in _BLOCK_COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def _naming(schemas: Iterable[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(name) for name in schemas) or "(?!)"
    return re.compile(rf'(?<![\w$])"?({words})"?\s*\.', re.IGNORECASE)


def _reached(connection: Connection, schemas: list[str]) -> set[tuple[int, str]]:
    return {(row[0], row[1]) for row in connection.execute(_REACHED, {"schemas": schemas or [""]})}


def _short(sql: str) -> str:
    return repr(" ".join(sql.strip("; \n\t").split()))
