"""Groups of users: a SQLModel table."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Strict
from sqlalchemy import false
from sqlmodel import Field, Relationship

from app.models.base import IntegerKey, TableModel
from app.models.fields import Text

if TYPE_CHECKING:
    from app.models.user import User


class UserGroupBase(BaseModel):
    """The fields of a group that its table and its schemas share."""

    name: Text = Field(max_length=100, unique=True, index=True)
    is_public: Annotated[bool, Strict()] = Field(default=False, sa_column_kwargs={"server_default": false()})


class UserGroup(TableModel, UserGroupBase, IntegerKey, table=True):
    """A group of users. Anyone may read the names of a public group's members."""

    users: list["User"] = Relationship(
        back_populates="group", passive_deletes="all", sa_relationship_kwargs={"lazy": "raise"}
    )
