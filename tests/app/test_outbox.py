"""The outbox: what is put there leaves after the commit, to one sender at a time, and tells nobody what it is."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import inspect, select, table, text
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core import sealing
from app.core.settings import settings
from app.crud.outbox import LEASE, Outbox, pause_after
from app.models import OutgoingMail
from app.models.base import utc_now
from app.models.mail import WANTED_FOR, WITH_TOKEN
from tests.app.fixture_types import Letters

TOKEN = "t" * 43
SECOND = timedelta(seconds=1)


@pytest.fixture
def outbox(session: AsyncSession) -> Outbox:
    return Outbox(session)


async def rows(session: AsyncSession) -> list[OutgoingMail]:
    found = await session.exec(select(OutgoingMail).order_by(col(OutgoingMail.id)))  # type: ignore[call-overload]  # SQLAlchemy's
    return list(found.scalars())


async def dump(session: AsyncSession) -> str:
    """Return all that the database knows."""
    connection = await session.connection()
    names = await connection.run_sync(lambda connection: inspect(connection).get_table_names())
    assert "mail" in names
    statements = [select(text("*")).select_from(table(name)) for name in names]
    return "".join([repr((await connection.execute(statement)).all()) for statement in statements])


async def put(outbox: Outbox, **columns: Any) -> OutgoingMail:
    """Put a letter there and change its row."""
    await outbox.put("password_changed", "anna@example.com")
    mail = (await rows(outbox.session))[-1]
    for name, value in columns.items():
        setattr(mail, name, value)
    await outbox.session.commit()
    return mail


class TestPut:
    @pytest.mark.parametrize("kind", WANTED_FOR)
    async def test_every_kind_leaves(self, outbox: Outbox, letters: Letters, kind: str) -> None:
        token = TOKEN if kind in WITH_TOKEN else None
        await outbox.put(kind, "anna@example.com", name="Anna", token=token)
        await outbox.session.commit()
        (letter,) = await letters()
        assert letter.to == "anna@example.com"
        assert letter.text.startswith("Hello Anna,\n")
        assert (letter.token == TOKEN) == (token is not None)
        assert await rows(outbox.session) == []

    async def test_the_database_holds_neither_address_nor_name_nor_token(self, outbox: Outbox) -> None:
        await outbox.put("verify", "anna@example.com", name="Annabelle", token=TOKEN)
        dumped = await dump(outbox.session)
        assert "verify" in dumped
        for secret in ("anna@", "example.com", "Annabelle", TOKEN):
            assert secret not in dumped

    async def test_a_decoy_looks_like_a_letter_and_never_leaves(self, outbox: Outbox, letters: Letters) -> None:
        await outbox.put("reset_password", "anna@example.com", name="Anna", token=TOKEN)
        await outbox.put("reset_password", None)
        letter, decoy = await rows(outbox.session)
        assert len(letter.sealed) == len(decoy.sealed)
        await outbox.session.commit()
        assert [letter.to for letter in await letters()] == ["anna@example.com"]
        assert await rows(outbox.session) == []

    @pytest.mark.parametrize(("kind", "token"), [("verify", None), ("password_changed", TOKEN)])
    async def test_a_token_belongs_to_some_kinds_and_not_to_others(
        self, outbox: Outbox, kind: str, token: str | None
    ) -> None:
        with pytest.raises(ValueError, match=kind):
            await outbox.put(kind, "anna@example.com", token=token)

    async def test_what_is_rolled_back_never_leaves(self, outbox: Outbox, letters: Letters) -> None:
        await outbox.put("password_changed", "anna@example.com")
        await outbox.session.rollback()
        assert await letters() == []

    async def test_letters_leave_in_their_order(self, outbox: Outbox, letters: Letters) -> None:
        names = [f"{number}@example.com" for number in range(5)]
        for name in names:
            await outbox.put("password_changed", name)
        await outbox.session.commit()
        assert [letter.to for letter in await letters()] == names


class TestClaim:
    async def test_the_one_that_has_been_due_for_longest(self, outbox: Outbox) -> None:
        now = utc_now()
        await put(outbox, due_at=now - SECOND)
        oldest = await put(outbox, due_at=now - 2 * SECOND)
        await put(outbox, due_at=now + 60 * SECOND)
        claimed = await outbox.claim()
        assert claimed is not None
        assert (claimed.id, claimed.attempts) == (oldest.id, 1)
        assert claimed.due_at >= now + LEASE

    async def test_each_once_until_its_lease_is_over(self, outbox: Outbox) -> None:
        await put(outbox)
        assert await outbox.claim(lease=timedelta(0)) is not None
        again = await outbox.claim()
        assert again is not None
        assert again.attempts == 2
        assert await outbox.claim() is None

    async def test_what_is_not_due_yet_is_left(self, outbox: Outbox) -> None:
        await put(outbox, due_at=utc_now() + 60 * SECOND)
        assert await outbox.claim() is None

    async def test_what_is_too_old_is_dropped(self, outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
        old = await put(outbox, expires_at=utc_now() - SECOND)
        new = await put(outbox)
        with caplog.at_level(logging.WARNING):
            claimed = await outbox.claim()
        assert claimed is not None
        assert claimed.id == new.id
        assert caplog.messages == [f"mail {old.id} (password_changed) was not sent in time and is dropped"]
        assert [mail.id for mail in await rows(outbox.session)] == [new.id]

    async def test_what_no_key_opens_is_dropped(
        self, outbox: Outbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mail = await put(outbox)
        another = {"secret_key": SecretStr("another secret key, and as long as that one")}
        monkeypatch.setattr(sealing, "settings", settings.model_copy(update=another))
        with caplog.at_level(logging.WARNING):
            assert await outbox.claim() is None
        assert caplog.messages == [f"mail {mail.id} (password_changed) cannot be opened with any key and is dropped"]
        assert await rows(outbox.session) == []

    async def test_the_previous_key_opens_it_during_a_rotation(
        self, outbox: Outbox, letters: Letters, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await put(outbox)
        rotated = {
            "secret_key": SecretStr("another secret key, and as long as that one"),
            "secret_key_previous": settings.secret_key,
        }
        monkeypatch.setattr(sealing, "settings", settings.model_copy(update=rotated))
        assert [letter.to for letter in await letters()] == ["anna@example.com"]

    async def test_its_parts_are_those_that_were_put_there(self, outbox: Outbox) -> None:
        await outbox.put("verify", "anna@example.com", name="Anna \ud800", token=TOKEN)
        mail = await outbox.claim()
        letter = mail.open() if mail is not None else None
        assert letter is not None
        assert (letter.kind, letter.to, letter.name, letter.token) == (
            "verify",
            "anna@example.com",
            "Anna \ud800",
            TOKEN,
        )

    @pytest.mark.parametrize(
        ("kind", "wanted_for"), [("verify", timedelta(minutes=60)), ("email_change_requested", timedelta(days=3))]
    )
    async def test_a_letter_is_wanted_for_as_long_as_its_token(
        self, outbox: Outbox, kind: str, wanted_for: timedelta
    ) -> None:
        await outbox.put(kind, "anna@example.com", token=TOKEN)
        (mail,) = await rows(outbox.session)
        assert mail.expires_at - mail.created_at == wanted_for


class TestLease:
    async def test_who_has_lost_it_neither_erases_nor_puts_off(self, outbox: Outbox) -> None:
        await put(outbox)
        late = await outbox.claim(lease=timedelta(0))
        assert late is not None
        outbox.session.expunge(late)
        present = await outbox.claim()
        assert present is not None
        due_at = present.due_at
        await outbox.done(late)
        await outbox.retry(late)
        outbox.session.expire_all()
        (mail,) = await rows(outbox.session)
        assert mail.due_at == due_at
        await outbox.done(mail)
        assert await rows(outbox.session) == []


class TestRetry:
    async def test_it_is_due_again_soon(self, outbox: Outbox) -> None:
        await put(outbox)
        mail = await outbox.claim()
        assert mail is not None
        await outbox.retry(mail)
        due = await outbox.next_due()
        assert due is not None
        assert timedelta(0) < due - utc_now() <= SECOND
        assert await outbox.claim() is None

    @pytest.mark.parametrize(("attempts", "longest"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10_000, 300)])
    def test_each_pause_is_about_twice_as_long_up_to_some_minutes(self, attempts: int, longest: int) -> None:
        pauses = {pause_after(attempts) for _ in range(100)}
        assert len(pauses) > 1
        assert all(longest * SECOND / 2 <= pause <= longest * SECOND for pause in pauses)


class TestNextDue:
    async def test_is_when_the_first_one_is(self, outbox: Outbox) -> None:
        assert await outbox.next_due() is None
        first, second = (datetime(2030, 1, day, tzinfo=UTC) for day in (1, 2))
        await put(outbox, due_at=second)
        await put(outbox, due_at=first)
        assert await outbox.next_due() == first
