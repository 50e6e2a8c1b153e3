"""The mail that has to leave: put there by the transaction that wants it sent, taken by whoever sends it."""

import logging
import random
import secrets
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlmodel import col

from app.crud.base import Collection
from app.models import OutgoingMail
from app.models.base import utc_now
from app.models.mail import WITH_TOKEN, Letter

log = logging.getLogger(__name__)

# Longer than a sending may take, database included: two processes never send one letter.
LEASE = timedelta(seconds=90)
LONGEST_PAUSE = timedelta(minutes=5)


class Outbox(Collection):
    """The mail that has to leave, on one session."""

    async def put(self, kind: str, to: str | None, *, name: str | None = None, token: str | None = None) -> None:
        """Put a letter there; it leaves after the commit, and never if there is none.

        Args:
            kind: One of `app.models.mail.WANTED_FOR`.
            to: The address; None for a decoy, which costs as much as a letter, so that time tells nobody who has an
                account.
            name: Of the person, for the greeting.
            token: What the link carries, if this kind has one.

        Raises:
            ValueError: A letter without the token that it is about, or with one that it has no use for.
        """
        if to is None:
            token = token or secrets.token_urlsafe(32)
        elif (token is not None) != (kind in WITH_TOKEN):
            raise ValueError(f"{kind}: {'needs a' if token is None else 'takes no'} token")
        letter = Letter(kind, to, name, token, message_id=secrets.token_urlsafe(16), written_at=utc_now())
        self.session.add(OutgoingMail.of(letter))
        await self.session.flush()

    async def next_due(self) -> datetime | None:
        """Tell when the next letter is due; a read alone, which takes no lock."""
        return await self.session.scalar(select(func.min(col(OutgoingMail.due_at))))

    async def claim(self, *, due_by: datetime | None = None, lease: timedelta = LEASE) -> OutgoingMail | None:
        """Take the letter that has been due for longest, for the time of a lease, or return None.

        What nobody wants any more, or no key opens, is deleted on the way.

        Args:
            due_by: Until when it was due; now if not given.
            lease: For how long nobody else can claim it, after the caller's commit.
        """
        now = utc_now()
        oldest = (
            select(col(OutgoingMail.id))
            .where(col(OutgoingMail.due_at) <= (due_by or now))
            .order_by(col(OutgoingMail.due_at), col(OutgoingMail.id))
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            update(OutgoingMail)
            .where(col(OutgoingMail.id) == oldest)
            .values(due_at=now + lease, attempts=col(OutgoingMail.attempts) + 1)
            .returning(OutgoingMail)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        while (mail := await self.session.scalar(statement)) is not None:
            if mail.expires_at <= now:
                log.warning("mail %s (%s) was not sent in time and is dropped", mail.id, mail.kind)
            elif mail.open() is None:
                log.error("mail %s (%s) cannot be opened with any key and is dropped", mail.id, mail.kind)
            else:
                return mail
            await self.done(mail)
        return None

    async def done(self, mail: OutgoingMail) -> None:
        """Erase a letter, unless the lease has ended and somebody else has claimed it since."""
        await self.session.exec(delete(OutgoingMail).where(*_as_claimed(mail)))

    async def retry(self, mail: OutgoingMail) -> None:
        """Put a letter off, each time for twice as long, unless somebody else has claimed it since."""
        due_at = utc_now() + pause_after(mail.attempts)
        await self.session.exec(update(OutgoingMail).where(*_as_claimed(mail)).values(due_at=due_at))


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait: 1, 2, 4 … seconds at most, and half of that at least, so that not all come at once."""
    longest = min(timedelta(seconds=2 ** min(attempts - 1, 16)), LONGEST_PAUSE)
    return longest * random.SystemRandom().uniform(0.5, 1)


def _as_claimed(mail: OutgoingMail) -> tuple[ColumnElement[bool], ...]:
    # The end of a lease tells it from every other one; an id alone does not, because SQLite gives it out again.
    return col(OutgoingMail.id) == mail.id, col(OutgoingMail.due_at) == mail.due_at
