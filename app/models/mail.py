"""Mail that has to leave: a SQLModel table."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Text, func
from sqlmodel import Field

from app.core.sealing import seal, unseal
from app.models.base import TableModel, utc_now

AS_LONG_AS_A_TOKEN = timedelta(minutes=60)
A_FEW_DAYS = timedelta(days=3)

# Every kind of letter, and for how long somebody wants it.
WANTED_FOR = {
    "verify": AS_LONG_AS_A_TOKEN,
    "reset_password": AS_LONG_AS_A_TOKEN,
    "confirm_email": AS_LONG_AS_A_TOKEN,
    "email_change_requested": A_FEW_DAYS,
    "email_changed": A_FEW_DAYS,
    "email_change_undone": A_FEW_DAYS,
    "email_change_notice": A_FEW_DAYS,
    "email_removed": A_FEW_DAYS,
    "password_changed": A_FEW_DAYS,
    "already_registered": A_FEW_DAYS,
    "email_taken": A_FEW_DAYS,
}
WITH_TOKEN = frozenset({"verify", "reset_password", "confirm_email", "email_change_requested", "email_change_undone"})


@dataclass(frozen=True, slots=True)
class Letter:
    """What a letter is made of; without a recipient it is a decoy, which is written and never sent."""

    kind: str
    to: str | None
    name: str | None
    token: str | None
    # The same at each attempt, so that a duplicate can be recognised.
    message_id: str
    written_at: datetime


class OutgoingMail(TableModel, table=True):
    """A letter that has to leave; it is deleted as soon as it is sent."""

    __tablename__ = "mail"

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(max_length=32)
    # Recipient, name and token, encrypted: no address and no usable token stands in the database.
    sealed: str = Field(sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now, sa_column_kwargs={"server_default": func.now()})
    # When it may be tried next; while somebody sends it, the end of their lease.
    due_at: datetime = Field(index=True)
    attempts: int = Field(default=0)
    # After that nobody wants it.
    expires_at: datetime

    @classmethod
    def of(cls, letter: Letter) -> "OutgoingMail":
        """Seal a letter, which is due at once."""
        return cls(
            kind=letter.kind,
            sealed=seal(
                {"to": letter.to, "name": letter.name, "token": letter.token, "message_id": letter.message_id},
                purpose="mail",
            ),
            created_at=letter.written_at,
            due_at=letter.written_at,
            expires_at=letter.written_at + WANTED_FOR[letter.kind],
        )

    def open(self) -> Letter | None:
        """Return the letter, or None if neither the present nor the previous key opens it."""
        values = unseal(self.sealed, purpose="mail")
        return Letter(self.kind, written_at=self.created_at, **values) if values is not None else None
