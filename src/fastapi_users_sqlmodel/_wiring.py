"""How an app is put together, as far as it can be read without a request: routes, guards and dependencies."""

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from fastapi import params, routing
from starlette.routing import Mount

from fastapi_users_sqlmodel.csrf import CSRFMiddleware


@dataclass(frozen=True, slots=True)
class Guard:
    """A `CSRFMiddleware`; the app that it stands in front of is mounted at `prefix`."""

    prefix: str
    cookie_name: str
    login_paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class FoundRoute:
    """A route, by its path from the outermost app."""

    path: str
    name: str
    methods: frozenset[str]
    # Of its endpoint.
    module: str
    # Under `responses`, as examples.
    codes: frozenset[str]
    # Everything that its dependencies call.
    calls: tuple[Any, ...]
    guards: tuple[Guard, ...]


def find_routes(app: Any) -> list[FoundRoute]:
    """Return the routes of an app and of all that is mounted in it, whatever middleware is around."""
    return list(_routes_of(app, "", (), ()))


def _routes_of(app: Any, prefix: str, guards: tuple[Guard, ...], above: tuple[Any, ...]) -> Iterator[FoundRoute]:
    # Middleware around an app, by hand or as `Mount(middleware=…)`: by convention it keeps the app under this name.
    while not hasattr(app, "routes") and hasattr(app, "app"):
        if isinstance(app, CSRFMiddleware):
            guards = (*guards, Guard(prefix, app.cookie_name, app.login_paths))
        app = app.app
    if any(app is one for one in above):
        return
    for middleware in getattr(app, "user_middleware", ()):
        cls, options = middleware.cls, middleware.kwargs
        if isinstance(cls, type) and issubclass(cls, CSRFMiddleware) and "cookie_name" in options:
            paths = frozenset(path.rstrip("/") for path in options.get("login_paths", ()))
            guards = (*guards, Guard(prefix, options["cookie_name"], paths))
    for route in _flat(getattr(app, "routes", ())):
        original = getattr(route, "original_route", route)
        path = prefix + (getattr(route, "path", None) or "")
        if isinstance(original, Mount):
            yield from _routes_of(original.app, path, guards, (*above, app))
        elif getattr(route, "endpoint", None) is not None:
            yield FoundRoute(
                path,
                getattr(route, "name", None) or "",
                frozenset(getattr(route, "methods", None) or ()),
                getattr(route.endpoint, "__module__", None) or "",
                frozenset(_codes(getattr(route, "responses", None) or {})),
                tuple(_calls(getattr(route, "dependant", None))),
                guards,
            )


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    """Return the routes in a row: since FastAPI 0.137 they are a tree, because routers may be added to late."""
    flatten: Callable[[Sequence[Any]], Iterator[Any]] | None = getattr(routing, "iter_route_contexts", None)
    return flatten(routes) if flatten is not None else iter(routes)


def _codes(responses: dict[Any, Any]) -> Iterator[str]:
    for response in responses.values():
        contents = response.get("content", {}) if isinstance(response, dict) else {}
        yield from (name for name in contents.get("application/json", {}).get("examples", {}))


def _calls(dependant: Any) -> Iterator[Any]:
    for each in getattr(dependant, "dependencies", ()):
        yield each.call
        yield from _calls(each)


def made_by(dependency: Callable[..., Any]) -> Any:
    """Return what a dependency makes outside of a request; None if it fails, waits, or is a generator.

    What it depends on is made in the same way, and is None where that is impossible: a strategy, for example, only
    keeps the database that it is given.
    """
    if inspect.isgeneratorfunction(dependency) or inspect.isasyncgenfunction(dependency):
        return None
    try:
        made = dependency(**_arguments(dependency))
        if not inspect.iscoroutine(made):
            return made
        made.send(None)
    except StopIteration as finished:
        return finished.value
    except Exception:  # noqa: BLE001  # A project's dependency that misses its request may raise any error
        return None
    made.close()
    return None


def _arguments(dependency: Callable[..., Any]) -> dict[str, Any]:
    arguments = {}
    for parameter in inspect.signature(dependency, eval_str=True).parameters.values():
        if parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            continue
        marks = (parameter.default, *getattr(parameter.annotation, "__metadata__", ()))
        depends = next((mark for mark in marks if isinstance(mark, params.Depends)), None)
        if depends is not None:
            arguments[parameter.name] = made_by(depends.dependency) if depends.dependency is not None else None
        elif parameter.default is inspect.Parameter.empty:
            arguments[parameter.name] = None
    return arguments


def class_made_by(dependency: Any, is_wanted: Callable[[type[Any]], bool]) -> type[Any] | None:
    """Return the wanted class that a dependency says it returns, or that its code names; None if neither."""
    if isinstance(dependency, functools.partial):
        dependency = dependency.func
    function = inspect.unwrap(dependency)
    if isinstance(function, type):
        return function if is_wanted(function) else None
    if not isinstance(function, types.FunctionType | types.MethodType):
        # An instance of a class with `__call__`.
        function = type(function).__call__
    if isinstance(function, types.MethodType):
        function = function.__func__
    if not isinstance(function, types.FunctionType):
        return None
    found = [each for each in (*_returned(function), *_named(function)) if isinstance(each, type) and is_wanted(each)]
    return found[0] if found else None


def _returned(function: types.FunctionType) -> Iterator[Any]:
    try:
        annotation = get_type_hints(function).get("return")
    except (AttributeError, NameError, TypeError):
        # For type checkers alone, or wrong.
        return
    yield from _parts(annotation)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    yield getattr(annotation, "__origin__", None)
    for each in get_args(annotation):
        yield from _parts(each)


def _named(function: types.FunctionType) -> Iterator[Any]:
    names = function.__code__.co_names
    known = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:
            # Not assigned yet.
            continue
    for name in (*names, *function.__code__.co_freevars):
        named = known.get(name)
        yield named
        if isinstance(named, types.ModuleType):
            yield from (getattr(named, attribute, None) for attribute in names)
