"""A real mail server on a free port of this machine, which keeps what it is given."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from app.core.addresses import Smtp

SENDER = "The Service <service@example.com>"


def server_at(
    port: int,
    *,
    host: str = "127.0.0.1",
    username: str | None = None,
    password: SecretStr | None = None,
    tls: Literal["none", "starttls", "tls"] = "none",
) -> Smtp:
    """Return what `settings.smtp` would be for a mail server on this machine."""
    return Smtp(host, port, username, password, tls)


@dataclass
class Inbox:
    """What a mail server does with a letter, and has received so far."""

    envelopes: list[Envelope] = field(default_factory=list)
    # As what they introduced themselves.
    clients: set[str | None] = field(default_factory=set)
    # What it answers to a recipient and to a letter, if not that all is well.
    on_recipient: str = ""
    on_letter: str = ""
    # A letter is accepted only when this is set; what is waiting counts as received.
    accepts: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.accepts.set()

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: object, _session: object, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.on_recipient:
            return self.on_recipient
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.on_letter:
            return self.on_letter
        self.clients.add(session.host_name)
        self.envelopes.append(envelope)
        await self.accepts.wait()
        return "250 OK"

    @property
    def messages(self) -> list[EmailMessage]:
        """The letters, parsed."""
        return [message_of(envelope) for envelope in self.envelopes]

    @property
    def recipients(self) -> list[str]:
        """Who got a letter, in the order of arrival."""
        return [address for envelope in self.envelopes for address in envelope.rcpt_tos]

    @property
    def message_ids(self) -> list[str]:
        return [message["Message-ID"] for message in self.messages]


def message_of(envelope: Envelope) -> EmailMessage:
    assert isinstance(envelope.content, bytes)
    # The default policy's messages are those of this class.
    message = message_from_bytes(envelope.content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


@asynccontextmanager
async def mail_server(
    inbox: Inbox, *, port: int = 0, context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[int]:
    """Run a mail server in this event loop, and yield its port.

    Args:
        inbox: Gets the letters.
        port: Where it listens; somewhere if not given.
        context: If TLS is spoken from the first byte on.
        options: Those of aiosmtpd.
    """
    connections: list[SMTP] = []

    def accept() -> SMTP:
        connection = SMTP(inbox, hostname="mail.example.com", loop=asyncio.get_running_loop(), **options)
        connections.append(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool], *, within: float = 30) -> None:
    """Wait until something is so; the event loop goes on."""
    async with asyncio.timeout(within):
        while not is_so():  # noqa: ASYNC110  # Nobody tells
            await asyncio.sleep(0.01)
