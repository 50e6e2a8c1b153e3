"""A request whose use of a session cannot be recorded is answered all the same."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.library.accounts import Accounts, open_accounts
from tests.library.models import Models
from tests.library.test_session_strategies import ANNA, bearer_strategy, both_forms, rows, sign_in, who

pytestmark = both_forms


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    # On an engine that `prepare_sqlite` has prepared, a read takes the write lock as well.
    async with open_accounts(models, url, kind, prepared=False) as accounts:
        yield accounts


def last_seen(accounts: Accounts) -> Any:
    return rows(accounts, "last_seen_at")[0][0]


def age(accounts: Accounts) -> datetime:
    """Let the session's last recorded use be so long ago that the next one is recorded."""
    seen = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=6)
    with accounts.stores.outside.begin() as connection:
        connection.execute(update(accounts.tables.sessions).values(last_seen_at=seen))
    return seen


async def forbid_writing(accounts: Accounts) -> None:
    """Make the one connection of the session read-only, as a replica is."""

    def forbid(session: Session) -> None:
        is_sqlite = session.get_bind().dialect.name == "sqlite"
        statement = "PRAGMA query_only = ON" if is_sqlite else "SET default_transaction_read_only = on"
        session.connection().exec_driver_sql(statement)
        session.commit()

    await accounts.stores.run(forbid)


async def test_is_recorded(accounts: Accounts) -> None:
    token = await sign_in(accounts, await accounts.user())
    seen = age(accounts)
    assert await who(bearer_strategy(accounts), token, accounts) == ANNA
    assert last_seen(accounts) > seen


async def test_on_a_connection_that_cannot_write(accounts: Accounts) -> None:
    token = await sign_in(accounts, await accounts.user())
    seen = age(accounts)
    await forbid_writing(accounts)
    for _ in range(2):
        user = await bearer_strategy(accounts).read_token(token, accounts.manager)
        # What was loaded before stays readable, and the connection works.
        assert user is not None
        assert user.email == ANNA
        assert await accounts.manager.user_db.get(user.id) is user
    assert last_seen(accounts) == seen
    current = accounts.manager.current_session
    assert current is not None
    assert rows(accounts, "id") == [(current.id,)]


async def test_in_a_transaction_that_cannot_write(accounts: Accounts) -> None:
    """The request has opened it: it is neither ended nor spoilt."""
    token = await sign_in(accounts, await accounts.user())
    seen = age(accounts)
    await forbid_writing(accounts)
    transaction = await accounts.stores.run(lambda session: session.begin())
    user = await bearer_strategy(accounts).read_token(token, accounts.manager)
    assert user is not None
    assert await accounts.manager.user_db.get_by_email(ANNA) is user
    assert transaction.is_active
    assert await accounts.stores.run(lambda session: session.get_transaction()) is transaction
    await accounts.stores.run(lambda session: session.rollback())
    assert last_seen(accounts) == seen


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_while_somebody_else_locks_the_session(accounts: Accounts) -> None:
    token = await sign_in(accounts, await accounts.user())
    seen = age(accounts)

    def wait_briefly(session: Session) -> None:
        session.connection().exec_driver_sql("SET lock_timeout = '50ms'")
        session.commit()

    await accounts.stores.run(wait_briefly)
    with accounts.stores.outside.connect() as other, other.begin() as lock:
        other.execute(update(accounts.tables.sessions).values(user_agent="other"))
        assert await who(bearer_strategy(accounts), token, accounts) == ANNA
        lock.rollback()
    assert last_seen(accounts) == seen
