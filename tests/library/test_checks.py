"""What does not fit together in the models is named, a sentence each."""

import enum
import uuid
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Uuid
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry, relationship
from sqlmodel import Field, Relationship, SQLModel

from fastapi_users_sqlmodel import SQLAlchemyBaseUserTableUUID, SQLModelBaseUserTableUUID, check_models, model_problems
from tests.library.models import FORMS, Lazy, make_models


class Kind(enum.Enum):
    PUBLIC = "public"


class TestGoodModels:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("lazy", ["select", "raise"])
    def test_the_library_s_own(self, form: str, lazy: Lazy) -> None:
        base = make_models(form, lazy).base
        assert model_problems(base) == []
        check_models(base)

    def test_every_kind_of_column(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Anything(Base):
            __tablename__ = "anything"

            id: Mapped[int] = mapped_column(primary_key=True)
            uuid = mapped_column(Uuid, nullable=True)
            name: Mapped[str | None]
            kind: Mapped[Kind]
            notes: Mapped[str] = mapped_column(deferred=True)

        assert model_problems(Base) == []


class TestATableInAnotherMetadata:
    def test_in_sqlmodel_s_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Base(DeclarativeBase):
            pass

        elsewhere = registry(metadata=MetaData())
        Table("usergroup", elsewhere.metadata)
        monkeypatch.setattr("fastapi_users_sqlmodel.checks.default_registry", elsewhere)
        assert model_problems(Base) == [
            (
                "table usergroup is in SQLModel's own metadata, so create_all and migrations of this base miss it: "
                'give its class a base made with registry= (or allow={"usergroup"})'
            )
        ]

    def test_in_a_third(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __table__ = Table("item", MetaData(), Column("id", Integer, primary_key=True))

        assert model_problems(Base) == [
            (
                "Item: its table item is not in the registry's metadata, so create_all and migrations of this base "
                'miss it: make the table with metadata=Base.metadata (or allow={"Item"})'
            )
        ]
        check_models(Base, allow={"Item"})


class TestAForeignKey:
    def test_to_a_table_that_is_elsewhere(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))

        assert model_problems(Base) == [
            (
                "Item.user_id points to user.id, which is not in the same metadata, so the table cannot be created: "
                'declare both with one base (or allow={"Item.user_id"})'
            )
        ]

    def test_to_a_column_that_is_not_there(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int] = mapped_column(ForeignKey("item.number"))

        assert model_problems(Base) == [
            (
                "Item.parent_id points to item.number, which is not in the same metadata, so the table cannot be "
                'created: declare both with one base (or allow={"Item.parent_id"})'
            )
        ]

    def test_of_another_type(self) -> None:
        class Base(DeclarativeBase):
            pass

        class TableModel(SQLModel, registry=Base.registry):
            pass

        class User(SQLAlchemyBaseUserTableUUID, Base):
            pass

        class Item(TableModel, table=True):
            id: int = Field(default=None, primary_key=True)
            user_id: int = Field(foreign_key="user.id", ondelete="CASCADE")
            owner_id: str = Field(foreign_key="user.id", max_length=36, ondelete="CASCADE")

        remedy = "a join finds nothing, or the table cannot be created; give both the same type"
        assert model_problems(Base) == [
            (
                f"Item.user_id is INTEGER and points to user.id, which is CHAR(32) (on sqlite): {remedy} "
                '(or allow={"Item.user_id"})'
            ),
            (
                f"Item.owner_id is VARCHAR(36) and points to user.id, which is CHAR(32) (on sqlite): {remedy} "
                '(or allow={"Item.owner_id"})'
            ),
        ]
        assert model_problems(Base, allow={"Item.user_id", "Item.owner_id"}) == []
        assert "(on postgresql)" in model_problems(Base, dialect="postgresql")[0]

    def test_of_another_type_on_postgresql_alone(self) -> None:
        class Base(DeclarativeBase):
            pass

        class User(SQLAlchemyBaseUserTableUUID, Base):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[uuid.UUID] = mapped_column(
                Uuid(native_uuid=False), ForeignKey("user.id", ondelete="CASCADE")
            )

        [problem] = model_problems(Base)
        assert problem.startswith("Item.user_id is CHAR(32) and points to user.id, which is UUID (on postgresql): ")
        assert model_problems(Base, dialect="sqlite") == model_problems(Base, dialect=sqlite_dialect()) == []


class TestNull:
    def test_in_a_sqlalchemy_class(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str] = mapped_column(nullable=True)
            price: Mapped[int | None] = mapped_column(nullable=False)

        assert model_problems(Base) == [
            (
                "Item.title is never None by its annotation, and its column takes NULL, so that code which trusts the "
                "annotation fails on a row: make the column NOT NULL, or the annotation optional "
                '(or allow={"Item.title"})'
            ),
            (
                "Item.price may be None by its annotation, and its column is NOT NULL, so that None is an "
                'IntegrityError: make the column nullable, or the annotation not optional (or allow={"Item.price"})'
            ),
        ]

    def test_in_a_sqlmodel_class(self) -> None:
        class Base(DeclarativeBase):
            pass

        class TableModel(SQLModel, registry=Base.registry):
            pass

        class Item(TableModel, table=True):
            id: int | None = Field(default=None, primary_key=True)
            title: str = Field(nullable=True)
            price: int | None = Field(nullable=False)

        assert model_problems(Base) == [
            (
                "Item.title is never None by its annotation, and its column takes NULL, so that code which trusts the "
                "annotation fails on a row: make the column NOT NULL, or the annotation optional "
                '(or allow={"Item.title"})'
            ),
            (
                "Item.price may be None by its annotation, and its column is NOT NULL, so that None is an "
                'IntegrityError: make the column nullable, or the annotation not optional (or allow={"Item.price"})'
            ),
        ]


def declare(*, users: dict[str, Any], group: dict[str, Any] | None) -> type[DeclarativeBase]:
    """Declare users and groups with these relationships between them."""

    class Base(DeclarativeBase):
        pass

    class TableModel(SQLModel, registry=Base.registry):
        pass

    to_users = relationship("User", **users)

    class UserGroup(TableModel, table=True):
        id: int = Field(default=None, primary_key=True)
        users: list["User"] = Relationship(sa_relationship=to_users)

    to_group = None if group is None else relationship(UserGroup, **group)

    class User(SQLAlchemyBaseUserTableUUID, Base):
        group_id: Mapped[int | None] = mapped_column(ForeignKey("usergroup.id"), index=True)
        if to_group is not None:
            group = to_group

    keys: list[Column[Any]] = [
        Column(f"{name}_id", ForeignKey(f"{name}.id", ondelete="CASCADE"), primary_key=True)
        for name in ("user", "usergroup")
    ]
    Table("membership", Base.metadata, *keys)
    # A registry alone does not keep its classes alive.
    Base.declared = (User, UserGroup)
    return Base


TWO_SIDES = [
    f"{one} and {other} are two sides of one key, and a change on one side is not seen on the other one: "
    f'give {one} back_populates="{other.rpartition(".")[2]}" (or allow={{"{one}"}})'
    for one, other in (("User.group", "UserGroup.users"), ("UserGroup.users", "User.group"))
]


class TestARelationship:
    @pytest.mark.parametrize("lazy", ["selectin", "joined", "subquery", "immediate", False])
    def test_that_loads_without_bound(self, lazy: Any) -> None:
        base = declare(users={"lazy": lazy, "back_populates": "group"}, group={"back_populates": "users"})
        [problem] = model_problems(base)
        assert problem == (
            f"UserGroup.users loads all of its rows with every UserGroup (lazy={lazy!r}), which gets slower with each "
            'row: use lazy="raise" and load them where they are wanted (or allow={"UserGroup.users"})'
        )
        assert model_problems(base, allow={"UserGroup.users"}) == []
        check_models(base, allow=["UserGroup.users"])

    def test_to_one_that_loads_by_itself(self) -> None:
        base = declare(users={"back_populates": "group"}, group={"lazy": "joined", "back_populates": "users"})
        assert model_problems(base) == []

    def test_whose_other_side_does_not_point_back(self) -> None:
        base = declare(users={"back_populates": "group"}, group={})
        assert model_problems(base) == [
            (
                "UserGroup.users points to User.group, which does not point back, so a change on one side is not seen "
                'on the other one: give it back_populates="users" (or allow={"UserGroup.users"})'
            )
        ]

    def test_whose_other_side_is_not_named(self) -> None:
        base = declare(users={}, group={})
        assert model_problems(base) == TWO_SIDES
        assert model_problems(base, allow={"User.group"}) == TWO_SIDES[1:]

    def test_with_one_side(self) -> None:
        base = declare(users={}, group=None)
        assert model_problems(base) == []

    def test_that_only_looks(self) -> None:
        base = declare(users={"viewonly": True}, group={})
        assert model_problems(base) == []

    def test_with_a_backref(self) -> None:
        base = declare(users={"backref": "group"}, group=None)
        assert model_problems(base) == []

    def test_to_the_same_table(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Node(Base):
            __tablename__ = "node"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
            children = relationship("Node")

        assert model_problems(Base) == []

    def test_of_many_to_many(self) -> None:
        base = declare(users={"secondary": "membership"}, group={"secondary": "membership"})
        assert model_problems(base) == TWO_SIDES
        assert model_problems(base, allow={"User.group"}) == TWO_SIDES[1:]


class TestModelsThatSQLAlchemyRefuses:
    def test_its_words_are_passed_on(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            owner = relationship("Nobody")

        [problem] = model_problems(Base)
        assert "expression 'Nobody' failed to locate a name" in problem


class TestCheckModels:
    def test_everything_is_said_at_once(self) -> None:
        class Base(DeclarativeBase):
            pass

        class TableModel(SQLModel, registry=Base.registry):
            pass

        class User(SQLModelBaseUserTableUUID, TableModel, table=True):
            name: str = Field(nullable=True)

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int] = mapped_column(Integer, ForeignKey("user.id"))

        assert len(model_problems(Base)) == 3
        with pytest.raises(InvalidRequestError) as refused:
            check_models(Base)
        said = str(refused.value).splitlines()
        assert said[0] == "the models do not fit together:"
        assert [line.partition(":")[0] for line in said[1:]] == [
            "- Item.user_id is INTEGER and points to user.id, which is CHAR(32) (on sqlite)",
            (
                "- User.name is never None by its annotation, and its column takes NULL, so that code which trusts the "
                "annotation fails on a row"
            ),
            (
                "- Item.user_id points to User without ON DELETE, so that deleting an account fails while there is "
                "such a row"
            ),
        ]
