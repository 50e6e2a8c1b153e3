"""How a letter may leave, and the two ways in which it may not."""

from typing import Protocol

from app.mail.messages import Mail


class Undeliverable(Exception):
    """This letter will never reach its recipient: the message says why, and names neither address nor token."""


class MailServerAway(Exception):
    """The mail server does not take letters now, or not this one; the message names neither address nor token."""


class Transport(Protocol):
    """What sends letters."""

    async def send(self, mail: Mail) -> None:
        """Send a letter.

        Raises:
            Undeliverable: To try again is of no use.
            MailServerAway: To try again later is.
        """
