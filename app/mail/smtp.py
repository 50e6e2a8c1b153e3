"""Mail that is sent: each letter on a connection of its own to the mail server."""

import asyncio
from contextlib import suppress

import aiosmtplib

from app.core.addresses import Smtp
from app.mail.messages import Mail
from app.mail.rendering import as_message, mailbox, sender_address
from app.mail.transport import MailServerAway, Undeliverable

# For one letter, from the first packet to the server's word that it has it.
SECONDS_FOR_A_LETTER = 30.0
SECONDS_TO_SAY_GOODBYE = 1.0


class SMTP:
    """Sends letters through a mail server.

    Raises:
        ValueError: The sender is no address.
    """

    def __init__(self, server: Smtp, *, sender: str, seconds: float = SECONDS_FOR_A_LETTER) -> None:
        self.server = server
        self.sender = sender
        self.seconds = seconds
        self._sender_address = sender_address(sender)

    async def send(self, mail: Mail) -> None:
        """Send a letter, in one attempt of limited length.

        Raises:
            Undeliverable: The recipient or the letter is refused for good, or the address is none.
            MailServerAway: The server is away, too slow, not to be trusted, or does not take it now.
        """
        try:
            message, recipient = as_message(mail, sender=self.sender), mailbox(mail.to)
        except ValueError as error:
            raise Undeliverable("the address is none that mail could be sent to") from error
        client = self._client()
        try:
            async with asyncio.timeout(self.seconds):
                await client.connect()
                await client.send_message(message, sender=self._sender_address, recipients=[recipient])
            # The letter is theirs now: what goes wrong from here on must not send it once more.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=SECONDS_TO_SAY_GOODBYE)
        except aiosmtplib.SMTPNotSupported as error:
            raise Undeliverable("the mail server takes no address in Unicode (RFC 6531)") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused("the recipient", error.recipients[0].code) from error
        except aiosmtplib.SMTPDataError as error:
            raise _refused("the letter", error.code) from error
        except aiosmtplib.SMTPResponseException as error:
            # Only the code: what the server says may repeat an address.
            raise MailServerAway(f"{type(error).__name__} {error.code}") from error
        except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
            # UnicodeError: the host is none that could be looked up.
            raise MailServerAway(str(error) or type(error).__name__) from error
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        server = self.server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password.get_secret_value() if server.password is not None else None,
            use_tls=server.tls == "tls",
            # Never where it happens to be offered: who is in between could take the offer away.
            start_tls=server.tls == "starttls",
            # The name of this machine is nobody's business, and to look it up may take long.
            local_hostname=self._sender_address.rpartition("@")[2],
            timeout=self.seconds,
        )


def _refused(what: str, code: int) -> Undeliverable | MailServerAway:
    """Tell a refusal for good from one for now (RFC 5321, section 4.2.1)."""
    if code >= 500:
        return Undeliverable(f"the mail server refuses {what}, with code {code}")
    return MailServerAway(f"not now, with code {code}")
