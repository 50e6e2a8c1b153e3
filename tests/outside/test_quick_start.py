"""The app of docs/quick-start.md, typed from the page into an empty folder, and nothing else."""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from fastapi_users_sqlmodel import secret_key_problem
from tests.documents import blocks, read_page, walk
from tests.outside.project import SECRET, Outside
from tests.server import Server

PAGE = read_page("docs/quick-start.md")
ANNA, NEW_ANNA = "anna@example.com", "anna@example.org"
PASSWORD, NEW_PASSWORD = "correct horse battery", "wrong horse, other battery"
ORIGIN = {"Origin": "http://localhost:8000"}

# The README says in a sentence that this call is everything.
LISTING_ENV = """
from fastapi_users_sqlmodel.migrations import run_migrations
from listing import Base

run_migrations(Base.metadata)
"""


@pytest.fixture
def app(outside: Outside, outside_url: str) -> Outside:
    """Follow the page from its top until the first migration has run."""
    outside.programs.set(DATABASE_URL=outside_url, SECRET_KEY=SECRET)
    for kind, name, code in walk(PAGE):
        if name:
            outside.write({name: code})
        for line in code.splitlines() if kind == "sh" else ():
            if line.startswith("alembic "):
                outside.migrate(*shlex.split(line)[1:])
    return outside


def test_migrations(app: Outside) -> None:
    (revision,) = (app.folder / "alembic" / "versions").glob("*.py")
    assert "sqlmodel" not in revision.read_text()
    assert "No new upgrade operations detected." in app.alembic("check", fresh=True).out
    app.migrate("downgrade", "base")
    app.migrate("upgrade", "head")
    assert "No changes" in app.migrate("revision", "--autogenerate", "-m", "Second")


def test_migrations_of_the_readmes_listing(outside: Outside, outside_url: str) -> None:
    outside.migrate("init", "alembic")
    outside.write({"listing.py": blocks(read_page("README.md"), "python")[0], "alembic/env.py": LISTING_ENV})
    url = ("-x", f"url={outside_url}")
    outside.migrate(*url, "revision", "--autogenerate", "-m", "First")
    outside.migrate(*url, "upgrade", "head")
    assert "No new upgrade operations detected." in outside.migrate(*url, "check")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's requests are made with curl")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_requests_of_the_page(app: Outside) -> None:
    server = app.serve()
    (requests,) = (block for block in blocks(PAGE, "sh") if "curl" in block)
    refused, register, login, create, read = (line for line in requests.splitlines() if line.startswith("curl"))

    def run(line: str, token: str = "") -> str:
        command = line.partition("   #")[0].replace("http://localhost:8000", server.url)
        curl = subprocess.run(
            ["sh", "-c", command],
            env={"PATH": "/usr/bin:/bin", "TOKEN": token},
            capture_output=True,
            text=True,
            check=True,
        )
        return curl.stdout

    assert run(refused) == '{"detail":"Unauthorized"}'
    assert '"email":"anna@example.com"' in run(register)
    found = re.search(r'"access_token":"([^"]+)"', run(login))
    assert found is not None
    assert '"text":"Hello"' in run(create, found[1])
    assert '"text":"Hello"' in run(read, found[1])


def test_the_terminal_of_the_tests_has_what_the_app_reads() -> None:
    """The app's terminal is occupied: the page's second one activates the environment and sets the key itself."""
    (lines,) = (block for block in blocks(PAGE, "sh") if "[testing]" in block)
    assert lines.startswith(". .venv/bin/activate\nexport SECRET_KEY=")
    key = subprocess.run(
        [
            "sh",
            "-c",
            f"{lines.splitlines()[1].replace('python ', shlex.quote(sys.executable) + ' ')}; echo $SECRET_KEY",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert secret_key_problem(key.stdout.strip()) is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_tests_of_the_page(app: Outside) -> None:
    # pytest rewrites the asserts of its plugins, which nobody may have imported before.
    ran = app.python("-m", "pytest", "-W", "error", fresh=True)
    assert (ran.status, ran.err) == (0, ""), ran.out
    assert "1 passed" in ran.out


async def printed(server: Server, words: str) -> str:
    """Wait for a token that the app prints, and return it."""
    pattern = rf"^{re.escape(words)}: (\S+)$"
    find = lambda: re.findall(pattern, server.program.out, re.MULTILINE) or None  # noqa: E731
    token: str = (await asyncio.to_thread(server.program.until, find))[-1]
    return token


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)], indirect=True
)
async def test_accounts(app: Outside) -> None:
    server = app.serve()
    async with server.client() as client:
        await _register_and_verify(client, server)
        bearer = await _sign_in_with_tokens(client)
        await _sign_in_with_a_cookie(server)
        await _see_and_end_sessions(client, bearer)
        await _change_email(client, server)
        await _reset_password(client, server)
    server.stop_silently()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_leaves_nothing_open_in_production(app: Outside) -> None:
    app.programs.set(PUBLIC_URL="https://example.com")
    ran = app.python("-c", "import main")
    assert (ran.status, ran.err) == (0, "")
    text = (app.folder / "main.py").read_text()
    assert "app.add_middleware(\n    CSRFMiddleware," in text
    app.write({"main.py": text.replace("app.add_middleware(\n    CSRFMiddleware,", "dict(")})
    assert "cookie-without-csrf" in app.python("-c", "import main").err


async def _register_and_verify(client: httpx2.AsyncClient, server: Server) -> None:
    answer = await client.post("/auth/register", json={"email": ANNA, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    again = await client.post("/auth/register", json={"email": ANNA.upper(), "password": PASSWORD})
    assert (again.status_code, again.json()) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})
    assert (await client.post("/auth/request-verify-token", json={"email": ANNA})).status_code == 202
    token = await printed(server, f"Verify {ANNA}")
    verified = await client.post("/auth/verify", json={"token": token})
    assert (verified.status_code, verified.json()["is_verified"]) == (200, True)


async def _login(client: httpx2.AsyncClient, email: str = ANNA, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/auth/jwt/login", data={"username": email, "password": password})


async def _sign_in_with_tokens(client: httpx2.AsyncClient) -> dict[str, str]:
    wrong = await _login(client, password=NEW_PASSWORD)
    assert (wrong.status_code, wrong.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
    tokens = (await _login(client)).json()
    refreshed = await client.post("/auth/jwt/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200, refreshed.text
    bearer = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
    assert (await client.get("/notes")).status_code == 401
    created = await client.post("/notes", params={"text": "Hello"}, headers=bearer)
    assert (created.status_code, created.json()["text"]) == (201, "Hello")
    assert [note["text"] for note in (await client.get("/notes", headers=bearer)).json()] == ["Hello"]
    return bearer


async def _sign_in_with_a_cookie(server: Server) -> None:
    async with server.client() as browser:
        form = {"username": ANNA, "password": PASSWORD}
        elsewhere = await browser.post("/auth/cookie/login", data=form, headers={"Origin": "https://evil.example"})
        assert elsewhere.status_code == 403
        assert (await browser.post("/auth/cookie/login", data=form, headers=ORIGIN)).status_code == 204
        assert (await browser.get("/users/me")).json()["email"] == ANNA
        assert (await browser.post("/auth/cookie/logout", headers=ORIGIN)).status_code == 204
        assert (await browser.get("/users/me")).status_code == 401


async def _see_and_end_sessions(client: httpx2.AsyncClient, bearer: dict[str, str]) -> None:
    other = {"Authorization": f"Bearer {(await _login(client)).json()['access_token']}"}
    sessions = (await client.get("/auth/sessions", headers=bearer)).json()
    assert sorted(session["current"] for session in sessions) == [False, True]
    assert (await client.delete("/auth/sessions", headers=bearer)).status_code == 204
    assert (await client.get("/users/me", headers=other)).status_code == 401
    assert (await client.post("/auth/jwt/logout", headers=bearer)).status_code == 204
    assert (await client.get("/users/me", headers=bearer)).status_code == 401


async def _change_email(client: httpx2.AsyncClient, server: Server) -> None:
    bearer = {"Authorization": f"Bearer {(await _login(client)).json()['access_token']}"}
    body: dict[str, Any] = {"new_email": NEW_ANNA, "current_password": PASSWORD}
    assert (await client.post("/auth/change-email", json=body, headers=bearer)).status_code == 202
    token = await printed(server, f"Confirm {NEW_ANNA}")
    confirmed = await client.post("/auth/confirm-email", json={"token": token})
    assert (confirmed.status_code, confirmed.json()["email"]) == (200, NEW_ANNA)
    assert (await _login(client)).status_code == 400
    assert (await _login(client, NEW_ANNA)).status_code == 200
    undo = await printed(server, f"Undo the change of {ANNA}")
    undone = await client.post("/auth/undo-change-email", json={"token": undo})
    assert (undone.status_code, undone.json()["email"]) == (200, ANNA)
    assert (await _login(client)).status_code == 400
    reset = {"token": undone.json()["reset_password_token"], "password": PASSWORD}
    assert (await client.post("/auth/reset-password", json=reset)).status_code == 200


async def _reset_password(client: httpx2.AsyncClient, server: Server) -> None:
    assert (await client.post("/auth/forgot-password", json={"email": ANNA})).status_code == 202
    token = await printed(server, f"Reset the password of {ANNA}")
    body = {"token": token, "password": NEW_PASSWORD}
    assert (await client.post("/auth/reset-password", json=body)).status_code == 200
    again = await client.post("/auth/reset-password", json=body)
    assert (again.status_code, again.json()) == (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})
    assert (await _login(client)).status_code == 400
    assert (await _login(client, password=NEW_PASSWORD)).status_code == 200
