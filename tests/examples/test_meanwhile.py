"""What goes on while passwords are hashed."""

import asyncio
from pathlib import Path

from tests.conftest import CreateDatabase
from tests.examples.running import (
    CONFIGURED,
    bearer,
    count,
    login,
    noted,
    register,
    start_example,
)
from tests.programs import Programs


class TestWhileOthersSignIn:
    async def test_nobody_waits_and_no_transaction_is_open(
        self, programs: Programs, create_database: CreateDatabase, notes: Path
    ) -> None:
        """Twenty logins have asked for a hash and get none before they are let go: meanwhile all else goes on."""
        database_url = create_database()
        server = start_example(programs, CONFIGURED, DATABASE_URL=database_url, NOTES=str(notes))

        def in_transaction() -> int:
            of_others = "state LIKE 'idle in transaction%' AND datname = current_database()"
            return count(database_url, f"SELECT count(*) FROM pg_stat_activity WHERE {of_others}")

        async with server.client() as client:
            emails = [f"user{number}@example.com" for number in range(10)]
            for email in emails:
                await register(client, email)
            headers = await bearer(client, emails[0])
            hold = notes / "hold"
            hold.touch()
            async with asyncio.TaskGroup() as group:
                logins = [group.create_task(login(client, email)) for email in emails * 2]
                await asyncio.to_thread(server.program.until, lambda: noted(notes, "asked") == 21 or None)
                assert in_transaction() == 0
                for path in ("/users/me", "/authenticated-route", "/openapi.json"):
                    assert (await client.get(path, headers=headers)).status_code == 200
                forgot = await client.post("/auth/forgot-password", json={"email": emails[1]})
                assert forgot.status_code == 202
                assert not any(task.done() for task in logins)
                # What was open for those has ended as well.
                await asyncio.to_thread(server.program.until, lambda: in_transaction() == 0 or None)
                hold.unlink()
        assert {task.result().status_code for task in logins} == {200}
