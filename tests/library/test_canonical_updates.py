"""A statement that changes an e-mail address changes the canonical form with it, or the row is found."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, bindparam, create_engine, func, inspect, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Query, Session, mapped_column

from fastapi_users_sqlmodel import SQLAlchemyBaseUserTable, SQLModelUserDatabase, StaleEmail, stale_emails
from fastapi_users_sqlmodel.tables._accounts import account_tables
from tests.library.stores import Stores, new_user

forms = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync"), ("sqlmodel-int", "async")], indirect=True
)

TYPED, CANONICAL = "Änn@Bücher.EXAMPLE", "änn@xn--bcher-kva.example"

type Change = Callable[[Session, Any, Any], object]


def by_name(session: Session, user: Any, _id: Any) -> object:
    return session.execute(update(user).values(email=f" {TYPED}"))


def by_attribute(session: Session, user: Any, id_: Any) -> object:
    return session.execute(update(user).where(user.id == id_, user.email != "").values({user.email: TYPED}))


def by_primary_key(session: Session, user: Any, id_: Any) -> object:
    return session.execute(update(user), [{"id": id_, "email": TYPED}])


def of_the_table(session: Session, user: Any, _id: Any) -> object:
    return session.execute(update(user.__table__).values(email=TYPED))


def with_parameters(session: Session, user: Any, _id: Any) -> object:
    return session.execute(update(user.__table__), {"email": TYPED})


def of_a_query(session: Session, user: Any, _id: Any) -> object:
    return Query(user, session).update({"email": TYPED})


def with_a_bound_parameter(session: Session, user: Any, _id: Any) -> object:
    return session.execute(update(user).values(email=bindparam("new")), {"new": TYPED})


def with_several_parameters(session: Session, user: Any, _id: Any) -> object:
    users = user.__table__
    statement = update(users).where(users.c.email == bindparam("old")).values(email=bindparam("new"))
    return session.execute(statement, [{"old": "old@example.com", "new": TYPED}])


CHANGES = (
    by_name,
    by_attribute,
    by_primary_key,
    of_the_table,
    with_parameters,
    of_a_query,
    with_a_bound_parameter,
    with_several_parameters,
)


async def stale(stores: Stores) -> list[StaleEmail]:
    return await stores.run(lambda session: list(stale_emails(session.connection(), stores.models.user)))


async def stored(stores: Stores) -> tuple[str, str]:
    users = stores.models.user.__table__
    rows = await stores.run(lambda session: session.execute(select(users.c.email, users.c.email_canonical)).all())
    ((email, canonical),) = rows
    return email, canonical


@forms
@pytest.mark.parametrize("change", CHANGES)
async def test_follows(stores: Stores, change: Change) -> None:
    user = await stores.users.create(new_user("old@example.com"))
    await stores.run(lambda session: change(session, stores.models.user, user.id))
    assert await stored(stores) == (TYPED, CANONICAL)
    assert await stale(stores) == []
    await stores.run(lambda session: session.commit())
    found = await stores.users.get_by_email(TYPED.upper())
    assert found is not None
    assert found.id == user.id


@forms
async def test_another_column(stores: Stores) -> None:
    await stores.users.create(new_user("Old@example.com"))
    await stores.run(lambda session: session.execute(update(stores.models.user).values(is_verified=True)))
    assert await stored(stores) == ("Old@example.com", "old@example.com")


@forms
async def test_a_canonical_form_that_is_given(stores: Stores) -> None:
    """A project that sets both goes on as it did."""
    await stores.users.create(new_user("old@example.com"))
    both = {"email": "New@example.com", "email_canonical": "new@example.com"}
    await stores.run(lambda session: session.execute(update(stores.models.user).values(**both)))
    assert await stored(stores) == ("New@example.com", "new@example.com")


@forms
async def test_what_no_session_can_follow_is_found(stores: Stores) -> None:
    user = await stores.users.create(new_user("Old@example.com"))
    await stores.users.create(new_user("other@example.com"))
    users = stores.models.user.__table__
    mine = update(users).where(users.c.id == user.id)
    upper = mine.values(email=func.upper(users.c.email))
    await stores.run(lambda session: session.connection().execute(mine.values(email="new@example.com")))
    assert await stale(stores) == [StaleEmail(user.id, "new@example.com", "old@example.com")]
    await stores.run(lambda session: session.execute(upper))
    assert await stale(stores) == [StaleEmail(user.id, "NEW@EXAMPLE.COM", "old@example.com")]

    def assign_again(session: Session) -> None:
        row = session.get_one(stores.models.user, user.id, populate_existing=True)
        row.email = str(row.email)
        session.flush()

    await stores.run(assign_again)
    assert await stale(stores) == []


@forms
async def test_batches(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_users_sqlmodel.database._stale_emails._BATCH", 2)
    for number in range(5):
        await stores.users.create(new_user(f"user{number}@example.com"))
    users = stores.models.user.__table__
    statement = update(users).values(email=func.replace(users.c.email, "user", "somebody"))
    await stores.run(lambda session: session.connection().execute(statement))
    emails = {found.email for found in await stale(stores)}
    assert emails == {f"somebody{number}@example.com" for number in range(5)}


def test_a_column_of_another_name() -> None:
    """The attribute is `email`, whatever the column is called."""

    class Base(DeclarativeBase):
        pass

    class Member(SQLAlchemyBaseUserTable[int], Base):
        id: Mapped[int] = mapped_column(primary_key=True)
        locals()["__annotations__"]["email"] = Mapped[str]
        locals()["email"] = mapped_column("mail")

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    table: Any = inspect(Member).local_table
    with Session(engine) as session:
        SQLModelUserDatabase[Any, int](session, Member)
        session.connection().execute(table.insert().values(mail="Old@example.com", hashed_password="x"))
        assert session.scalar(select(table.c.email_canonical)) == "old@example.com"
        for number, statement in enumerate(
            (update(Member).values(email="A@example.com"), update(table).values(mail="B@example.com"))
        ):
            session.execute(statement)
            assert session.scalar(select(table.c.email_canonical)) == f"{'ab'[number]}@example.com"
        session.execute(update(Member), [{"id": 1, "email": "C@example.com"}])
        assert session.scalar(select(table.c.email_canonical)) == "c@example.com"
    engine.dispose()


def test_users_that_extend_another_table() -> None:
    """They have the tables beside them, as users of their own table have."""

    class Base(DeclarativeBase):
        pass

    class Party(Base):
        __tablename__ = "party"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Person(SQLAlchemyBaseUserTable[int], Party):
        id: Mapped[int] = mapped_column(ForeignKey("party.id", ondelete="CASCADE"), primary_key=True)

    class Admin(Person):
        pass

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    users: Any = inspect(Person).local_table
    assert account_tables(Admin).users is account_tables(Person).users is users
    [key] = account_tables(Person).sessions.c.user_id.foreign_keys
    assert key.column.table is users
    with Session(engine) as session:
        SQLModelUserDatabase[Any, int](session, Person)
        session.add(Person(email="Old@example.com", hashed_password="x"))
        session.flush()
        session.execute(update(users).values(email="New@example.com"))
        assert list(stale_emails(session.connection(), Person)) == []
        assert session.scalar(select(users.c.email_canonical)) == "new@example.com"
    engine.dispose()
