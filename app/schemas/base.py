"""Base classes of the schemas: what comes in is validated, and what goes out is not validated again."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic.fields import FieldInfo

from fastapi_users_sqlmodel.schemas import storable


def _without_validators(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) in {Union, UnionType}:
        return Union[tuple(_without_validators(part) for part in get_args(annotation))]  # noqa: UP007  # As a value
    return annotation


class Schema(BaseModel):
    """A body that goes out, read from a row.

    Of a field that a table and its schemas share, only the type is kept: its validators are for what comes in, and a
    row that was written in SQL is still readable.
    """

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Take the validators and defaults out of the fields."""
        for field in cls.model_fields.values():
            field.annotation, field.metadata = _without_validators(field.annotation), []
            field.default, field.default_factory = FieldInfo().default, None
        cls.model_rebuild(force=True)


class Row(Schema):
    """A row with an integer key."""

    id: int


class Input(BaseModel):
    """A body that comes in. An unknown field is refused, and text that not every database can hold."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        return storable(value) if isinstance(value, str) else value


class Changes(Input):
    """The body of an update: each field may be left out, and null is refused where the column takes none."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Make the fields optional, without making null one of their values."""
        for field in cls.model_fields.values():
            if field.is_required():
                field.default_factory = lambda: None
        cls.model_rebuild(force=True)
