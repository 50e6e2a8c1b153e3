"""Write the construction of a column type as source code, and prove by evaluating it that it is that type."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import NullType, TypeEngine

from fastapi_users_sqlmodel.migrations._expressions import text_argument
from fastapi_users_sqlmodel.migrations._source import is_literal

POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
SQLITE: Dialect = sqlite.dialect()

_DIALECT_MODULE = re.compile(r"sqlalchemy\.dialects\.(\w+)(?:\..*)?")
_ABSENT = object()


class NoSourceError(Exception):
    """No source was found that makes an equal type; the message says why, and reads on after "because"."""


@dataclass(frozen=True)
class Source:
    """Source code of a type, the import lines that it needs, and the foreign classes among them."""

    text: str
    imports: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()

    def with_variant(self, variant: "Source", dialect: str) -> "Source":
        """Return the source of the type with another type for one dialect."""
        return Source(
            f"{self.text}.with_variant({variant.text}, {dialect!r})",
            self.imports | variant.imports,
            self.foreign | variant.foreign,
        )


def ddl_of(type_: TypeEngine[Any], dialect: Dialect) -> str | None:
    """Return a type's DDL, or None when the dialect has no such type."""
    try:
        return type_.compile(dialect=dialect)
    except sa.exc.CompileError:
        return None


def construct(type_: TypeEngine[Any], render: Callable[[TypeEngine[Any]], Source]) -> Source:
    """Return source that makes an equal type: of SQLAlchemy's classes where one means the same, else with an import.

    `render` renders the types among its arguments.

    Raises:
        NoSourceError: No source makes an equal type.
    """
    reason = ""
    for prefix, cls in _classes(type(type_)):
        for is_shown in (False, True) if prefix.foreign else (False,):
            try:
                # A type that keeps its arguments under other names may still tell them in its repr().
                source = prefix.before(repr(type_)) if is_shown else prefix.called(cls, _arguments(type_, cls, render))
                _prove(source, type_)
            except NoSourceError as error:
                reason = reason or str(error)
            else:
                return source
    raise NoSourceError(reason or f"no module has the class {type(type_).__qualname__}")


def is_public(cls: type[TypeEngine[Any]]) -> bool:
    """Return whether a type is one of the names of `sqlalchemy`."""
    return getattr(sa, cls.__name__, None) is cls


@dataclass(frozen=True)
class _Prefix:
    """What stands before the name of a class, and the import that brings it."""

    text: str
    imports: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()

    def called(self, cls: type[Any], arguments: list[Source | str]) -> Source:
        texts = [each if isinstance(each, str) else each.text for each in arguments]
        sources = [each for each in arguments if isinstance(each, Source)]
        return Source(
            f"{self.text}{cls.__qualname__}({', '.join(texts)})",
            self.imports.union(*(each.imports for each in sources)),
            self.foreign.union(*(each.foreign for each in sources)),
        )

    def before(self, text: str) -> Source:
        return Source(f"{self.text}{text}", self.imports, self.foreign)


def _classes(cls: type[TypeEngine[Any]]) -> Iterator[tuple[_Prefix, type[Any]]]:
    """Yield the class and its bases as far as SQLAlchemy names them, nearest first, and at last the class as it is."""
    for each in cls.__mro__:
        if not issubclass(each, TypeEngine):
            continue
        if own := _DIALECT_MODULE.fullmatch(each.__module__):
            dialect = importlib.import_module(f"sqlalchemy.dialects.{own[1]}")
            if getattr(dialect, each.__name__, None) is each:
                yield _Prefix(f"{own[1]}.", frozenset({f"from sqlalchemy.dialects import {own[1]}"})), each
        elif is_public(each):
            yield _Prefix("sa."), each
        elif each is NullType:
            yield _Prefix("sa.types."), each
    module = cls.__module__
    if not module.startswith("sqlalchemy."):
        yield _Prefix(f"{module}.", frozenset({f"import {module}"}), frozenset({f"{module}.{cls.__qualname__}"})), cls


def _arguments(
    type_: TypeEngine[Any], cls: type[Any], render: Callable[[TypeEngine[Any]], Source]
) -> list[Source | str]:
    """Read the arguments of `__init__` from the attributes of the same name, as SQLAlchemy's own `repr()` does."""
    found: list[Source | str] = []
    seen: set[str] = set()
    for each in cls.__mro__:
        if (initialize := vars(each).get("__init__")) is None:
            continue
        parameters = list(inspect.signature(initialize).parameters.values())[1:]
        for parameter in parameters:
            if parameter.name in seen or parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                continue
            seen.add(parameter.name)
            value = getattr(type_, parameter.name, _ABSENT)
            is_default = parameter.default is not parameter.empty and _is_same(value, parameter.default)
            if value is _ABSENT or is_default or parameter.name.startswith("_"):
                continue
            source = _argument(parameter.name, value, render)
            is_positional = parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY
            found.append(source if is_positional else _named(parameter.name, source))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found


def _is_same(value: object, default: object) -> bool:
    # An object of SQL makes an expression of a comparison.
    return value is default or (
        not isinstance(value, ClauseElement) and type(value) is type(default) and value == default
    )


def _argument(name: str, value: object, render: Callable[[TypeEngine[Any]], Source]) -> Source | str:
    if isinstance(value, TypeEngine):
        return render(value)
    if isinstance(value, ClauseElement):
        return f"sa.text({text_argument(value)!r})"
    if not is_literal(value):
        raise NoSourceError(f"its argument {name} is {value!r}, which is no Python literal")
    return repr(value)


def _named(name: str, source: Source | str) -> Source | str:
    if isinstance(source, str):
        return f"{name}={source}"
    return Source(f"{name}={source.text}", source.imports, source.foreign)


@dataclass
class _Names:
    """The names that a migration has."""

    values: dict[str, Any] = field(default_factory=lambda: {"sa": sa})

    def add(self, line: str) -> None:
        if (own := re.fullmatch(r"from sqlalchemy\.dialects import (\w+)", line)) is not None:
            self.values[own[1]] = importlib.import_module(f"sqlalchemy.dialects.{own[1]}")
            return
        name = line.removeprefix("import ")
        try:
            importlib.import_module(name)
        except (ImportError, ValueError):
            raise NoSourceError(f"its module {name!r} cannot be imported") from None
        top = name.partition(".")[0]
        self.values[top] = importlib.import_module(top)


def _prove(source: Source, type_: TypeEngine[Any]) -> None:
    """Evaluate the source as the migration will, and compare the DDL with that of the type."""
    names = _Names()
    for line in sorted(source.imports):
        names.add(line)
    try:
        made = eval(source.text, names.values)  # noqa: S307  # our own text, the one that Alembic is going to run
    except (
        SyntaxError,
        NameError,
        AttributeError,
        TypeError,
        ValueError,
        LookupError,
        sa.exc.SQLAlchemyError,
    ) as error:
        raise NoSourceError(f"{source.text} does not make it: {type(error).__name__}: {error}") from None
    if not isinstance(made, TypeEngine):
        raise NoSourceError(f"{source.text} is no type")
    expected = {dialect.name: ddl_of(type_, dialect) for dialect in (POSTGRESQL, SQLITE)}
    for dialect in (POSTGRESQL, SQLITE):
        found, wanted = ddl_of(made, dialect), expected[dialect.name]
        if wanted is not None and found != wanted:
            raise NoSourceError(f"{source.text} is {found} on {dialect.name}, and not {wanted}")
    if not any(expected.values()) and type(made) is not type(type_):
        raise NoSourceError(f"neither PostgreSQL nor SQLite has the type {type_!r}")
