"""The dispatcher sends what is in the outbox."""

import asyncio
import logging
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.crud.outbox import Outbox
from app.mail.smtp import SMTP
from app.mail.transport import MailServerAway, Undeliverable
from app.models import OutgoingMail
from app.models.base import utc_now
from app.services.dispatcher import Pace, deliver_all
from tests.app.dispatcher.conftest import Recorder, World
from tests.app.mail_server import SENDER, Inbox, mail_server, server_at, until
from tests.server import free_port

# Nobody polls: what leaves was told to.
NEVER = 3600.0
IMPATIENT = Pace(poll_every=0.05)


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
