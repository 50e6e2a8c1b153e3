"""Keep `email_canonical` right where a statement changes `email`, and find the rows in which it is not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Update, bindparam, select
from sqlalchemy.orm import ORMExecuteState, Session

from fastapi_users_sqlmodel.database._transactions import listen, listen_on_class
from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.tables._accounts import AccountTables, account_tables, tables_beside

_BATCH = 10_000
_CANONICAL = "email_canonical"


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
    listen(session, _LISTENERS)


def has_listeners(session: Session) -> bool:
    """Tell whether a project listens to the statements of this session."""
    return any(listener is not _on_execute for listener in session.dispatch.do_orm_execute)


def _on_execute(state: ORMExecuteState) -> Any:
    statement = state.statement
    tables = tables_beside(statement.table) if isinstance(statement, Update) else None
    if not isinstance(statement, Update) or tables is None:
        return None
    # What stands in the statement, by the names of the attributes; a project may call the columns otherwise.
    attributes = {column.key: attribute for attribute, column in tables.user_columns.items()}
    given: dict[Any, Any] = {
        **(statement._values or {}),  # noqa: SLF001  # Nothing public says what an UPDATE sets
        **dict(getattr(statement, "_ordered_values", None) or ()),  # SQLAlchemy 2.0's
    }
    keys = {getattr(key, "key", key): value for key, value in given.items()}
    values = {attributes.get(key, key): value for key, value in keys.items()}
    rows = state.parameters if isinstance(state.parameters, Sequence) else [state.parameters or {}]
    if "email" not in values:
        names = {"email", tables.user_columns["email"].key} & rows[0].keys()
        return _set_in_each(state, rows, *names) if names else None
    # Of an expression, only the database knows the value.
    if isinstance(values["email"], BindParameter) and _CANONICAL not in values:
        return _set_beside(state, statement, tables, rows, values["email"])
    return None


def _set_in_each(state: ORMExecuteState, rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """Set it in the parameters of an UPDATE, which are the columns and their values."""
    if _CANONICAL in rows[0]:
        return None
    made = [{name: _typed(row[name]), _CANONICAL: _canonical(row[name])} for row in rows]
    return state.invoke_statement(params=made if isinstance(state.parameters, Sequence) else made[0])


def _set_beside(
    state: ORMExecuteState,
    statement: Update,
    tables: AccountTables,
    rows: Sequence[Mapping[str, Any]],
    email: BindParameter[str | None],
) -> Any:
    """Set it in the statement itself, beside an address that stands there, or whose parameter does."""
    user = tables.user_columns
    if email.key not in rows[0]:
        value = email.effective_value
        return state.invoke_statement(
            statement.values({user["email"]: _typed(value), user[_CANONICAL]: _canonical(value)})
        )
    name = f"{email.key}_canonical"
    made = [{email.key: _typed(row[email.key]), name: _canonical(row[email.key])} for row in rows]
    return state.invoke_statement(
        statement.values({user[_CANONICAL]: bindparam(name)}),
        params=made if isinstance(state.parameters, Sequence) else made[0],
    )


def _typed(email: str | None) -> str | None:
    return typed_email(email) if email is not None else None  # NOT NULL is the database's to say.


def _canonical(email: str | None) -> str | None:
    return canonical_email(email) if email is not None else None


_LISTENERS = {"do_orm_execute": _on_execute}
listen_on_class(_LISTENERS)
