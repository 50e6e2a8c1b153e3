"""The fields that a route may set: those of its schema, unless the manager names its own."""

from collections.abc import Callable, Coroutine
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import Depends
from fastapi_users.schemas import BaseUserCreate, BaseUserUpdate
from pydantic import BaseModel

from fastapi_users_sqlmodel._wiring import class_made_by
from fastapi_users_sqlmodel.manager import BaseUserManager

# Fields that the manager looks after by itself, and columns that no schema may open.
_OF_THE_LIBRARY = {*BaseUserCreate.model_fields, *BaseUserUpdate.model_fields}
_OF_THE_LIBRARY |= {"current_password", "id", "oauth_accounts"}
_CLOSED = frozenset({"hashed_password", "email_canonical"})


def with_fields(get_user_manager: Any, **schemas: type[BaseModel]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a dependency on the request's manager, with allow-lists that follow from schemas.

    A list that the project has set on its manager's class stays as it is.

    Args:
        get_user_manager: The dependency that returns the manager.
        **schemas: By the name of a list, such as `own_fields`: the schema whose fields it has.

    Raises:
        ValueError: A field of a schema is not in the list that the project has set, or no schema may have it.
    """
    lists = {name: _fields(schema) for name, schema in schemas.items()}
    found = _manager_class(get_user_manager)
    for name, fields in lists.items():
        allowed = getattr(found, name) if found is not None and _is_set(found, name) else fields - _CLOSED
        _refuse(fields - allowed, schemas[name], f"{name} of the user manager")

    async def get_manager(user_manager: Any = Depends(get_user_manager)) -> Any:
        for name, fields in lists.items():
            if not _is_set(type(user_manager), name):
                setattr(user_manager, name, fields | (getattr(BaseUserManager, name) & _OF_THE_LIBRARY))
        return user_manager

    return get_manager


def require_listed(get_user_manager: Any, schema: type[BaseModel]) -> None:
    """Refuse a schema for users and superusers alike, if neither list of the manager names one of its fields.

    Raises:
        ValueError: With the names of the fields.
    """
    if (found := _manager_class(get_user_manager)) is not None:
        listed = found.own_fields | found.superuser_fields
        _refuse(_fields(schema) - listed, schema, f"own_fields or superuser_fields of {found.__name__}")


def _fields(schema: type[BaseModel]) -> frozenset[str]:
    return frozenset(schema.model_fields.keys() - _OF_THE_LIBRARY)


def _manager_class(get_user_manager: Any) -> type[BaseUserManager[Any, Any]] | None:
    return class_made_by(get_user_manager, lambda found: issubclass(found, BaseUserManager))


def _is_set(manager: type[Any], name: str) -> bool:
    return getattr(manager, name, None) is not getattr(BaseUserManager, name)


def _refuse(fields: AbstractSet[str], schema: type[BaseModel], lists: str) -> None:
    if fields:
        raise ValueError(
            f"{schema.__name__} has {', '.join(sorted(fields))}, which is not in {lists}, so that each request with "
            "it would be refused with 422: add the name there, or take the field out of the schema"
        )
