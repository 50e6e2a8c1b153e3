"""Listeners of the sessions that stores work on: they run hooks after a commit and keep `email_canonical` right."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import sqlmodel
from sqlalchemy import BindParameter, Update, bindparam, event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction
from sqlalchemy.util.concurrency import await_only

from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.tables._accounts import AccountTables, tables_beside

type Hook = Callable[[], Awaitable[None]]

# Keys in the `info` of a session; each is removed when its transaction ends.
_WAITING = "fastapi_users_sqlmodel.waiting_for_commit"
_COMMITTED = "fastapi_users_sqlmodel.committed"

_CANONICAL = "email_canonical"


class StoreSession(sqlmodel.Session):
    """A session whose class has the listeners of the stores, so that none is added to each session."""


def keep_canonical(session: Session) -> None:
    """Make each UPDATE of this session that sets a user's `email` to a value set `email_canonical` too."""
    _listen(session, _OF_STATEMENTS)


def wait_for_commit(session: Session, hook: Hook) -> None:
    """Run a hook after the commit of the present transaction; never if the transaction is rolled back."""
    _listen(session, _OF_TRANSACTIONS)
    session.info.setdefault(_WAITING, []).append((hook, session.get_nested_transaction()))


def take_waiting(session: Session) -> list[Hook]:
    """Return the hooks that wait; the session runs them no more."""
    return [hook for hook, _ in session.info.pop(_WAITING, [])]


def has_listeners(session: Session) -> bool:
    """Return whether somebody else listens to the statements of this session."""
    return any(listener is not _on_execute for listener in session.dispatch.do_orm_execute)


def _on_commit(session: Session) -> None:
    if _WAITING in session.info and not session.in_nested_transaction():
        session.info[_COMMITTED] = session.info.pop(_WAITING)


def _on_rollback(session: Session, rolled_back: SessionTransaction) -> None:
    if rolled_back.nested and _WAITING in session.info:
        waiting = session.info[_WAITING]
        session.info[_WAITING] = [(hook, inside) for hook, inside in waiting if not _is_within(inside, rolled_back)]


def _is_within(transaction: SessionTransaction | None, other: SessionTransaction) -> bool:
    while transaction is not None:
        if transaction is other:
            return True
        transaction = transaction.parent
    return False


def _on_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WAITING, None)
        if committed := session.info.pop(_COMMITTED, None):
            # Inside `with session.begin()`, SQLAlchemy refuses statements until the block ends. The transaction is
            # over, and the hooks work in another one.
            context, session._trans_context_manager = session._trans_context_manager, None  # noqa: SLF001
            try:
                # This is the greenlet of `AsyncSession.commit`: it can wait for a coroutine.
                for hook, _ in committed:
                    await_only(hook())
            finally:
                session._trans_context_manager = context  # noqa: SLF001


def _on_execute(state: ORMExecuteState) -> Any:
    statement = state.statement
    tables = tables_beside(statement.table) if isinstance(statement, Update) else None
    if not isinstance(statement, Update) or tables is None:
        return None
    # The values of the statement by attribute; a project may give the columns other names.
    attributes = {column.key: attribute for attribute, column in tables.user_columns.items()}
    given: dict[Any, Any] = {
        **(statement._values or {}),  # noqa: SLF001  # There is no public access to the values of an UPDATE
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
    """Set `email_canonical` in the parameters of an UPDATE, which are columns and values."""
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
    """Set `email_canonical` in the statement, beside an address or its parameter."""
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
    return typed_email(email) if email is not None else None  # The database refuses NULL.


def _canonical(email: str | None) -> str | None:
    return canonical_email(email) if email is not None else None


_OF_STATEMENTS: dict[str, Callable[..., Any]] = {"do_orm_execute": _on_execute}
_OF_TRANSACTIONS: dict[str, Callable[..., Any]] = {
    "after_commit": _on_commit,
    "after_soft_rollback": _on_rollback,
    "after_transaction_end": _on_end,
}


def _listen(session: Session, listeners: Mapping[str, Callable[..., Any]]) -> None:
    for name, listener in listeners.items():
        if not isinstance(session, StoreSession) and not event.contains(session, name, listener):
            event.listen(session, name, listener)


for _name, _listener in (_OF_STATEMENTS | _OF_TRANSACTIONS).items():
    event.listen(StoreSession, _name, _listener)
