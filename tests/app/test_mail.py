"""Mail goes to the console where that is a person's, and a token never to a log."""

import logging

import httpx2
import pytest

from app.core.settings import settings
from app.mail import console, messages
from tests.app.conftest import CreateUser, Letters
from tests.app.shapes import problems, said

LETTER = messages.reset_your_password("ann@example.com", "the-token")


class TestConsole:
    def test_the_token_stands_on_a_line_of_its_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        console.deliver(LETTER)

        printed = capsys.readouterr().out.splitlines()
        assert printed[1:3] == ["To: ann@example.com", "Subject: Reset your password"]
        assert "the-token" in printed

    def test_production_prints_no_token_and_no_address(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(console, "settings", settings.model_copy(update={"environment": "production"}))

        with caplog.at_level(logging.WARNING):
            console.deliver(LETTER)

        assert caplog.messages == [
            "a mail was not sent (Reset your password): there is no transport for production yet"
        ]
        assert "the-token" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("path", ["/auth/request-verify-token", "/auth/forgot-password"])
class TestAskingForALetter:
    """The answer is the same whether or not there is somebody to write to."""

    async def test_no_email(self, client: httpx2.AsyncClient, path: str) -> None:
        response = await client.post(path, json={"email": "anna"})
        assert problems(response) == (422, [("value_error", ["body", "email"])])

    async def test_nobody(self, client: httpx2.AsyncClient, letters: Letters, path: str) -> None:
        response = await client.post(path, json={"email": "nobody@example.com"})
        assert said(response) == (202, None)
        assert letters() == []

    async def test_somebody_deactivated(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters, path: str
    ) -> None:
        await create_user("anna", is_active=False)
        response = await client.post(path, json={"email": "anna@example.com"})
        assert said(response) == (202, None)
        assert letters() == []
