"""A connection for revisions that are replayed in a transaction which must not end."""

import sys
from typing import Any, NoReturn, override

from sqlalchemy import Connection, Engine, NullPool, PoolProxiedConnection, event, text

from fastapi_users_sqlmodel.migrations._guard import UnsafeStatementError

# PostgreSQL checks a deferred constraint at COMMIT: this row lets every COMMIT fail, whoever sends it.
_UNCOMMITTABLE = (
    """
    CREATE TEMPORARY TABLE _alembic_uncommittable (
        id int PRIMARY KEY,
        other int CONSTRAINT a_scratch_is_never_committed REFERENCES _alembic_uncommittable
            DEFERRABLE INITIALLY DEFERRED
    )
    """,
    "INSERT INTO _alembic_uncommittable VALUES (1, 2)",
)


class ConfinedConnection(Connection):
    """The session of another connection, without the ways out of its transaction.

    Statements run as on the other connection. Its engine opens no connections, the driver's connection is not handed
    out, and nothing is committed or rolled back except savepoints. The owner of the other connection rolls back.

    Raises:
        UnsafeStatementError: From each method that would leave the transaction, before it does anything.
    """

    def __init__(self, connection: Connection) -> None:
        # SQLAlchemy reads the dialect from the engine, so there is one; its pool is empty for ever.
        engine = Engine(NullPool(_open_nothing), connection.dialect, connection.engine.url)
        super().__init__(engine, connection.connection)
        options = dict(connection.get_execution_options())
        options.pop("isolation_level", None)
        super().execution_options(**options)
        # The transaction of the other connection, for those who ask in_transaction(), as a Session does.
        self.begin()
        event.listen(self, "commit", _commit_nothing)
        event.listen(self, "rollback", _roll_nothing_back)

    @property
    @override
    def connection(self) -> PoolProxiedConnection:
        # SQLAlchemy's own code begins transactions and savepoints with it.
        caller = str(sys._getframe(1).f_globals.get("__name__"))  # noqa: SLF001  # who asks decides
        if caller.partition(".")[0] != "sqlalchemy":
            raise UnsafeStatementError("it takes the driver's connection, whose statements cannot be seen")
        return super().connection

    @override
    def execution_options(self, **options: Any) -> Connection:
        if "isolation_level" in options:
            raise UnsafeStatementError("it changes the isolation level, which would leave the transaction")
        return super().execution_options(**options)

    @override
    def close(self) -> NoReturn:
        raise UnsafeStatementError("it closes the connection")

    @override
    def detach(self) -> NoReturn:
        raise UnsafeStatementError("it detaches the connection")

    @override
    def invalidate(self, exception: BaseException | None = None) -> NoReturn:
        raise UnsafeStatementError("it invalidates the connection")


def forbid_commit(connection: Connection) -> None:
    """Let each COMMIT of the current transaction fail on the server. PostgreSQL only.

    A rollback, also one to a savepoint from before, ends it.
    """
    for statement in _UNCOMMITTABLE:
        connection.execute(text(statement))


def _open_nothing() -> NoReturn:
    raise UnsafeStatementError("it opens a connection of its own (with the engine), which reaches the real tables")


def _commit_nothing(_: Connection) -> NoReturn:
    raise UnsafeStatementError("it commits, and the scratch would stay in the database")


def _roll_nothing_back(_: Connection) -> NoReturn:
    raise UnsafeStatementError("it rolls back, and the scratch would be gone")
