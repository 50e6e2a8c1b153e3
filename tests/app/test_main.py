"""The front door: `python main.py`, and what else serves the service."""

import http.client
import re
import signal
import socket
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import make_url

from tests.app.databases import connected, migrated
from tests.app.production import PRODUCTION
from tests.conftest import CreateDatabase
from tests.postgres import own_server
from tests.programs import Programs, Ran
from tests.server import free_port, start_server

PASSWORD = "correct horse battery staple"
SECRET = "nobody-may-read-this"


def sign_in(client: httpx2.Client, name: str, password: str = PASSWORD) -> httpx2.Response:
    return client.post("/auth/jwt/login", data={"username": name, "password": password})


class TestServing:
    def test_an_empty_folder_is_enough(self, programs: Programs) -> None:
        server = start_server(programs, fresh=True)
        with httpx2.Client(base_url=server.url) as client:
            ready, docs, groups = client.get("/health/ready"), client.get("/docs"), client.get("/user-groups")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
        assert docs.status_code == 200
        assert (groups.status_code, groups.json()) == (200, [])
        server.stop()
        assert {path.name for path in programs.folder.iterdir()} == {".secret-key", "test.db"}
        assert (programs.folder / ".secret-key").stat().st_mode & 0o777 == 0o600
        assert "Traceback" not in server.program.err

    def test_a_database_that_exists_is_served_again(self, programs: Programs) -> None:
        first = start_server(programs)
        account = {"email": "ann@example.com", "password": PASSWORD}
        assert httpx2.post(f"{first.url}/auth/register", json=account).status_code == 201
        first.stop()
        again = start_server(programs)
        with httpx2.Client(base_url=again.url) as client:
            token = sign_in(client, "ann@example.com").json()["access_token"]
            me = client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert (me.status_code, me.json()["email"]) == (200, "ann@example.com")

    @pytest.mark.parametrize("name", ["main:app", "app.app:app"])
    def test_uvicorn_serves_it_too(self, programs: Programs, database_url: str, name: str) -> None:
        arguments = ["-m", "uvicorn", name, "--port", "{port}"]
        server = start_server(programs, *arguments, database_url=migrated(database_url))
        groups = httpx2.get(f"{server.url}/user-groups")
        assert (groups.status_code, groups.json()) == (200, [])

    def test_the_sample_data_comes_first(self, programs: Programs, database_url: str) -> None:
        arguments = ["main.py", "--sample-data", "--password", PASSWORD]
        server = start_server(programs, *arguments, database_url=migrated(database_url))
        with httpx2.Client(base_url=server.url) as client:
            members = client.get("/user-groups/1/users")
            signed_in = sign_in(client, "admin")
        assert members.status_code == 200
        assert [set(member) for member in members.json()] == [{"id", "name"}]
        assert [member["name"] for member in members.json()] == ["Admin"]
        assert signed_in.status_code == 200

    def test_several_workers_serve(self, programs: Programs, database_url: str) -> None:
        server = start_server(programs, database_url=migrated(database_url), env={"WORKERS": "2"})
        groups = httpx2.get(f"{server.url}/user-groups")
        assert (groups.status_code, groups.json()) == (200, [])
        ran = server.stop()
        assert "Traceback" not in ran.err
        assert ran.err.count("Application startup complete") == 2

    def test_a_database_in_memory_is_one_for_all(self, programs: Programs) -> None:
        server = start_server(programs, database_url="sqlite://")
        with httpx2.Client(base_url=server.url) as client:
            registered = client.post("/auth/register", json={"email": "ann@example.com", "password": PASSWORD})
            signed_in = sign_in(client, "ann@example.com")
        assert (registered.status_code, signed_in.status_code) == (201, 200)
        assert {path.name for path in programs.folder.iterdir()} == {".secret-key"}

    def test_a_database_in_memory_has_sample_data_too(self, programs: Programs) -> None:
        server = start_server(programs, "main.py", "--sample-data", database_url="sqlite://")
        passwords = dict(re.findall(r"^(\S+@example\.com)  (\S+)$", server.program.out, re.MULTILINE))
        assert len(passwords) == 6
        with httpx2.Client(base_url=server.url) as client:
            members = client.get("/user-groups/3/users")
            signed_in = [sign_in(client, email, password).status_code for email, password in passwords.items()]
        assert {member["name"] for member in members.json()} == {"Guest One", "Guest Two", "Guest Three"}
        assert signed_in == [200] * 6
        assert server.stop().status in {0, -signal.SIGTERM}

    def test_it_ends_when_it_is_told_to(self, programs: Programs, database_url: str) -> None:
        server = start_server(programs, database_url=migrated(database_url))
        # A client that keeps its connection keeps no process.
        kept = http.client.HTTPConnection("127.0.0.1", httpx2.URL(server.url).port)
        kept.request("GET", "/health/live")
        kept.getresponse().read()
        ran = server.stop()
        kept.close()
        assert ran.status == -signal.SIGTERM
        assert "Traceback" not in ran.err
        assert "Finished server process" in ran.err

    @pytest.mark.thorough
    def test_it_ends_though_an_upload_is_stuck(self, programs: Programs) -> None:
        server = start_server(programs, database_url="sqlite://")
        with socket.create_connection(("127.0.0.1", httpx2.URL(server.url).port or 0)) as stuck:
            stuck.sendall(b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            # It is being read when an answer to a later question has come.
            assert httpx2.get(f"{server.url}/health/live").status_code == 200
            assert server.stop().status == -signal.SIGTERM


def refused(programs: Programs, url: str, **env: str) -> str:
    """Start it, and return the one sentence that it ends with."""
    ran = programs.run("main.py", env={"DATABASE_URL": url, "PORT": str(free_port()), **env})
    assert (ran.status, ran.out) == (1, "")
    assert SECRET not in ran.err
    return ran.err


class TestRefusing:
    def test_postgresql_that_is_behind(self, programs: Programs, create_database: CreateDatabase) -> None:
        url = create_database()
        shown = url.replace("postgresql://", "postgresql+asyncpg://")
        assert refused(programs, url) == f"The schema of {shown} is behind: run `alembic upgrade head`.\n"
        with connected(url) as connection:
            tables = connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert tables.scalar_one() == 0

    def test_a_folder_that_is_missing(self, programs: Programs, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/missing/test.db"
        shown = url.replace("sqlite:", "sqlite+aiosqlite:")
        assert refused(programs, url) == f"The database {shown} cannot be used: unable to open database file\n"

    def test_a_file_that_is_no_database(self, programs: Programs, tmp_path: Path) -> None:
        (tmp_path / "letter.db").write_text("Dear reader, this is no database. " * 100)
        url = f"sqlite:///{tmp_path}/letter.db"
        shown = url.replace("sqlite:", "sqlite+aiosqlite:")
        assert refused(programs, url) == f"The database {shown} cannot be used: file is not a database\n"
        assert (tmp_path / "letter.db").read_text().startswith("Dear reader")

    def test_a_database_of_other_migrations(self, programs: Programs, tmp_path: Path) -> None:
        url = migrated(f"sqlite:///{tmp_path}/newer.db")
        with connected(url) as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'newer'")
        shown = url.replace("sqlite:", "sqlite+aiosqlite:")
        sentence = f"The database {shown} cannot be used: Can't locate revision identified by 'newer'\n"
        assert refused(programs, url) == sentence

    def test_a_server_that_is_away(self, programs: Programs) -> None:
        port = free_port()
        said = refused(programs, f"postgresql://me:{SECRET}@127.0.0.1:{port}/house")
        shown = f"postgresql+asyncpg://me:***@127.0.0.1:{port}/house"
        assert re.fullmatch(rf"The database {re.escape(shown)} cannot be used: .*{port}.*\n", said)

    @own_server
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"database": "nowhere"}, 'database "nowhere" does not exist'),
            ({"username": "nobody"}, 'role "nobody" does not exist'),
            ({"query": {"ssl": SECRET}}, None),
        ],
        ids=["no database", "no role", "an option's value"],
    )
    def test_a_server_that_refuses(
        self, programs: Programs, create_database: CreateDatabase, changes: dict[str, str], reason: str | None
    ) -> None:
        url = make_url(create_database()).set(password=SECRET, **changes)  # type: ignore[arg-type]  # One of its parts
        shown = url.set(drivername="postgresql+asyncpg", query={}).render_as_string()
        said = refused(programs, url.render_as_string(hide_password=False))
        beginning = f"The database {shown} cannot be used: "
        if reason is None:
            assert said.startswith(beginning)
            assert said.count("\n") == 1
        else:
            assert said == f"{beginning}{reason}\n"

    @own_server
    def test_a_wrong_password(self, programs: Programs, create_database: CreateDatabase) -> None:
        url = create_database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE locked LOGIN PASSWORD 'the right one'")
            row = connection.execute("SHOW hba_file").fetchone()
            assert row is not None
            before = Path(row[0]).read_text()
            Path(row[0]).write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + before)
            connection.execute("SELECT pg_reload_conf()")
        given = make_url(url).set(username="locked", password=SECRET)
        # Not every process of the server reads its rules at once.
        said = ""
        for _ in range(100):
            said = refused(programs, given.render_as_string(hide_password=False))
            if "behind" not in said:
                break
        shown = given.set(drivername="postgresql+asyncpg").render_as_string()
        assert said == f'The database {shown} cannot be used: password authentication failed for user "locked"\n'
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP ROLE locked")

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            (SECRET, "not a database URL; for example postgresql://user:password@host/name"),
            (
                f"postgresql://me:a:b@{SECRET}:x/y",
                "not a database URL; for example postgresql://user:password@host/name",
            ),
            (f"mysql://me:{SECRET}@localhost/house", "mysql is not supported; use sqlite or postgresql"),
            (f"nosuch+driver://me:{SECRET}@localhost/house", "nosuch is not supported; use sqlite or postgresql"),
        ],
    )
    def test_a_wrong_url(self, programs: Programs, url: str, reason: str) -> None:
        assert refused(programs, url) == f"The settings are wrong:\n- DATABASE_URL: {reason}\n"

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_a_port_that_is_in_use(self, programs: Programs, workers: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            said = refused(programs, "sqlite:///./test.db", PORT=str(port), WORKERS=workers)
        assert said == f"Nobody can listen on 127.0.0.1, port {port}: Address already in use.\n"
        assert not (programs.folder / "test.db").exists()

    def test_sample_data_in_production(self, programs: Programs) -> None:
        for url in ("sqlite://", "sqlite:///./test.db"):
            ran = programs.run(
                "main.py", "--sample-data", env={**PRODUCTION, "DATABASE_URL": url, "PORT": str(free_port())}
            )
            assert ran == Ran(1, "", "The sample data is no data for production.\n")
        assert list(programs.folder.iterdir()) == []
