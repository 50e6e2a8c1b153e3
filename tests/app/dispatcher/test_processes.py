"""Several services send each mail once."""

import asyncio
from collections import Counter

import pytest

from app.core.settings import settings
from tests.app.dispatcher.conftest import World
from tests.app.mail_server import SENDER, Inbox, mail_server, text_of, until
from tests.programs import Program, Programs
from tests.server import start_server

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
