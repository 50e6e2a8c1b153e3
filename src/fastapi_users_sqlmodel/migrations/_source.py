"""Keep what has no Python source out of a migration, and say in a comment what is left out."""

import ast
from collections.abc import Iterable
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops


class CommentOp(ops.OpContainer):
    """A comment between the operations of a migration.

    It is a container without operations, so that `alembic check` does not list it among the differences.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class PassOp(ops.OpContainer):
    """A statement for a function that would otherwise have comments only."""


@renderers.dispatch_for(PassOp)
def _render_pass(_: AutogenContext, __: PassOp) -> str:
    return "pass"


@renderers.dispatch_for(CommentOp)
def _render_comment(_: AutogenContext, op: CommentOp) -> list[str]:
    return [f"# {line}" for line in op.text.splitlines()]


def is_literal(value: object) -> bool:
    """Return whether `repr()` of a value is Python source for an equal value."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False


def with_source(operations: Iterable[ops.MigrateOperation]) -> Iterable[ops.MigrateOperation]:
    """Prepare what Alembic would write with `repr()` alone: a table's `info` and prefixes."""
    for op in operations:
        if isinstance(op, ops.CreateTableOp):
            op.info, left_out = _literals(op.info or {})
            if left_out:
                names = ", ".join(repr(key) if is_literal(key) else type(key).__name__ for key in left_out)
                yield CommentOp(
                    f"info of the table {str(op.table_name)!r} is left out for {names}: it has no Python literal."
                )
            if op.prefixes:
                # Alembic puts these between single quotes as they are.
                op.prefixes = [_in_single_quotes(prefix) for prefix in op.prefixes]
        yield op


def _literals(info: dict[Any, Any]) -> tuple[dict[Any, Any], list[Any]]:
    kept = {key: value for key, value in info.items() if is_literal(key) and is_literal(value)}
    return kept, [key for key in info if key not in kept]


def _in_single_quotes(text: str) -> str:
    # repr() chooses single quotes for a text with double ones.
    return repr(f'"{text}')[2:-1]
