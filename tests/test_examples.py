"""FastAPI Users' own example, changed only in its imports: all of its flows work, and what they left open is closed."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from sqlalchemy import Connection, NullPool, create_engine, text

from fastapi_users_sqlmodel.engines import sync_url
from tests.conftest import CreateDatabase
from tests.programs import Programs
from tests.server import Server, start_server
from tests.spellings import SPELLINGS, TYPED

EXAMPLE = "examples.fastapi_users_documentation.app:app"
CONFIGURED = "tests.examples.configured:app"
WITH_USERNAME = "tests.examples.with_username:app"

ANNA = "anna@example.com"
PASSWORD = "correct horse battery"
NEW_PASSWORD = "wrong horse, other battery"
WRONG = "not this horse at all"

# What the example prints by itself.
PRINTED = re.compile(
    r"User \S+ has registered\.|User \S+ has forgot their password\. Reset token: \S+"
    r"|Verification requested for user \S+\. Verification token: \S+"
)


def start_example(programs: Programs, app: str = EXAMPLE, **env: str) -> Server:
    """Start it in the folder of the programs, where its test.db then is."""
    arguments = ("-m", "uvicorn", app, "--port", "{port}", "--log-level", "debug")
    return start_server(programs, *arguments, env=env, until="/openapi.json")


@pytest.fixture
def example(programs: Programs) -> Server:
    return start_example(programs)


@pytest.fixture
def example_url(programs: Programs) -> str:
    """Return the URL of the database that the example makes."""
    return f"sqlite:///{programs.folder}/test.db"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def noted(notes: Path, name: str) -> int:
    return len((notes / name).read_text().splitlines()) if (notes / name).exists() else 0


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect to the database of an example, in a transaction that is committed at the end."""
    with create_engine(sync_url(url), poolclass=NullPool).begin() as connection:
        yield connection


def execute(url: str, statement: str, **values: Any) -> None:
    with connected(url) as connection:
        connection.execute(text(statement), values)


def count(url: str, statement: str, **values: Any) -> int:
    with connected(url) as connection:
        found: int = connection.execute(text(statement), values).scalar_one()
    return found


def make_superuser(url: str, email: str) -> None:
    execute(url, 'UPDATE "user" SET is_superuser = true WHERE email = :email', email=email)


async def register(client: httpx2.AsyncClient, email: str = ANNA, password: str = PASSWORD) -> str:
    """Register, and return the id."""
    answer = await client.post("/auth/register", json={"email": email, "password": password})
    assert answer.status_code == 201, answer.text
    user_id: str = answer.json()["id"]
    return user_id


async def login(client: httpx2.AsyncClient, name: str = ANNA, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/auth/jwt/login", data={"username": name, "password": password})


async def bearer(client: httpx2.AsyncClient, name: str = ANNA, password: str = PASSWORD) -> dict[str, str]:
    """Sign in, and return the headers of who has."""
    answer = await login(client, name, password)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def printed_token(server: Server, kind: str, user_id: str) -> str:
    pattern = {
        "reset": rf"User {user_id} has forgot their password\. Reset token: (\S+)\n",
        "verify": rf"Verification requested for user {user_id}\. Verification token: (\S+)\n",
    }[kind]
    found = await asyncio.to_thread(server.program.until, lambda: re.findall(pattern, server.program.out) or None)
    token: str = found[-1]
    return token


def said(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json() if answer.content else None


def code(name: str) -> tuple[int, Any]:
    return 400, {"detail": name}


class TestFlows:
    """FastAPI Users' documented flows, with its URLs and codes."""

    async def test_routes(self, example: Server) -> None:
        async with example.client() as client:
            paths = (await client.get("/openapi.json")).json()["paths"]
        assert {(method, path) for path, operations in paths.items() for method in operations} == {
            ("post", "/auth/register"),
            ("post", "/auth/jwt/login"),
            ("post", "/auth/jwt/logout"),
            ("post", "/auth/forgot-password"),
            ("post", "/auth/reset-password"),
            ("post", "/auth/request-verify-token"),
            ("post", "/auth/verify"),
            ("get", "/users/me"),
            ("patch", "/users/me"),
            ("get", "/users/{id}"),
            ("patch", "/users/{id}"),
            ("delete", "/users/{id}"),
            ("get", "/authenticated-route"),
        }

    async def test_register(self, example: Server) -> None:
        async with example.client() as client:
            flags = {"is_active": False, "is_superuser": True, "is_verified": True}
            answer = await client.post("/auth/register", json={"email": ANNA, "password": PASSWORD, **flags})
            user_id = answer.json()["id"]
            assert said(answer) == (
                201,
                {"id": user_id, "email": ANNA, "is_active": True, "is_superuser": False, "is_verified": False},
            )
            again = await client.post("/auth/register", json={"email": ANNA.upper(), "password": PASSWORD})
            assert said(again) == code("REGISTER_USER_ALREADY_EXISTS")
            weak = await client.post("/auth/register", json={"email": "bert@example.com", "password": "bert"})
            reason = "Password should be at least 8 characters"
            assert said(weak) == (400, {"detail": {"code": "REGISTER_INVALID_PASSWORD", "reason": reason}})
            assert (await client.post("/auth/register", json={"email": "bert", "password": PASSWORD})).is_error
            await asyncio.to_thread(
                example.program.until, lambda: f"User {user_id} has registered.\n" in example.program.out or None
            )

    async def test_sign_in_and_out(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            user_id = await register(client)
            assert said(await login(client, ANNA, WRONG)) == code("LOGIN_BAD_CREDENTIALS")
            answer = await login(client)
            assert answer.status_code == 200
            assert answer.json() == {"access_token": answer.json()["access_token"], "token_type": "bearer"}
            headers = await bearer(client)
            hello = await client.get("/authenticated-route", headers=headers)
            assert said(hello) == (200, {"message": f"Hello {ANNA}!"})
            me = await client.get("/users/me", headers=headers)
            assert said(me) == (
                200,
                {"id": user_id, "email": ANNA, "is_active": True, "is_superuser": False, "is_verified": False},
            )
            assert said(await client.post("/auth/jwt/logout", headers=headers)) == (204, None)
            for method, path in (("GET", "/users/me"), ("GET", "/authenticated-route"), ("POST", "/auth/jwt/logout")):
                assert said(await client.request(method, path)) == (401, {"detail": "Unauthorized"})
            execute(example_url, 'UPDATE "user" SET is_active = false')
            assert said(await login(client)) == code("LOGIN_BAD_CREDENTIALS")
            assert (await client.get("/users/me", headers=headers)).status_code == 401

    async def test_change_my_password(self, example: Server) -> None:
        async with example.client() as client:
            await register(client)
            headers = await bearer(client)
            change = {"password": NEW_PASSWORD}

            async def patch(**fields: Any) -> tuple[int, Any]:
                return said(await client.patch("/users/me", json=fields, headers=headers))

            assert (await patch(**change))[0] == 422
            assert await patch(**change, current_password=WRONG) == code("CURRENT_PASSWORD_BAD")
            status, body = await patch(password="anna", current_password=PASSWORD)
            assert (status, body["detail"]["code"]) == (400, "UPDATE_USER_INVALID_PASSWORD")
            assert (await patch(**change, current_password=PASSWORD))[0] == 200
            assert said(await login(client)) == code("LOGIN_BAD_CREDENTIALS")
            assert (await login(client, ANNA, NEW_PASSWORD)).status_code == 200

    async def test_change_my_rights_and_address(self, example: Server) -> None:
        async with example.client() as client:
            await register(client)
            headers = await bearer(client)
            before = said(await client.get("/users/me", headers=headers))
            refused = await client.patch("/users/me", json={"is_superuser": True}, headers=headers)
            assert refused.status_code == 422
            # What is sent as it is changes nothing, and neither does an address before it is confirmed.
            same = {"email": ANNA, "is_active": True, "is_superuser": False, "is_verified": False}
            other = {"email": "other@example.com", "current_password": PASSWORD}
            for fields in ({}, same, other):
                assert said(await client.patch("/users/me", json=fields, headers=headers)) == before
            assert said(await client.get("/users/me", headers=headers)) == before

    async def test_verify(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            anna, bert = await register(client), await register(client, "bert@example.com")
            for email in (ANNA, "bert@example.com"):
                assert said(await client.post("/auth/request-verify-token", json={"email": email})) == (202, None)
            token = await printed_token(example, "verify", anna)
            bad = await client.post("/auth/verify", json={"token": token[::-1]})
            assert said(bad) == code("VERIFY_USER_BAD_TOKEN")
            # A token of another purpose is worth nothing.
            reset = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
            assert said(reset) == code("RESET_PASSWORD_BAD_TOKEN")
            answer = await client.post("/auth/verify", json={"token": token})
            assert said(answer) == (
                200,
                {"id": anna, "email": ANNA, "is_active": True, "is_superuser": False, "is_verified": True},
            )
            again = await client.post("/auth/verify", json={"token": token})
            assert said(again) == code("VERIFY_USER_BAD_TOKEN")
            execute(example_url, 'UPDATE "user" SET is_verified = true')
            late = await client.post("/auth/verify", json={"token": await printed_token(example, "verify", bert)})
            assert said(late) == code("VERIFY_USER_ALREADY_VERIFIED")

    async def test_reset_a_forgotten_password(self, example: Server) -> None:
        async with example.client() as client:
            user_id = await register(client)
            assert said(await client.post("/auth/forgot-password", json={"email": ANNA})) == (202, None)
            token = await printed_token(example, "reset", user_id)

            async def reset(token: str, password: str) -> tuple[int, Any]:
                body = {"token": token, "password": password}
                return said(await client.post("/auth/reset-password", json=body))

            assert await reset(token[::-1], NEW_PASSWORD) == code("RESET_PASSWORD_BAD_TOKEN")
            verified = await client.post("/auth/verify", json={"token": token})
            assert said(verified) == code("VERIFY_USER_BAD_TOKEN")
            reason = "Password should be at least 8 characters"
            invalid = {"detail": {"code": "RESET_PASSWORD_INVALID_PASSWORD", "reason": reason}}
            assert await reset(token, "anna") == (400, invalid)
            assert await reset(token, NEW_PASSWORD) == (200, None)
            assert await reset(token, PASSWORD) == code("RESET_PASSWORD_BAD_TOKEN")
            assert said(await login(client)) == code("LOGIN_BAD_CREDENTIALS")
            assert (await login(client, ANNA, NEW_PASSWORD)).status_code == 200

    async def test_administer(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            anna, root = await register(client), await register(client, "root@example.com")
            make_superuser(example_url, "root@example.com")
            by_anna, by_root = await bearer(client), await bearer(client, "root@example.com")
            for method, path in (("GET", anna), ("PATCH", anna), ("DELETE", anna)):
                body: dict[str, Any] | None = {} if method == "PATCH" else None
                url = f"/users/{path}"
                assert said(await client.request(method, url, json=body)) == (401, {"detail": "Unauthorized"})
                forbidden = await client.request(method, url, json=body, headers=by_anna)
                assert said(forbidden) == (403, {"detail": "Forbidden"})
                for nobody in ("00000000-0000-4000-8000-000000000000", "x"):
                    missing = await client.request(method, f"/users/{nobody}", json=body, headers=by_root)
                    assert said(missing) == (404, {"detail": "Not Found"})
            read = {"id": anna, "email": ANNA, "is_active": True, "is_superuser": False, "is_verified": False}
            assert said(await client.get(f"/users/{anna}", headers=by_root)) == (200, read)

            async def patch(user_id: str, **fields: Any) -> tuple[int, Any]:
                return said(await client.patch(f"/users/{user_id}", json=fields, headers=by_root))

            assert await patch(anna, is_verified=True) == (200, {**read, "is_verified": True})
            assert await patch(anna, email="ROOT@example.com") == code("UPDATE_USER_EMAIL_ALREADY_EXISTS")
            assert (await patch(anna, password=NEW_PASSWORD))[0] == 422
            assert await patch(root, is_superuser=False) == (409, {"detail": "LAST_SUPERUSER"})
            assert said(await client.delete(f"/users/{anna}", headers=by_root)) == (204, None)
            assert said(await login(client)) == code("LOGIN_BAD_CREDENTIALS")
            assert (await client.get("/users/me", headers=by_anna)).status_code == 401


class TestRaces:
    async def test_of_six_who_register_at_once_one_does(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            bodies = [{"email": spelling, "password": PASSWORD} for spelling in SPELLINGS[:6]]
            answers = await asyncio.gather(*(client.post("/auth/register", json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 5}
        assert {answer.text for answer in answers if answer.is_error} == {'{"detail":"REGISTER_USER_ALREADY_EXISTS"}'}
        assert count(example_url, 'SELECT count(*) FROM "user"') == 1

    async def test_of_eight_who_use_one_token_at_once_one_does(
        self, programs: Programs, database_url: str, notes: Path
    ) -> None:
        server = start_example(programs, CONFIGURED, DATABASE_URL=database_url, NOTES=str(notes), LIMITS="off")
        async with server.client() as client:
            for number in range(50):
                email = f"user{number}@example.com"
                user_id = await register(client, email)
                await client.post("/auth/forgot-password", json={"email": email})
                token = await printed_token(server, "reset", user_id)
                passwords = [f"{NEW_PASSWORD} {n}" for n in range(8)]
                bodies = [{"token": token, "password": password} for password in passwords]
                answers = await asyncio.gather(*(client.post("/auth/reset-password", json=body) for body in bodies))
                assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 7}
                refused = {answer.text for answer in answers if answer.is_error}
                assert refused == {'{"detail":"RESET_PASSWORD_BAD_TOKEN"}'}
                done = next(password for password, one in zip(passwords, answers, strict=True) if one.is_success)
                logins = [await login(client, email, password) for password in (done, PASSWORD)]
                assert [answer.status_code for answer in logins] == [200, 400]


class TestThrottling:
    async def test_fifty_wrong_passwords_at_once(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            await register(client, TYPED)
            # Who knows the password is not counted.
            assert [(await login(client, spelling)).status_code for spelling in SPELLINGS] == [200] * 8
            names = [SPELLINGS[number % 8] for number in range(50)]
            answers = await asyncio.gather(*(login(client, name, WRONG) for name in names))
            right = await login(client, TYPED)
        require_limit(answers, right, limit=5)
        failed = "SELECT count(*) FROM user_audit_event WHERE kind = 'login_failed'"
        assert count(example_url, failed) == 5

    async def test_four_processes_that_share_a_valkey(
        self, programs: Programs, database_url: str, notes: Path, valkey_url: str
    ) -> None:
        with redis.Redis.from_url(valkey_url) as valkey:
            valkey.flushall()
        env = {
            "DATABASE_URL": database_url,
            "NOTES": str(notes),
            "LIMITS": f"{valkey_url}?socket_timeout=60&socket_connect_timeout=60",
        }
        servers = [start_example(programs, WITH_USERNAME, **env) for _ in range(4)]
        clients = [server.client() for server in servers]
        await register(clients[0], TYPED)
        execute(database_url, 'UPDATE "user" SET username = :name', name="joerg")
        names = [*SPELLINGS, "joerg", " Joerg "]
        right = [await login(client, name) for client in clients for name in names]
        assert {answer.status_code for answer in right} == {200}
        before = noted(notes, "computed")
        assert before == len(right)
        attempts = [(clients[number % 4], names[number % 10]) for number in range(50)]
        answers = await asyncio.gather(*(login(client, name, WRONG) for client, name in attempts))
        for client in clients:
            for name in (TYPED, "joerg"):
                require_limit(answers, await login(client, name), limit=5)
        # Exactly the limit has reached the hasher, over all processes.
        assert noted(notes, "computed") - before == 5
        assert count(database_url, "SELECT count(*) FROM user_audit_event WHERE kind = 'login_failed'") == 5
        for client in clients:
            await client.aclose()


def require_limit(answers: list[httpx2.Response], right: httpx2.Response, *, limit: int) -> None:
    """Require that so many wrong passwords were looked at, and then not even the right one."""
    assert Counter(answer.status_code for answer in answers) == {400: limit, 429: len(answers) - limit}
    assert {answer.text for answer in answers if answer.status_code == 400} == {'{"detail":"LOGIN_BAD_CREDENTIALS"}'}
    for refused in (*(answer for answer in answers if answer.status_code == 429), right):
        assert said(refused) == (429, {"detail": "Too Many Requests"})
        assert 1 <= int(refused.headers["Retry-After"]) <= 300


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


class TestSecrets:
    async def test_nobody_learns_who_has_an_account(self, example: Server, example_url: str) -> None:
        """Date aside, the answers are the same bytes."""
        emails = [ANNA, "inactive@example.com", "nobody@example.com"]
        answers: dict[str, list[httpx2.Response]] = {}
        async with example.client() as client:
            for email in emails[:2]:
                await register(client, email)
            execute(example_url, 'UPDATE "user" SET is_active = false WHERE email = :email', email=emails[1])
            for email in emails:
                answers.setdefault("login", []).append(await login(client, email, WRONG))
                for path in ("/auth/forgot-password", "/auth/request-verify-token"):
                    answers.setdefault(path, []).append(await client.post(path, json={"email": email}))
        assert {path: {said(answer)[0] for answer in same} for path, same in answers.items()} == {
            "login": {400},
            "/auth/forgot-password": {202},
            "/auth/request-verify-token": {202},
        }
        for same in answers.values():
            assert len({every_byte(answer) for answer in same}) == 1

    async def test_no_secret_is_in_a_log_or_a_refusal(self, example: Server) -> None:
        address, password, wrong = "canary-address@example.com", "canary-password-of-hers", "canary-wrong-password"
        secrets = {"canary-address", password, wrong}
        refusals: list[httpx2.Response] = []
        async with example.client() as client:

            async def post(path: str, **body: Any) -> httpx2.Response:
                answer = await client.post(path, json=body)
                if answer.is_error:
                    refusals.append(answer)
                return answer

            user_id = await register(client, address, password)
            await post("/auth/register", email=address, password=password)
            await post("/auth/register", email="other@example.com", password=address)
            refusals += [await login(client, address, wrong) for _ in range(6)]
            await post("/auth/request-verify-token", email=address)
            secrets.add(verify := await printed_token(example, "verify", user_id))
            await post("/auth/reset-password", token=verify, password=wrong)
            await post("/auth/verify", token=verify)
            await post("/auth/verify", token=verify)
            second = await register(client, "second-canary-address@example.com", password)
            await post("/auth/forgot-password", email="second-canary-address@example.com")
            secrets.add(reset := await printed_token(example, "reset", second))
            await post("/auth/reset-password", token=reset, password="canary")
            await post("/auth/reset-password", token=reset, password=password + "2")
            await post("/auth/reset-password", token=reset, password=password)
            headers = await bearer(client, "second-canary-address@example.com", password + "2")
            secrets.add(headers["Authorization"].split()[1])
            for body in (
                {"password": wrong},
                {"password": wrong, "current_password": wrong},
                {"password": "canary", "current_password": password},
                {"email": address},
            ):
                refusals.append(await client.patch("/users/me", json=body, headers=headers))
            refusals.append(await client.get(f"/users/{user_id}", headers=headers))
        assert all(answer.is_error for answer in refusals)
        assert Counter(answer.status_code for answer in refusals) == {400: 12, 422: 2, 429: 1, 403: 1}
        ran = example.stop()
        log = [line for line in (ran.out + ran.err).splitlines() if not PRINTED.fullmatch(line)]
        assert any("POST /auth/reset-password" in line for line in log)
        for secret in secrets:
            assert not [line for line in log if secret in line]
            assert not [answer.text for answer in refusals if secret in answer.text]

    async def test_no_secret_is_in_what_is_said_about_a_field(self, example: Server) -> None:
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("/auth/register", {"password": "canary"}),
            ("/auth/register", {"email": "canary", "password": PASSWORD}),
            ("/auth/register", {"email": ANNA, "password": "canary\0"}),
            ("/auth/forgot-password", {"email": "canary"}),
            ("/auth/request-verify-token", {"email": "canary"}),
            ("/auth/reset-password", {"token": "canary"}),
            ("/auth/reset-password", {"password": "canary"}),
            ("/auth/verify", {"token": ["canary"]}),
            ("/auth/verify", {"code": "canary"}),
        ]
        async with example.client() as client:
            answers = [await client.post(path, json=body) for path, body in bodies]
            answers.append(await client.post("/auth/jwt/login", data={"password": "canary"}))
            answers.append(await client.post("/auth/register", content='{"password": "canary"'))
            await register(client)
            headers = await bearer(client)
            answers.append(await client.patch("/users/me", json={"password": ["canary"]}, headers=headers))
        for answer in answers:
            assert answer.status_code == 422
            assert {frozenset(problem) for problem in answer.json()["detail"]} == {frozenset({"type", "loc", "msg"})}
            assert "canary" not in answer.text


def every_byte(answer: httpx2.Response) -> tuple[Any, ...]:
    headers = tuple((name, value) for name, value in answer.headers.raw if name.lower() != b"date")
    return answer.status_code, answer.reason_phrase, headers, answer.content
