"""What people are written, and what nobody can write into it; in development, it is printed."""

import email
import email.policy
import unicodedata
from email.message import EmailMessage

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.console import Console
from app.mail.messages import WORDS
from app.mail.rendering import as_message, presentable, write
from app.models.base import utc_now
from app.models.mail import WANTED_FOR, WITH_TOKEN, Letter
from fastapi_users_sqlmodel import LetterKind
from tests.app.fixture_types import CreateUser, Letters
from tests.app.mail_server import SENDER, text_of
from tests.app.shapes import problems, said

TOKEN = "t" * 43
HEADERS = ["To", "From", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]


def letter(kind: str = "reset_password", name: str | None = None, to: str | None = "anna@example.com") -> Letter:
    return Letter(kind, to, name, TOKEN if kind in WITH_TOKEN else None, "the-id", utc_now())


def received(letter: Letter) -> EmailMessage:
    """Return the message as the recipient's mail program reads it."""
    message = email.message_from_bytes(as_message(write(letter), sender=SENDER).as_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


class TestConsole:
    async def test_prints_the_token_on_a_line_of_its_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        await Console().send(write(letter()))
        printed = capsys.readouterr().out.splitlines()
        assert printed[:4] == ["", "To: anna@example.com", "Subject: Reset your password", ""]
        assert printed[-2:] == [TOKEN, ""]

    async def test_prints_no_token_where_there_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        await Console().send(write(letter("password_changed")))
        assert "token" not in capsys.readouterr().out


class TestWords:
    def test_there_are_some_for_every_kind(self) -> None:
        assert WORDS.keys() == WANTED_FOR.keys() == set(LetterKind)
        assert {kind for kind, words in WORDS.items() if words.path} == WITH_TOKEN

    def test_every_subject_is_another(self) -> None:
        assert len({words.subject for words in WORDS.values()}) == len(WORDS)

    @pytest.mark.parametrize(
        ("kind", "path"),
        [
            ("verify", "/verify"),
            ("reset_password", "/reset-password"),
            ("confirm_email", "/confirm-email"),
            ("email_change_requested", "/undo-change-email"),
        ],
    )
    def test_the_link_stands_on_a_line_of_its_own_and_behind_a_button(self, kind: str, path: str) -> None:
        message, link = received(letter(kind)), f"http://localhost:8000{path}?token={TOKEN}"
        assert link in text_of(message).splitlines()
        assert f'href="{link}"' in text_of(message, "html")

    @pytest.mark.parametrize("kind", sorted(WANTED_FOR.keys() - WITH_TOKEN))
    def test_without_a_token_there_is_no_link(self, kind: str) -> None:
        assert "<a " not in text_of(received(letter(kind)), "html")

    @pytest.mark.parametrize("kind", WANTED_FOR)
    def test_a_letter_is_text_and_html_whose_styles_are_inlined(self, kind: str) -> None:
        message = received(letter(kind, "Anna"))
        assert message.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
        html = text_of(message, "html")
        assert "<style" not in html
        assert "style=" in html
        for body in (html, text_of(message)):
            assert "Hello Anna," in body
            assert "\n\n\n" not in body
            assert "None" not in body

    def test_a_decoy_is_written_as_well(self) -> None:
        decoy, real = write(letter(to=None)), write(letter())
        assert (decoy.text, decoy.html, decoy.subject) == (real.text, real.html, real.subject)
        assert decoy.to == "nobody@example.invalid"


class TestName:
    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("Anna", "Anna"),
            ("  J.R.R. Tolkien ", "J.R.R. Tolkien"),
            ("Zoë 👩\u200d🚀", "Zoë 👩\u200d🚀"),
            ("An\r\nBcc: x\0na", ""),
            ("An\r\nna\0\u2028\u2029\x85", "Anna"),
            ("\u202eannA\u2066", "annA"),
            ("An\ud800na", "Anna"),
            ("\r\n", ""),
            ("x" * 2048, "x" * 100),
            ("Win at http://evil.example", ""),
            ("evil.example", ""),
            ("me@evil.example", ""),
        ],
    )
    def test_is_shown_as_one_line_that_is_no_link(self, name: str, shown: str) -> None:
        assert presentable(name) == shown

    def test_is_no_markup(self) -> None:
        html = text_of(received(letter(name="<b>Anna</b> & <script>")), "html")
        assert "<b>" not in html
        assert "<script>" not in html

    @given(
        st.text(st.one_of(st.characters(), st.sampled_from("\r\n\0\x85\u2028\u2029\u202e\u2066\u200f")), max_size=2048)
    )
    def test_reaches_nothing_but_the_greeting(self, name: str) -> None:
        message = received(letter(name=name))
        assert message.keys() == HEADERS
        assert message.defects == []
        assert [str(address) for address in message["To"].addresses] == ["anna@example.com"]
        assert [message["Subject"], message["From"]] == ["Reset your password", SENDER]
        greeting, *lines = text_of(message).splitlines()
        assert greeting.startswith("Hello")
        assert len(greeting) <= 107
        assert not any(unicodedata.bidirectional(character) in {"RLO", "RLI", "LRO", "PDF"} for character in greeting)
        assert lines == text_of(received(letter())).splitlines()[1:]


class TestAddress:
    @given(st.emails())
    def test_is_the_one_recipient_whatever_it_is(self, address: str) -> None:
        try:
            message = received(letter(to=address))
        except ValueError:
            return
        local, _, domain = address.rpartition("@")
        (recipient,) = message["To"].addresses
        assert (recipient.username, recipient.domain, recipient.display_name) == (local, domain, "")
        assert message.keys() == HEADERS

    def test_may_be_as_long_as_addresses_get(self) -> None:
        address = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.example"
        assert received(letter(to=address))["To"] == address


@pytest.mark.parametrize("path", ["/auth/request-verify-token", "/auth/forgot-password"])
class TestAskingForALetter:
    """The answer is the same whether or not there is somebody to write to."""

    async def test_no_email(self, client: httpx2.AsyncClient, path: str) -> None:
        response = await client.post(path, json={"email": "anna"})
        assert problems(response) == (422, [("value_error", ["body", "email"])])

    async def test_nobody(self, client: httpx2.AsyncClient, letters: Letters, path: str) -> None:
        response = await client.post(path, json={"email": "nobody@example.com"})
        assert said(response) == (202, None)
        assert await letters() == []

    async def test_somebody_deactivated(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters, path: str
    ) -> None:
        await create_user("anna", is_active=False)
        response = await client.post(path, json={"email": "anna@example.com"})
        assert said(response) == (202, None)
        assert await letters() == []
