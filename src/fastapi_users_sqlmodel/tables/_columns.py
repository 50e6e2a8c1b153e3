"""What the columns of both dialects have in common: lengths, defaults, and the rule that keeps two of them together."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import declared_attr

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
    email = context.get_current_parameters().get("email")  # type: ignore[no-untyped-call]  # SQLAlchemy's
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


class OneAccountAtProvider:
    """Makes an account at a provider belong to one user; a race between two callbacks ends here."""

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        return (UniqueConstraint("oauth_name", "account_id"),)
