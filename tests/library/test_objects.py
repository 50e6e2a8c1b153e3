"""Objects of rows that were read without the ORM: the same as the ORM's, where it does no more than that."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, event, func, inspect, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    composite,
    deferred,
    mapped_column,
)

from fastapi_users_sqlmodel.database._objects import make_loaded, plain_columns
from fastapi_users_sqlmodel.engines import sync_url
from tests.library.models import Models, make_models


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(sync_url(url), poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def user_id(engine: Engine, models: Models) -> Any:
    with Session(engine) as session:
        user = models.user(email="Anna@Example.com", hashed_password="x", is_verified=True, username="anna")
        session.add(user)
        session.commit()
        return user.id


def make(session: Session, user: Any, user_id: Any) -> Any:
    columns = plain_columns(user)
    assert columns is not None
    row = session.connection().execute(select(*columns.values()).where(user.id == user_id)).one()
    return make_loaded(session, user, tuple(columns), row)


def test_is_what_the_orm_makes(engine: Engine, models: Models, user_id: Any) -> None:
    with Session(engine) as one, Session(engine) as other:
        made, loaded = make(one, models.user, user_id), other.get_one(models.user, user_id)
        names = [attribute.key for attribute in inspect(models.user).column_attrs]
        assert {name: getattr(made, name) for name in names} == {name: getattr(loaded, name) for name in names}
        assert inspect(made).persistent
        assert one.get(models.user, user_id) is made
        assert not one.dirty


def test_is_changed_like_the_orms(engine: Engine, models: Models, user_id: Any) -> None:
    with Session(engine) as session:
        make(session, models.user, user_id).email = "Berta@Example.com"
        session.commit()
    with Session(engine) as session:
        user = session.get_one(models.user, user_id)
        assert (user.email, user.email_canonical, user.username) == ("Berta@Example.com", "berta@example.com", "anna")


def test_asks_for_what_has_expired_and_what_is_related(engine: Engine, models: Models, user_id: Any) -> None:
    with Session(engine) as session:
        user = make(session, models.user, user_id)
        assert user.oauth_accounts == []
        session.expire(user)
        assert user.username == "anna"


def test_one_that_is_there_already(engine: Engine, models: Models, user_id: Any) -> None:
    """It stays as it is, changes included; the ORM is asked for what has expired."""
    with Session(engine) as session:
        known = session.get_one(models.user, user_id)
        known.username = "berta"
        assert make(session, models.user, user_id) is known
        assert known.username == "berta"
        session.rollback()
        assert make(session, models.user, user_id) is None


@pytest.mark.parametrize("lazy", ["joined", "selectin"])
def test_not_where_relationships_load_themselves(form: str, lazy: Any) -> None:
    assert plain_columns(make_models(form, lazy).user) is None


def test_not_where_the_orm_does_more() -> None:
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012  # SQLAlchemy's

    class Child(Person):
        __mapper_args__ = {"polymorphic_identity": "child"}  # noqa: RUF012  # Likewise

    class Computed(Base):
        __tablename__ = "computed"
        id: Mapped[int] = mapped_column(primary_key=True)
        length: Mapped[int] = column_property(func.length("text"))

    class Late(Base):
        __tablename__ = "late"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = deferred(mapped_column())

    class Composed(Base):
        __tablename__ = "composed"
        id: Mapped[int] = mapped_column(primary_key=True)
        point: Mapped[complex] = composite(complex, mapped_column("x"), mapped_column("y"))

    class Listened(Base):
        __tablename__ = "listened"
        id: Mapped[int] = mapped_column(primary_key=True)

    event.listen(Listened, "load", lambda *_: None)

    class Plain(Base):
        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)
        named: Mapped[str] = mapped_column("name")

    for mapped in (Person, Child, Computed, Late, Composed, Listened):
        assert plain_columns(mapped) is None, mapped
    assert {key: column.name for key, column in (plain_columns(Plain) or {}).items()} == {"id": "id", "named": "name"}
