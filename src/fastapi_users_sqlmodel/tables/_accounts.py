"""The tables that stand beside every table of users: sessions, tokens sent by mail, and the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Uuid,
    event,
    false,
    func,
    inspect,
)
from sqlalchemy.orm import Mapper
from sqlmodel.sql.sqltypes import UTCDateTime

from fastapi_users_sqlmodel.tables._columns import EMAIL_CANONICAL_LENGTH, EMAIL_LENGTH, EmailColumns

# The attribute of a `Table` that keeps its AccountTables. Not in `Table.info`: Alembic renders that into the migration.
# Not in a weak dictionary: the tables refer to each other, so that an entry would keep its own key alive.
_ATTRIBUTE = "_fastapi_users_sqlmodel_account_tables"


@dataclass(frozen=True, slots=True)
class AccountTables:
    """What belongs to one table of users."""

    users: Table
    sessions: Table
    tokens: Table
    audit_events: Table
    # By the names of the attributes: a project may call the columns otherwise.
    user_columns: Mapping[str, Column[Any]] = field(compare=False, repr=False)


def account_tables(user_table: type[Any]) -> AccountTables:
    """Return the tables beside a table of users, which are in its metadata since the class was mapped.

    A class that inherits from a mapped class of users has the tables of that class.

    Raises:
        KeyError: Neither the class nor a class that it inherits from is a table of users.
    """
    mapper: Mapper[Any] = inspect(user_table)
    for each in mapper.iterate_to_root():
        if (tables := tables_beside(each.local_table)) is not None:
            return tables
    raise KeyError(user_table.__name__)


def tables_beside(table: Any) -> AccountTables | None:
    """Return the tables beside a table; None if it is none of users."""
    return getattr(table, _ATTRIBUTE, None)


@event.listens_for(EmailColumns, "after_mapper_constructed", propagate=True)
def _stand_beside(mapper: Mapper[Any], _class: type[Any]) -> None:
    """Make the tables, so that `create_all` and migrations know them without a class for each in the project."""
    users = mapper.local_table
    # Users may extend another table; what extends users has the tables beside those.
    extends_users = mapper.inherits is not None and issubclass(mapper.inherits.class_, EmailColumns)
    if not extends_users and isinstance(users, Table) and tables_beside(users) is None:
        columns = dict(mapper.columns.items())
        id_ = columns["id"]
        beside = AccountTables(users, _sessions(users, id_), _tokens(users, id_), _audit_events(users, id_), columns)
        setattr(users, _ATTRIBUTE, beside)


def _sessions(users: Table, id_: Column[Any]) -> Table:
    name = f"{users.name}_session"
    user_id = Column("user_id", id_.type, ForeignKey(id_, ondelete="CASCADE"), nullable=False, index=True)

    def moment(name: str, **options: Any) -> Column[datetime]:
        return Column(name, UTCDateTime(), **options)

    return Table(
        name,
        users.metadata,
        Column("id", Uuid(), primary_key=True),
        user_id,
        # What brings its tokens, and how its user has proved who they are.
        Column("transport", String(16), nullable=False),
        Column("method", String(16), nullable=False),
        _created_at(),
        moment("last_seen_at", nullable=False),
        # When it is over if nobody uses it, never later than at all.
        moment("idle_expires_at", nullable=False, index=True),
        moment("expires_at", nullable=False),
        moment("proved_at", nullable=False),
        Column("ip_address", String(64), nullable=True),
        Column("user_agent", String(256), nullable=True),
        # Keyed hashes of the secret that is good now, and of the refresh token's before it, with what made its child.
        Column("secret_hash", String(64), nullable=False),
        Column("previous_hash", String(64), nullable=True),
        Column("nonce", String(64), nullable=True),
        Column("generation", Integer(), nullable=False),
        moment("rotated_at", nullable=True),
        schema=users.schema,
    )


def _tokens(users: Table, id_: Column[Any]) -> Table:
    user_id = Column("user_id", id_.type, ForeignKey(id_, ondelete="CASCADE"), nullable=True)
    canonical = Column("email_canonical", String(EMAIL_CANONICAL_LENGTH), nullable=False, index=True)
    expires_at: Column[datetime] = Column("expires_at", UTCDateTime(), nullable=False, index=True)
    name = f"{users.name}_token"
    return Table(
        name,
        users.metadata,
        Column("hash", String(64), primary_key=True),
        Column("purpose", String(32), nullable=False),
        user_id,
        Column("email", String(EMAIL_LENGTH), nullable=False),
        canonical,
        # In which it was asked for: what a token does, ends the others.
        Column("session_id", Uuid(), nullable=True),
        _created_at(),
        expires_at,
        Index(f"ix_{name}_user_id_purpose", user_id, "purpose"),
        schema=users.schema,
    )


def _audit_events(users: Table, id_: Column[Any]) -> Table:
    # No foreign key: an event outlives its user.
    user_id = Column("user_id", id_.type, nullable=True)
    kind = Column("kind", String(32), nullable=False)
    network = Column("network", String(64), nullable=True)
    # SQLite counts up an INTEGER alone.
    number = Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    name = f"{users.name}_audit_event"
    return Table(
        name,
        users.metadata,
        number,
        kind,
        user_id,
        Column("actor_id", id_.type, nullable=True, index=True),
        Column("email", String(EMAIL_LENGTH), nullable=True),
        network,
        Column("request_id", String(64), nullable=True),
        Column("details", JSON(none_as_null=True), nullable=True),
        Column("is_erased", Boolean(), nullable=False, default=False, server_default=false()),
        _created_at(),
        Index(f"ix_{name}_user_id_id", user_id, number),
        Index(f"ix_{name}_kind_id", kind, number),
        # Whether somebody has signed in from a network before.
        Index(f"ix_{name}_user_id_network", user_id, network),
        schema=users.schema,
    )


def _created_at() -> Column[datetime]:
    return Column(
        "created_at", UTCDateTime(), nullable=False, default=lambda: datetime.now(UTC), server_default=func.now()
    )
