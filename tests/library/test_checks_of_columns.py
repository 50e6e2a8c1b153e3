"""The checks of columns: ordinary apps pass, and what fails later is named."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, NewType

import pytest
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field as Attribute
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from fastapi_users_sqlmodel import (
    BaseUserManager,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
    model_problems,
    schemas,
)

type Maybe = str | None
type Described = Annotated[str | None, "described"]
type Alias = Maybe
type Name = str
UserId = NewType("UserId", uuid.UUID)
Number = NewType("Number", int)


class Vector(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VECTOR(3)"


def pair(here: Any, there: Any, **options: Any) -> list[str]:
    """Check a foreign key of one type to a column of another one."""

    class Base(DeclarativeBase):
        pass

    Table("parent", Base.metadata, Column("code", there, primary_key=True))

    class Child(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_code = mapped_column(here, ForeignKey("parent.code"))

    return model_problems(Base, **options)


class TestTypesOfForeignKeys:
    @pytest.mark.parametrize(
        ("here", "there"),
        [
            (postgresql.UUID, Uuid),
            (postgresql.UUID(as_uuid=True), Uuid),
            (Uuid, postgresql.UUID),
            (postgresql.INET, postgresql.INET),
            (postgresql.CITEXT, postgresql.CITEXT),
            (postgresql.CITEXT, String(100)),
            (postgresql.ENUM("a", name="letter"), postgresql.ENUM("a", name="letter")),
            (Vector, Vector),
            (String, String(24)),
            (String(24), String),
            (String(24), String(24)),
            (String(40), String(24)),
            (Text, String(24)),
            (AutoString, String(24)),
            (AutoString(24), Text),
            (BigInteger, Integer),
            (Integer, SmallInteger),
            (BigInteger().with_variant(Integer, "sqlite"), BigInteger),
            (Numeric(10, 2), Numeric(10, 2)),
        ],
        ids=repr,
    )
    def test_fit(self, here: Any, there: Any) -> None:
        # CITEXT compares without case, VARCHAR does not; the database is asked nothing about it on SQLite alone.
        expected = 1 if isinstance(there, String) and here is postgresql.CITEXT else 0
        assert len(pair(here, there)) == expected

    @pytest.mark.parametrize(
        ("here", "there", "dialect"),
        [
            (String(24), String(36), "sqlite"),
            (AutoString(24), String(36), "sqlite"),
            (Integer, BigInteger, "postgresql"),
            (Integer, Uuid, "sqlite"),
            (String(36), Uuid, "sqlite"),
            (postgresql.INET, String(40), "postgresql"),
            (String(36), postgresql.UUID, "postgresql"),
            (Vector, Integer, "sqlite"),
        ],
        ids=repr,
    )
    def test_do_not_fit(self, here: Any, there: Any, dialect: str) -> None:
        [problem] = pair(here, there)
        assert problem.startswith("Child.parent_code is ")
        assert f"(on {dialect}): a join finds nothing, or the table cannot be created" in problem
        assert problem.endswith('(or allow={"Child.parent_code"})')

    def test_in_the_database_that_is_used(self) -> None:
        assert pair(Integer, BigInteger, dialect="sqlite") == []
        assert len(pair(Integer, BigInteger, dialect="postgresql")) == 1
        assert pair(postgresql.INET, postgresql.INET, dialect=postgresql.dialect()) == []  # type: ignore[no-untyped-call]  # SQLAlchemy's

    @pytest.mark.parametrize("kind", [postgresql.INET, postgresql.UUID])
    def test_one_that_the_database_has_not(self, kind: Any) -> None:
        [problem] = pair(kind, kind, dialect="sqlite")
        assert problem == (
            f"Child.parent_code is {kind()!r}, which sqlite has not: choose a type that it has "
            '(or allow={"Child.parent_code"})'
        )


class TestNull:
    def test_what_is_said_in_another_way(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            one: Mapped[Maybe] = mapped_column(String, nullable=True)
            two: Mapped[Alias] = mapped_column(String, nullable=True)
            four: Mapped[Described] = mapped_column(String, nullable=True)
            five: Mapped[Annotated[str | None, "described"]] = mapped_column(String)
            six: Mapped[Maybe | int] = mapped_column(String, nullable=True)
            seven: Mapped[Any] = mapped_column(String, nullable=True)
            eight: Mapped[Any] = mapped_column(String, nullable=False)
            made: Mapped[str | None] = mapped_column(server_default="x", nullable=False)
            made_here: Mapped[str | None] = mapped_column(default="x", nullable=False)

        assert model_problems(Base) == []

    def test_what_is_wrong_in_another_way(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            one: Mapped[Maybe] = mapped_column(String, nullable=False)
            two: Mapped[Name] = mapped_column(String, nullable=True)

        assert [problem.partition(" by")[0] for problem in model_problems(Base)] == [
            "Item.one may be None",
            "Item.two is never None",
        ]

    def test_a_default_of_the_database_in_a_sqlmodel_class(self) -> None:
        class Base(DeclarativeBase):
            pass

        class TableModel(SQLModel, registry=Base.registry):
            pass

        class Item(TableModel, table=True):
            id: int | None = Attribute(default=None, primary_key=True)
            name: Maybe = Attribute(default=None, sa_type=String, nullable=True)
            made: datetime | None = Attribute(
                default=None, sa_column=Column(DateTime, server_default=func.now(), nullable=False)
            )

        assert model_problems(Base) == []

    def test_a_subclass_in_the_table_of_its_parent(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Pet(Base):
            __tablename__ = "pet"
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]
            wrong: Mapped[str] = mapped_column(nullable=True)
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}  # noqa: RUF012  # SQLAlchemy's

        class Dog(Pet):
            bark: Mapped[str] = mapped_column(nullable=True)
            __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012  # Likewise

        [problem] = model_problems(Base)
        assert problem.startswith("Pet.wrong is never None")


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    name: Mapped[str | None] = mapped_column(String(50))
    phone: Mapped[str | None] = mapped_column(String(20))
    biography: Mapped[str | None] = mapped_column(Text)
    price: Mapped[Decimal | None]
    token: Mapped[uuid.UUID | None]


class TestTheTypeOfWhatIsPointedTo:
    def test_another_one(self) -> None:
        class Own(DeclarativeBase):
            pass

        class Person(SQLAlchemyBaseUserTableUUID, Own):
            pass

        def key() -> Any:
            return mapped_column(ForeignKey("user.id", ondelete="CASCADE"))

        class Note(Own):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            one: Mapped[int] = key()
            two: Mapped[str | None] = key()
            three: Mapped[Number] = key()
            four: Mapped[uuid.UUID] = key()
            five: Mapped[UserId | None] = key()
            six: Mapped[Any] = key()

        problems = model_problems(Own)
        assert [problem.partition(" by")[0] for problem in problems] == [
            "Note.one is int",
            "Note.two is str | None",
            f"Note.three is {Number}",
        ]
        assert problems[0].endswith(
            "and its column makes UUID, the type of what it points to: comparisons and answers are wrong; annotate it "
            'with that type (or allow={"Note.one"})'
        )


def with_child(child: Any, *, passive: Any = None, cascade: str = "save-update, merge") -> list[str]:
    """Check users and a table of theirs; with `passive`, the users have a relationship to it."""

    class Own(DeclarativeBase):
        pass

    class Note(Own):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id = child

    class Person(SQLAlchemyBaseUserTableUUID, Own):
        if passive is not None:
            notes = relationship(Note, passive_deletes=passive, cascade=cascade)

    return model_problems(Own)


class TestDeletingAUser:
    def test_a_row_without_on_delete(self) -> None:
        assert with_child(mapped_column(ForeignKey("user.id"))) == [
            (
                "Note.user_id points to Person without ON DELETE, so that deleting an account fails while there is "
                'such a row: say ondelete="CASCADE" or "SET NULL" (or allow={"Note.user_id"})'
            )
        ]

    def test_set_null_where_it_is_not_null(self) -> None:
        [problem] = with_child(mapped_column(ForeignKey("user.id", ondelete="SET NULL"), nullable=False))
        assert problem.startswith("Note.user_id points to Person with ON DELETE SET NULL and is NOT NULL, so that ")

    @pytest.mark.parametrize("ondelete", ["CASCADE", "SET NULL", "RESTRICT"])
    def test_one_that_says_it(self, ondelete: str) -> None:
        assert with_child(mapped_column(ForeignKey("user.id", ondelete=ondelete), nullable=True)) == []

    def test_what_the_orm_does(self) -> None:
        assert with_child(mapped_column(ForeignKey("user.id"), nullable=False), passive=False, cascade="all") == []
        assert with_child(mapped_column(ForeignKey("user.id"), nullable=True), passive=False) == []
        assert len(with_child(mapped_column(ForeignKey("user.id"), nullable=False), passive=False)) == 1
        assert len(with_child(mapped_column(ForeignKey("user.id"), nullable=True), passive="all")) == 1

    def test_links_of_many_to_many(self) -> None:
        class Own(DeclarativeBase):
            pass

        def links(name: str) -> Table:
            columns: list[Column[Any]] = [
                Column(f"{side}_id", ForeignKey(f"{side}.id"), primary_key=True) for side in ("user", "tag")
            ]
            return Table(name, Own.metadata, *columns)

        likes_table = links("likes")
        links("hates")

        class Tag(Own):
            __tablename__ = "tag"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Person(SQLAlchemyBaseUserTableUUID, Own):
            likes = relationship(Tag, secondary=likes_table)

        [problem] = model_problems(Own)
        assert problem.startswith("hates.user_id points to Person without ON DELETE")

    def test_accounts_at_providers_and_subclasses(self) -> None:
        class Own(DeclarativeBase):
            pass

        class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Own):
            user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id"), nullable=False)

        class Person(SQLAlchemyBaseUserTableUUID, Own):
            # FastAPI Users' documentation says so.
            oauth_accounts: Mapped[list[OAuthAccount]] = relationship("OAuthAccount", lazy="joined")

        class Admin(Person):
            __tablename__ = "admin"
            id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id"), primary_key=True)
            invited_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("user.id"))
            __mapper_args__ = {"inherit_condition": id == Person.id}  # noqa: A003, RUF012  # SQLAlchemy's

        [problem] = model_problems(Own)
        assert problem.startswith("Admin.invited_by points to Person without ON DELETE")


class UserCreate(schemas.BaseUserCreate):
    name: str
    phone: str | None = Field(None, max_length=30)
    biography: str | None = None
    price: Decimal | None = None
    token: uuid.UUID | None = None


class Fits(schemas.BaseUserUpdate):
    name: Annotated[str, StringConstraints(max_length=50)] | None = None
    phone: str | None = Field(None, max_length=20, alias="telephone")


type Phone = Annotated[str, StringConstraints(max_length=21)]


class ByAlias(BaseModel):
    phone: Phone
    name: schemas.StorableText


class UserRead(schemas.BaseUser[uuid.UUID]):
    name: str | None


class TestLengths:
    def test_of_what_is_written(self) -> None:
        assert model_problems(Base, schemas={User: [UserCreate, Fits, UserRead]}) == [
            (
                "User.name holds 50 characters, and UserCreate accepts any length: PostgreSQL refuses what is longer, "
                'and SQLite keeps it; say max_length=50 in the schema (or allow={"User.name"})'
            ),
            (
                "User.phone holds 20 characters, and UserCreate accepts 30 characters: PostgreSQL refuses what is "
                'longer, and SQLite keeps it; say max_length=20 in the schema (or allow={"User.phone"})'
            ),
        ]
        assert model_problems(Base, schemas={User: [UserCreate]}, allow={"User.name", "User.phone"}) == []

    def test_behind_an_alias(self) -> None:
        problems = model_problems(Base, schemas={User: [ByAlias]})
        assert [problem.partition(" holds")[0] for problem in problems] == ["User.phone", "User.name"]

    def test_of_the_library_s_own(self) -> None:
        assert model_problems(Base, schemas={User: [schemas.BaseUserCreate, schemas.BaseUserUpdate]}) == []


class TestFields:
    def test_without_a_column(self) -> None:
        class New(schemas.BaseUserCreate):
            nickname: str

        [problem] = model_problems(Base, schemas={User: [New]})
        assert problem.startswith(
            "User.nickname does not exist, and New accepts it: add the column, or take the field "
        )
        assert model_problems(Base, schemas={User: [New]}, allow={"User.nickname"}) == []

    def test_with_a_null_that_the_column_refuses(self) -> None:
        class Own(DeclarativeBase): ...

        class Item(Own):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str] = mapped_column(String(20))

        class New(BaseModel):
            title: Annotated[str, StringConstraints(max_length=20)] | None = None

        class Fits(BaseModel):
            title: Annotated[str, StringConstraints(max_length=20)]

        [problem] = model_problems(Own, schemas={Item: [New, Fits]})
        assert problem.startswith("Item.title is NOT NULL, and New accepts null, which the database refuses: make the ")

    def test_of_an_update_where_null_means_not_sent(self) -> None:
        class Own(DeclarativeBase): ...

        class Account(SQLAlchemyBaseUserTableUUID, Own):
            city: Mapped[str] = mapped_column(String(20))

        class Change(schemas.BaseUserUpdate):
            city: Annotated[str, StringConstraints(max_length=20)] | None = None

        assert model_problems(Own, schemas={Account: [Change]}) == []


class TestAllowLists:
    def test_of_what_is_no_column(self) -> None:
        class Manager(BaseUserManager[User, uuid.UUID]):
            own_fields = BaseUserManager.own_fields | {"nickname", "biography"}
            superuser_fields = BaseUserManager.superuser_fields | {"shoe_size"}

        assert model_problems(Base, managers={User: Manager}) == [
            (
                "User.nickname does not exist, and Manager.own_fields lets it be set, which is refused with 422: add "
                'the column, or take the name out of own_fields (or allow={"User.nickname"})'
            ),
            (
                "User.shoe_size does not exist, and Manager.superuser_fields lets it be set, which is refused with "
                '422: add the column, or take the name out of superuser_fields (or allow={"User.shoe_size"})'
            ),
        ]

    def test_of_the_library_s_own(self) -> None:
        """`username` is in them, and not every project has such a column."""
        assert model_problems(Base, managers={User: BaseUserManager}) == []


def test_a_check_constraint_is_no_problem() -> None:
    class Own(DeclarativeBase):
        pass

    class Item(Own):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        __table_args__ = (CheckConstraint("id > 0"),)

    assert model_problems(Own) == []
