"""Groups of users: a SQLModel table."""

from typing import TYPE_CHECKING

from sqlalchemy import false
from sqlmodel import Field, Relationship

from app.models.base import TableModel

if TYPE_CHECKING:
    from app.models.user import User


class UserGroup(TableModel, table=True):
    """A group of users; who is in a public one, anyone may know by name."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True, index=True)
    is_public: bool = Field(default=False, sa_column_kwargs={"server_default": false()})

    users: list["User"] = Relationship(
        back_populates="group", passive_deletes="all", sa_relationship_kwargs={"lazy": "raise"}
    )
