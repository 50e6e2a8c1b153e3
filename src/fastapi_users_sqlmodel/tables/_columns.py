"""What the columns of both dialects have in common: lengths, defaults, and the rule that keeps two of them together."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint, event
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapper

from fastapi_users_sqlmodel.identity import canonical_email, typed_email

EMAIL_LENGTH = 320
# An address that EmailStr lets through has at most 64 characters before the @ and 253 behind it; case folding makes at
# most three characters of one.
EMAIL_CANONICAL_LENGTH = 512
HASHED_PASSWORD_LENGTH = 1024
OAUTH_NAME_LENGTH = 100
ACCOUNT_ID_LENGTH = 320
TOKEN_LENGTH = 43


def default_email_canonical(context: DefaultExecutionContext) -> str | None:
    """Derive the column for a Core INSERT, which no attribute event sees."""
    given = context.get_current_parameters()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    # A project may call the column otherwise; the attribute is `email`.
    beside = getattr(context.current_column.table, "_fastapi_users_sqlmodel_account_tables", None)
    email = given.get(beside.user_columns["email"].key if beside is not None else "email")
    return None if email is None else canonical_email(email)  # NOT NULL is the database's to say.


class EmailColumns:
    """Keeps `email_canonical` beside `email`, whoever assigns either of them.

    `__setattr__` and not `@validates`: SQLModel stores the assigned value over what a validator returned.
    """

    if TYPE_CHECKING:
        email: str
        email_canonical: str
    else:
        # Out of a type checker's sight, which would take it for leave to assign any attribute.
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "email" and value is not None:  # NOT NULL is the database's to say.
                value = typed_email(value)
                super().__setattr__("email_canonical", canonical_email(value))
            elif name == "email_canonical":  # SQLModel's constructor assigns the default after the e-mail.
                value = canonical_email(self.email or value)
            super().__setattr__(name, value)


class BelongsToUser:
    """Makes the rows of a user be found by an index, also where the class declares `user_id` itself without one.

    A foreign key has no index by itself, and deleting a user looks for what belongs to them.
    """


class OneAccountAtProvider(BelongsToUser):
    """Makes an account at a provider belong to one user; a race between two callbacks ends here."""


@event.listens_for(BelongsToUser, "after_mapper_constructed", propagate=True)
def _add_what_is_missing(mapper: Mapper[Any], class_: type[Any]) -> None:
    # Adopting a database adds the same, so that a migration after it has nothing to drop.
    table = mapper.local_table
    if mapper.inherits is not None or not isinstance(table, Table):
        return
    user_id = mapper.columns.get("user_id")
    if user_id is not None and not any(columns[:1] == [user_id] for columns in (*_keys(table), *_indexes(table))):
        Index(None, user_id)
    if issubclass(class_, OneAccountAtProvider):
        account = [mapper.columns["oauth_name"], mapper.columns["account_id"]]
        if account not in _keys(table):
            table.append_constraint(UniqueConstraint(*account))


def _keys(table: Table) -> list[list[Any]]:
    keys = [each for each in table.constraints if isinstance(each, UniqueConstraint | PrimaryKeyConstraint)]
    return [list(each.columns) for each in keys]


def _indexes(table: Table) -> list[list[Any]]:
    """Return what the indexes over all rows are made of."""
    return [
        list(index.expressions)
        for index in table.indexes
        if not any(name.endswith("_where") and value is not None for name, value in index.dialect_kwargs.items())
    ]
