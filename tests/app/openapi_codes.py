"""Which failures an endpoint can raise, read off the code of the service: the endpoint's and all that it calls."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

from fastapi.params import Depends

from app.core.errors import APIError


def failures(function: Callable[..., Any], owner: type | None = None) -> set[type[APIError]]:
    """Return the failures that are named in a function, in what it depends on, or in what they call.

    A method is followed when its object is `self`, an annotated argument, or made in the function; a failure that is
    caught counts as well.
    """
    found: set[type[APIError]] = set()
    seen: set[Callable[..., Any]] = set()
    waiting: list[tuple[Callable[..., Any], type | None]] = [(function, owner)]
    while waiting:
        function, owner = waiting.pop()
        function = inspect.unwrap(function)
        if function in seen or not is_ours(function):
            continue
        seen.add(function)
        found |= set(named(function, owner))
        waiting += called(function, owner)
    return found


def is_ours(thing: Any) -> bool:
    """Tell whether a function or class is one of the service."""
    return (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__.startswith("app.")


def named(function: Callable[..., Any], owner: type | None) -> Iterator[type[APIError]]:
    """Yield the failures whose names stand in a function, or that its class has in an attribute."""
    for node in ast.walk(tree(function)):
        match node:
            case ast.Name(id=name):
                value = vars(inspect.getmodule(function)).get(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                value = getattr(owner, name, None)
            case _:
                continue
        for error in value.values() if isinstance(value, dict) else [value]:
            if inspect.isclass(error) and issubclass(error, APIError) and error is not APIError:
                yield error


def called(function: Callable[..., Any], owner: type | None) -> Iterator[tuple[Callable[..., Any], type | None]]:
    """Yield what a function depends on and what it calls, methods with their class."""
    types = {**get_type_hints(function), "self": owner}
    for hint in get_type_hints(function, include_extras=True).values():
        for extra in get_args(hint)[1:]:
            if isinstance(extra, Depends) and extra.dependency is not None:
                yield extra.dependency, None
    names = vars(inspect.getmodule(function))
    nodes = list(ast.walk(tree(function)))
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=kind))):
                types[name] = names.get(kind)
            case _:
                pass
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name(id=name)) if is_ours(names.get(name)) and not inspect.isclass(names[name]):
                yield names[name], None
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                yield from method_of(types.get(name), method)
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id=name)), attr=method)):
                yield from inherited(owner, method) if name == "super" else method_of(names.get(name), method)
            case _:
                pass


def method_of(kind: Any, name: str) -> Iterator[tuple[Callable[..., Any], type | None]]:
    """Yield the method of a class of ours, if it has one."""
    if is_ours(kind) and inspect.isfunction(method := getattr(kind, name, None)):
        yield method, kind


def inherited(kind: type | None, name: str) -> Iterator[tuple[Callable[..., Any], type | None]]:
    """Yield the method that a class overrides."""
    for base in kind.__mro__[1:] if kind else ():
        if inspect.isfunction(method := vars(base).get(name)):
            yield method, kind
            return


def tree(function: Callable[..., Any]) -> ast.Module:
    """Parse a function, without its decorators, whose words are about OpenAPI."""
    module = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = []
    return module
