"""Mail leaves at once, waits while something is away, and survives every end: each letter once."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession

from app import db
from app.core.settings import settings
from app.crud.outbox import Outbox
from app.mail.messages import Mail
from app.mail.smtp import SMTP
from app.mail.transport import MailServerAway, Undeliverable
from app.models import OutgoingMail
from app.models.base import utc_now
from app.services.dispatcher import Dispatcher, Pace, SessionMaker, deliver_all
from fastapi_users_sqlmodel.engines import async_url, autocommit_options
from tests.app.databases import migrated
from tests.app.mail_server import SENDER, Inbox, mail_server, server_at, text_of, until
from tests.programs import Program, Programs
from tests.server import free_port, start_server

# Nobody polls: what leaves was told to.
NEVER = 3600.0
IMPATIENT = Pace(poll_every=0.05)

# A program that sends mail as the service does, with leases that are soon over.
DISPATCH = """
import asyncio, sys
from datetime import timedelta
from app import db
from app.core.logging import configure_logging
from app.core.settings import settings
from app.mail.smtp import SMTP
from app.services.dispatcher import Dispatcher, Pace
from tests.app.mail_server import SENDER, server_at

async def main():
    transport = SMTP(server_at(int(sys.argv[1])), sender=SENDER)
    pace = Pace(poll_every=0.1, lease=timedelta(seconds=float(sys.argv[2])))
    dispatcher = Dispatcher(transport, writing=db.async_session_maker, reading=db.autocommit_session_maker, pace=pace)
    async with dispatcher.running():
        print("ready", flush=True)
        await asyncio.Event().wait()

configure_logging(settings)
asyncio.run(main())
"""


class Recorder:
    """Takes letters, or does not."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.attempts = 0
        self.failure: Exception | None = None
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def send(self, mail: Mail) -> None:
        self.attempts += 1
        await self.may_finish.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(mail.to)


class World(NamedTuple):
    """A database that keeps what is committed, and sessions as the service makes them."""

    url: str
    engine: AsyncEngine
    writing: SessionMaker
    reading: SessionMaker

    async def put(self, *addresses: str, kind: str = "password_changed") -> None:
        async with self.writing() as session, session.begin():
            for address in addresses:
                await Outbox(session).put(kind, address)

    async def left(self) -> int:
        """Count the letters that have not left."""
        async with self.reading() as session:
            return len((await session.exec(select(OutgoingMail.id))).all())  # type: ignore[call-overload]  # SQLAlchemy's

    async def is_empty(self) -> None:
        """Wait until every letter has left."""
        async with asyncio.timeout(30):
            while await self.left():  # noqa: ASYNC110  # The letters are in a database, which tells nobody
                await asyncio.sleep(0.01)

    def dispatcher(self, transport: Recorder | SMTP, pace: Pace) -> Dispatcher:
        return Dispatcher(transport, writing=self.writing, reading=self.reading, pace=pace)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    migrated(database_url)
    url = async_url(database_url).render_as_string(hide_password=False)
    engine = db.create_app_engine(settings.model_copy(update={"database_url": url}))
    readers = engine.execution_options(**autocommit_options(engine.sync_engine))
    yield World(
        database_url,
        engine,
        async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False),
        async_sessionmaker(readers, class_=AsyncSession, expire_on_commit=False),
    )
    await engine.dispose()


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


class TestWaking:
    async def test_what_is_committed_leaves_at_once(self, world: World, recorder: Recorder) -> None:
        async with world.dispatcher(recorder, Pace(poll_every=NEVER)).running():
            await asyncio.sleep(0.1)
            await world.put("anna@example.com")
            await until(lambda: recorder.sent == ["anna@example.com"])
            await world.is_empty()

    async def test_a_savepoint_is_not_a_commit(self, world: World, recorder: Recorder) -> None:
        async with world.dispatcher(recorder, Pace(poll_every=NEVER)).running(), world.writing() as session:
            await session.begin()
            async with session.begin_nested():
                await Outbox(session).put("password_changed", "anna@example.com")
            await asyncio.sleep(0.2)
            assert recorder.attempts == 0
            await session.commit()
            await until(lambda: recorder.sent == ["anna@example.com"])

    async def test_what_is_rolled_back_never_leaves(self, world: World, recorder: Recorder) -> None:
        async with world.dispatcher(recorder, IMPATIENT).running():
            async with world.writing() as session:
                await session.begin()
                await Outbox(session).put("password_changed", "anna@example.com")
                await session.rollback()
            await world.put("berta@example.com")
            await until(lambda: recorder.sent == ["berta@example.com"])
            await asyncio.sleep(0.2)
        assert recorder.sent == ["berta@example.com"]

    async def test_what_others_have_put_there_is_found_by_polling(self, world: World, recorder: Recorder) -> None:
        await world.put("anna@example.com")
        async with world.dispatcher(recorder, IMPATIENT).running():
            await until(lambda: recorder.sent == ["anna@example.com"])

    async def test_a_decoy_is_erased_and_not_sent(self, world: World, recorder: Recorder) -> None:
        async with world.writing() as session, session.begin():
            await Outbox(session).put("reset_password", None)
        async with world.dispatcher(recorder, IMPATIENT).running():
            await world.is_empty()
        assert recorder.attempts == 0

    async def test_where_nothing_is_due_no_lock_is_taken(self, world: World, recorder: Recorder) -> None:
        statements: list[str] = []
        event.listen(
            world.engine.sync_engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
        )
        async with world.dispatcher(recorder, IMPATIENT).running():
            await until(lambda: len(statements) >= 5)
        # On SQLite, who wants to write says BEGIN IMMEDIATE.
        assert {statement.split()[0] for statement in statements} == {"SELECT"}


class TestSending:
    async def test_so_many_at_once_and_no_more_without_a_connection(self, world: World, recorder: Recorder) -> None:
        recorder.may_finish.clear()
        addresses = [f"{number}@example.com" for number in range(7)]
        await world.put(*addresses)
        async with world.dispatcher(recorder, Pace(at_once=3, poll_every=0.05)).running():
            await until(lambda: recorder.attempts == 3)
            await asyncio.sleep(0.2)
            assert recorder.attempts == 3
            assert world.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # Of a pool that is a queue
            recorder.may_finish.set()
            await world.is_empty()
        assert Counter(recorder.sent) == Counter(addresses)

    async def test_who_is_refused_for_good_is_not_written_to_again(
        self, world: World, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder.failure = Undeliverable("the mail server refuses the recipient, with code 550")
        await world.put("anna@example.com")
        with caplog.at_level(logging.WARNING):
            async with world.dispatcher(recorder, IMPATIENT).running():
                await world.is_empty()
        assert recorder.attempts == 1
        assert caplog.messages == [
            "mail 1 (password_changed) is dropped: the mail server refuses the recipient, with code 550"
        ]

    async def test_a_mistake_in_one_letter_does_not_stop_the_others(
        self, world: World, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with world.writing() as session, session.begin():
            await Outbox(session).put("password_changed", "anna@example.com")
            (await session.get_one(OutgoingMail, 1)).kind = "nonsense"
        await world.put("berta@example.com")
        async with world.dispatcher(recorder, IMPATIENT).running():
            await until(lambda: recorder.sent == ["berta@example.com"])
            await until(lambda: "mail 1 (nonsense) could not be written or sent" in caplog.messages)
        assert "anna" not in caplog.text


class TestAway:
    async def test_a_mail_server(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """It is said once that it is away, and once that it is back; then everything leaves."""
        inbox, port = Inbox(), free_port()
        with caplog.at_level(logging.WARNING, "app"):
            async with world.dispatcher(SMTP(server_at(port), sender=SENDER), IMPATIENT).running():
                await world.put("anna@example.com", "berta@example.com")
                await asyncio.sleep(1)
                async with mail_server(inbox, port=port):
                    await world.is_empty()
        assert sorted(inbox.recipients) == ["anna@example.com", "berta@example.com"]
        away, back = caplog.messages
        assert away.startswith("mail waits: the mail server is away: ")
        assert back == "mail leaves again: the mail server is back"
        assert "example.com" not in caplog.text
        assert "Traceback" not in caplog.text

    async def test_a_database(self, world: World, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
        def fail(*_: object) -> None:
            raise OperationalError("SELECT", None, Exception("nobody listens"))

        await world.put("anna@example.com")
        event.listen(world.engine.sync_engine, "before_cursor_execute", fail)
        with caplog.at_level(logging.WARNING, "app"):
            async with world.dispatcher(recorder, IMPATIENT).running():
                await asyncio.sleep(0.5)
                event.remove(world.engine.sync_engine, "before_cursor_execute", fail)
                await world.is_empty()
        assert recorder.sent == ["anna@example.com"]
        away, back = caplog.messages
        assert away.startswith("mail waits: the database is away: ")
        assert back == "mail leaves again: the database is back"
        assert "Traceback" not in caplog.text

    async def test_a_database_after_the_letter_was_sent(self, world: World, recorder: Recorder) -> None:
        """The letter is erased when it is back, and not sent again, not even by the next lease."""
        recorder.may_finish.clear()
        await world.put("anna@example.com")
        deleting: list[str] = []

        def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if statement.startswith("DELETE"):
                deleting.append(statement)
                raise OperationalError(statement, None, Exception("nobody listens"))

        event.listen(world.engine.sync_engine, "before_cursor_execute", fail)
        pace = Pace(poll_every=0.05, lease=timedelta(seconds=0.5))
        async with world.dispatcher(recorder, pace).running():
            await until(lambda: recorder.attempts == 1)
            recorder.may_finish.set()
            await until(lambda: len(deleting) >= 3)
            event.remove(world.engine.sync_engine, "before_cursor_execute", fail)
            await world.is_empty()
        assert recorder.sent == ["anna@example.com"]

    async def test_a_mistake_of_ours_ends_nothing(
        self, world: World, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise LookupError("a mistake")

        event.listen(world.engine.sync_engine, "before_cursor_execute", fail)
        async with world.dispatcher(recorder, IMPATIENT).running():
            await until(lambda: "the outbox could not be looked into" in caplog.messages)
            event.remove(world.engine.sync_engine, "before_cursor_execute", fail)
            await world.put("anna@example.com")
            await until(lambda: recorder.sent == ["anna@example.com"])


class TestStopping:
    async def test_what_is_being_sent_is_finished(self, world: World, recorder: Recorder) -> None:
        recorder.may_finish.clear()
        await world.put("anna@example.com")
        async with world.dispatcher(recorder, IMPATIENT).running():
            await until(lambda: recorder.attempts == 1)
            asyncio.get_running_loop().call_later(0.2, recorder.may_finish.set)
        assert recorder.sent == ["anna@example.com"]
        assert await world.left() == 0

    async def test_what_takes_too_long_is_left_to_its_lease(self, world: World, recorder: Recorder) -> None:
        recorder.may_finish.clear()
        await world.put("anna@example.com")
        tasks = asyncio.all_tasks()
        async with world.dispatcher(recorder, Pace(stops_within=0.1)).running():
            await until(lambda: recorder.attempts == 1)
        async with world.reading() as session:
            due = await Outbox(session).next_due()
        assert due is not None
        assert due > utc_now() + timedelta(seconds=30)
        assert asyncio.all_tasks() == tasks


class TestDeliverAll:
    async def test_sends_what_is_due_once_and_in_order(self, world: World, recorder: Recorder) -> None:
        addresses = [f"{number}@example.com" for number in range(5)]
        await world.put(*addresses)
        await deliver_all(world.writing, recorder)
        assert recorder.sent == addresses
        assert await world.left() == 0

    async def test_puts_off_what_does_not_leave(
        self, world: World, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder.failure = MailServerAway("not now, with code 451")
        await world.put("anna@example.com")
        with caplog.at_level(logging.WARNING, "app"):
            await deliver_all(world.writing, recorder)
        assert recorder.attempts == 1
        assert await world.left() == 1
        assert caplog.messages == ["mail 1 (password_changed) was put off: not now, with code 451"]


class TestProcesses:
    @pytest.fixture
    def env(self, world: World) -> dict[str, str]:
        return {"DATABASE_URL": world.url, "SECRET_KEY": settings.secret_key.get_secret_value()}

    def start(self, programs: Programs, env: dict[str, str], port: int, *, lease: float = 60) -> Program:
        program = programs.start("-c", DISPATCH, str(port), str(lease), env=env)
        program.until(lambda: "ready" in program.out or None)
        return program

    async def test_one_that_is_killed_in_the_middle_leaves_no_more_than_a_duplicate(
        self, world: World, programs: Programs, env: dict[str, str]
    ) -> None:
        inbox = Inbox()
        inbox.accepts.clear()
        await world.put("anna@example.com")
        async with mail_server(inbox) as port:
            program = self.start(programs, env, port, lease=1)
            # The mail server has the letter, and has not said so yet.
            await until(lambda: len(inbox.envelopes) == 1)
            program.kill()
            inbox.accepts.set()
            self.start(programs, env, port, lease=1)
            await world.is_empty()
            # Longer than a lease: there is nothing left to send.
            await asyncio.sleep(1.5)
        assert inbox.recipients == ["anna@example.com"] * 2
        assert len(set(inbox.message_ids)) == 1

    async def test_several_services_send_each_letter_once(
        self, world: World, programs: Programs, env: dict[str, str]
    ) -> None:
        inbox = Inbox()
        addresses = [f"{number}@example.com" for number in range(40)]
        async with mail_server(inbox) as port:
            sending = {"SMTP_URL": f"smtp://127.0.0.1:{port}", "MAIL_FROM": SENDER}
            await world.put(*addresses[:20])
            servers = [start_server(programs, database_url=world.url, env={**env, **sending}) for _ in range(2)]
            await world.put(*addresses[20:])
            await world.is_empty()
            ended = [server.stop() for server in servers]
        assert Counter(inbox.recipients) == Counter(addresses)
        assert {message["From"] for message in inbox.messages} == {SENDER}
        assert all("Application shutdown complete" in program.err for program in ended)
        assert not [program.err for program in ended if "Task" in program.err or "Traceback" in program.err]

    async def test_a_request_does_not_wait_for_the_mail_server(
        self, world: World, programs: Programs, env: dict[str, str]
    ) -> None:
        inbox = Inbox()
        inbox.accepts.clear()
        async with mail_server(inbox) as port:
            sending = {"SMTP_URL": f"smtp://127.0.0.1:{port}", "MAIL_FROM": SENDER}
            server = start_server(programs, database_url=world.url, env={**env, **sending})
            async with server.client() as client:
                new = {"email": "Anna@example.com", "password": "correct horse battery staple", "name": "Anna"}
                answer = await client.post("/auth/register", json=new)
                assert answer.status_code == 201
                # Its letter is on its way, and nobody else waits for that either.
                await until(lambda: len(inbox.envelopes) == 1)
                assert (await client.get("/posts")).status_code == 200
                inbox.accepts.set()
                await world.is_empty()
            server.stop()
        (message,) = inbox.messages
        assert (message["To"], message["Subject"]) == ("Anna@example.com", "Verify your e-mail address")
        assert text_of(message).startswith("Hello Anna,")

    async def test_a_service_without_a_mail_server_prints(
        self, world: World, programs: Programs, env: dict[str, str]
    ) -> None:
        await world.put("anna@example.com")
        server = start_server(programs, database_url=world.url, env=env)
        server.program.until(
            lambda: "To: anna@example.com\nSubject: Your password was changed" in server.program.out or None
        )
        server.stop()

    async def test_several_send_each_letter_once(self, world: World, programs: Programs, env: dict[str, str]) -> None:
        inbox = Inbox()
        addresses = [f"{number}@example.com" for number in range(40)]
        async with mail_server(inbox) as port:
            started = [self.start(programs, env, port) for _ in range(4)]
            await world.put(*addresses)
            await world.is_empty()
            for program in started:
                program.kill()
        assert Counter(inbox.recipients) == Counter(addresses)
        assert [program.err for program in started] == [""] * 4
