"""Read from the migrations' own source what they do to PostgreSQL's enums, of which nothing is seen on SQLite."""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

_TEXT = r"'((?:[^']|'')*)'"
_NAME = r'((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)'
_STATEMENT = re.compile(
    rf"""
    create\s+type\s+{_NAME}\s+as\s+enum\s*\((?P<members>[^)]*)\)
    |alter\s+type\s+{_NAME}\s+add\s+value\s+(?:if\s+not\s+exists\s+)?{_TEXT}(?:\s+(before|after)\s+{_TEXT})?
    |alter\s+type\s+{_NAME}\s+rename\s+value\s+{_TEXT}\s+to\s+{_TEXT}
    """,
    re.IGNORECASE | re.VERBOSE,
)

type Change = Callable[[list[str]], list[str]]


def members_in_history(script: ScriptDirectory | None) -> Callable[[str, Sequence[str]], Sequence[str]]:
    """Return a function of a type's name and of the members that its columns had, that returns those it has at head."""
    changes = [] if script is None else [change for path in _paths(script) for change in _changes(path)]

    def members(name: str, known: Sequence[str]) -> Sequence[str]:
        found = list(known)
        for changed, change in changes:
            if changed == name:
                found = change(found)
        return found

    return members


def _paths(script: ScriptDirectory) -> Iterator[Path]:
    revisions = list(script.walk_revisions())
    yield from (Path(str(revision.path)) for revision in reversed(revisions))


def _changes(path: Path) -> Iterator[tuple[str, Change]]:
    tree = ast.parse(path.read_bytes())
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade")]
    for node in _in_order(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _of_sql(node.value.replace(r"\:", ":"))
        elif isinstance(node, ast.Call) and (created := _created(node)) is not None:
            yield created


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _of_sql(sql: str) -> Iterator[tuple[str, Change]]:
    for match in _STATEMENT.finditer(sql):
        created, members, extended, added, place, beside, renamed, old, new = match.groups()
        if created is not None:
            yield _plain(created), _replaced([_text(each) for each in re.findall(_TEXT, members)])
        elif extended is not None:
            yield _plain(extended), _added(_text(added), place, None if beside is None else _text(beside))
        else:
            yield _plain(renamed), _renamed(_text(old), _text(new))


def _created(call: ast.Call) -> tuple[str, Change] | None:
    """Recognise `sa.Enum(…, name=…).create(…)`, as our own migrations write it."""
    made = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == "create" else None
    if not isinstance(made, ast.Call) or not ast.unparse(made.func).casefold().endswith("enum"):
        return None
    options: dict[str | None, Any] = {
        each.arg: each.value.value for each in made.keywords if isinstance(each.value, ast.Constant)
    }
    members = [str(each.value) for each in made.args if isinstance(each, ast.Constant)]
    if "name" not in options:
        return None
    schema = options.get("schema")
    return _plain(options["name"] if schema is None else f"{schema}.{options['name']}"), _replaced(members)


def _plain(name: str) -> str:
    # The types of the default schema are known without it.
    return name.replace('"', "").removeprefix("public.")


def _text(quoted: str) -> str:
    return quoted.replace("''", "'")


def _replaced(members: list[str]) -> Change:
    return lambda _: members


def _added(member: str, place: str | None, beside: str | None) -> Change:
    def add(members: list[str]) -> list[str]:
        if member in members:
            return members
        position = len(members)
        if beside is not None and beside in members:
            position = members.index(beside) + (str(place).casefold() == "after")
        return [*members[:position], member, *members[position:]]

    return add


def _renamed(old: str, new: str) -> Change:
    return lambda members: [new if member == old else member for member in members]
