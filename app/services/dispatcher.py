"""Send the e-mail of the outbox: after the commit, again after a failure, each message once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, object_session

from app.core.settings import settings
from app.crud.outbox import LEASE, Outbox
from app.db import DATABASE_AWAY, explain
from app.mail.console import Console
from app.mail.smtp import SMTP
from app.mail.transport import MailServerAway, Transport, Undeliverable
from app.models import OutgoingMail
from app.models.base import utc_now

log = logging.getLogger(__name__)

type SessionMaker = async_sessionmaker[Any]

SECONDS_BEFORE_SETTLING_AGAIN = 1.0

HAS_MAIL = "has_mail"


@dataclass(frozen=True, slots=True)
class Pace:
    """How many messages are sent in parallel, and how often the outbox is polled; times are in seconds."""

    at_once: int = 4
    poll_every: float = 5.0
    stops_within: float = 3.0
    lease: timedelta = LEASE


@event.listens_for(OutgoingMail, "after_insert")
def _note(_mapper: object, _connection: object, mail: OutgoingMail) -> None:
    if (session := object_session(mail)) is not None:
        session.info[HAS_MAIL] = True


def transport_of_settings() -> Transport:
    """Return the transport of the settings: the mail server, or the console if none is set."""
    server = settings.smtp
    return SMTP(server, sender=settings.mail_from) if server is not None else Console()


async def deliver_all(session_maker: SessionMaker, transport: Transport) -> None:
    """Send every message that is due now, once and in order; for scripts and tests.

    A message that cannot be sent is retried later. Messages that are added meanwhile are not sent.
    """
    now = utc_now()
    while True:
        async with session_maker() as session, session.begin():
            mail = await Outbox(session).claim(due_by=now)
        if mail is None:
            return
        try:
            await _deliver(mail, transport)
        except MailServerAway as error:
            log.warning("mail %s (%s) was put off: %s", mail.id, mail.kind, error)
            is_over = False
        else:
            is_over = True
        await _settle(session_maker, mail, is_over=is_over)


class Outage:
    """Logs once that a server cannot be reached, and once that it can be again."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._is_on = False

    def begin(self, reason: str) -> None:
        """Note a failure."""
        if not self._is_on:
            log.warning("mail waits: the %s is away: %s", self.what, reason)
        self._is_on = True

    def end(self) -> None:
        """Note a success."""
        if self._is_on:
            log.warning("mail leaves again: the %s is back", self.what)
        self._is_on = False


class Dispatcher:
    """Sends the messages that are due, a few in parallel, while it is `running()`.

    It holds no database connection while it talks to the mail server. The messages of a process that was killed are
    sent by another process when their leases end.
    """

    def __init__(
        self, transport: Transport, *, writing: SessionMaker, reading: SessionMaker, pace: Pace | None = None
    ) -> None:
        """Prepare to send.

        Args:
            transport: Sends a message.
            writing: Makes sessions with transactions.
            reading: Makes sessions in autocommit: polling an empty outbox takes no lock.
            pace: How many messages are sent in parallel, and how often the outbox is polled.
        """
        self.transport = transport
        self.pace = pace or Pace()
        self._writing, self._reading = writing, reading
        self._woken = asyncio.Event()
        self._is_stopping = False
        self._sending: set[asyncio.Task[None]] = set()
        # Sent, but not deleted because the database cannot be reached: these are not sent again.
        self._sent: set[str] = set()
        self._database, self._mail_server = Outage("database"), Outage("mail server")

    def wake(self) -> None:
        """Poll the outbox now."""
        self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send e-mail inside the block; at its end, wait up to `stops_within` seconds for messages in work."""
        loop = asyncio.get_running_loop()

        def wake_after_commit(session: Session) -> None:
            # After a savepoint, the transaction may still be rolled back.
            if not session.in_nested_transaction() and session.info.pop(HAS_MAIL, False):
                loop.call_soon_threadsafe(self.wake)

        self._is_stopping = False
        event.listen(Session, "after_commit", wake_after_commit)
        looking = asyncio.create_task(self._run(), name="mail dispatcher")
        try:
            yield
        finally:
            event.remove(Session, "after_commit", wake_after_commit)
            await self._stop(looking)

    async def _stop(self, looking: asyncio.Task[None]) -> None:
        self._is_stopping = True
        self.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.pace.stops_within):
                await asyncio.wait({looking})
                while self._sending:
                    await asyncio.wait(self._sending)
        unfinished = [looking, *self._sending]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _run(self) -> None:
        while not self._is_stopping:
            self._woken.clear()
            pause = self.pace.poll_every
            try:
                pause = await self._send_what_is_due()
            except DATABASE_AWAY as error:
                self._database.begin(explain(error))
            except Exception:
                # A bug must not stop all e-mail until the service is restarted.
                log.exception("the outbox could not be looked into")
            else:
                # A message that is being sent is still to be deleted, which shows whether the database can be written.
                if not self._sending:
                    self._database.end()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _send_what_is_due(self) -> float:
        """Start to send every message that is due, and return the seconds until the next poll."""
        while not self._is_stopping and (due := await self._next_due()) is not None:
            wait = (due - utc_now()).total_seconds()
            if wait > 0:
                return min(wait, self.pace.poll_every)
            if not await self._start_sending():
                # Another process was faster.
                break
        return self.pace.poll_every

    async def _next_due(self) -> datetime | None:
        async with self._reading() as session:
            return await Outbox(session).next_due()

    async def _start_sending(self) -> bool:
        """Claim messages and start to send them until none is due; return whether there were any."""
        any_claimed = False
        while not self._is_stopping:
            # A lease begins when a task is free to send the message.
            while len(self._sending) >= self.pace.at_once:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            async with self._writing() as session, session.begin():
                mail = await Outbox(session).claim(lease=self.pace.lease)
            if mail is None:
                break
            any_claimed = True
            task = asyncio.create_task(self._send(mail))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return any_claimed

    async def _send(self, mail: OutgoingMail) -> None:
        is_over = mail.sealed in self._sent or await self._try(mail)
        if is_over:
            self._sent.add(mail.sealed)
        # After the lease another process may claim it; this one does not send it again.
        while utc_now() < mail.due_at:
            try:
                await _settle(self._writing, mail, is_over=is_over)
            except DATABASE_AWAY as error:
                self._database.begin(explain(error))
                await asyncio.sleep(SECONDS_BEFORE_SETTLING_AGAIN)
            else:
                self._database.end()
                self._sent.discard(mail.sealed)
                break
        if not is_over:
            # It may be due again before the next poll.
            self.wake()

    async def _try(self, mail: OutgoingMail) -> bool:
        """Send a message, and return whether no retry is needed."""
        try:
            await _deliver(mail, self.transport)
        except MailServerAway as error:
            self._mail_server.begin(str(error))
            return False
        except Exception:
            # A bug, perhaps with this message alone: the others are sent.
            log.exception("mail %s (%s) could not be written or sent", mail.id, mail.kind)
            return False
        self._mail_server.end()
        return True


async def _deliver(mail: OutgoingMail, transport: Transport) -> None:
    """Render and send a message; one that the server refuses for good is dropped. Raises MailServerAway."""
    letter = mail.open()
    if letter is None:
        raise LookupError("a claimed letter can be opened")
    # Templates and their CSS take some mebibytes, which a worker that sends no e-mail does not need.
    from app.mail.rendering import write

    written = write(letter)
    # A decoy takes as long as a message, up to here.
    if letter.to is None:
        return
    try:
        await transport.send(written)
    except Undeliverable as error:
        log.warning("mail %s (%s) is dropped: %s", mail.id, mail.kind, error)


async def _settle(session_maker: SessionMaker, mail: OutgoingMail, *, is_over: bool) -> None:
    async with session_maker() as session, session.begin():
        outbox = Outbox(session)
        await (outbox.done(mail) if is_over else outbox.retry(mail))
