"""Mail goes to the console where that is a person's, and a token never to a log."""

import logging

import pytest

from app.core.settings import settings
from app.mail import console, messages

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
