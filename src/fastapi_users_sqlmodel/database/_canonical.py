"""Keep `email_canonical` right where a statement changes `email`, and find the rows in which it is not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, Update, event, select
from sqlalchemy.orm import ORMExecuteState, Session

from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.reading import SyncBriefSession
from fastapi_users_sqlmodel.tables._accounts import account_tables, has_account_tables

_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class StaleEmail:
    """A user whose `email_canonical` is not that of `email`, so that a sign-in with `email` finds nobody."""

    user_id: Any
    email: str
    email_canonical: str


def stale_emails(connection: Connection, user_table: type[Any]) -> Iterator[StaleEmail]:
    """Find the users whose `email_canonical` is not the canonical form of `email`; reads the table in batches.

    Statements that no session of a store sees leave such rows: SQL, an UPDATE on a connection, an expression such as
    `func.lower(User.email)`, an `ON CONFLICT DO UPDATE`. To mend one, assign `user.email = user.email` in a session.
    """
    user = account_tables(user_table).user_columns
    id_ = user["id"]
    batch = select(id_, user["email"], user["email_canonical"]).order_by(id_).limit(_BATCH)
    rows = connection.execute(batch).all()
    while rows:
        for found in (StaleEmail(*row) for row in rows):
            if canonical_email(found.email) != found.email_canonical:
                yield found
        rows = connection.execute(batch.where(id_ > rows[-1][0])).all()


def keep_canonical(session: Session) -> None:
    """Let each UPDATE of this session that sets a user's `email` to a value set `email_canonical` with it."""
    if not isinstance(session, SyncBriefSession) and not event.contains(session, "do_orm_execute", _on_execute):
        event.listen(session, "do_orm_execute", _on_execute)


def has_listeners(session: Session) -> bool:
    """Tell whether a project listens to the statements of this session."""
    return any(listener is not _on_execute for listener in session.dispatch.do_orm_execute)


# Once for the class, which is ours: a request of the service makes several of these sessions.
@event.listens_for(SyncBriefSession, "do_orm_execute")
def _on_execute(state: ORMExecuteState) -> None:
    statement = state.statement
    if not isinstance(statement, Update) or not isinstance(table := statement.table, Table):
        return
    if not has_account_tables(table):
        return
    if isinstance(state.parameters, Mapping) or state.parameters is None:
        # Values that stand in the statement are its parameters, under the names of their columns.
        values: dict[str, Any] = {**statement.compile().params, **(state.parameters or {})}
        if isinstance(values.get("email"), str) and values.get("email_canonical") is None:
            state.statement = statement.values(**_columns(values["email"]))
            if state.parameters and "email" in state.parameters:
                state.parameters = {**state.parameters, **_columns(values["email"])}
    else:
        state.parameters = [
            {**each, **_columns(each["email"])} if isinstance(each.get("email"), str) else each
            for each in state.parameters
        ]


def _columns(email: str) -> dict[str, str]:
    typed = typed_email(email)
    return {"email": typed, "email_canonical": canonical_email(typed)}
