"""What may not happen often is counted before it happens: exactly, in one process or in many, Redis or no Redis."""

import asyncio
import sys
from typing import Any

import pytest
import time_machine

from fastapi_users_sqlmodel.throttling import Limit, Reservation, Throttle, ThrottleLimits, TooManyRequests
from tests.library.throttles import ANN, SECOND, Store, at_once, passed
from tests.programs import environment_of


class TestFailedLogins:
    async def test_five_of_an_account_from_a_network(self, throttle: Throttle) -> None:
        assert await passed(throttle) == 5
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert 1 <= refused.value.retry_after_seconds <= 300

    async def test_five_of_200_at_once(self, throttle: Throttle) -> None:
        assert len(await at_once(200, lambda _: throttle.reserve_login(**ANN))) == 5

    async def test_other_accounts_and_networks_have_their_own(self, throttle: Throttle) -> None:
        await passed(throttle)
        assert await passed(throttle, account="bob") == 5
        assert await passed(throttle, network="2001:db8::/64") == 5

    async def test_names_put_together_in_another_way_are_others(self, throttle: Throttle) -> None:
        await passed(throttle, account="a", network="b/c")
        assert await passed(throttle, account="a/b", network="c") == 5
        assert await passed(throttle, account="a\0b", network="c") == 5

    async def test_30_from_a_network(self, throttle: Throttle) -> None:
        reserved = await at_once(100, lambda number: throttle.reserve_login(account=f"{number}", network="n"))
        assert len(reserved) == 30
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(account="another", network="n")
        assert 1 <= refused.value.retry_after_seconds <= 60

    async def test_50_of_an_account(self, throttle: Throttle) -> None:
        reserved = await at_once(100, lambda number: throttle.reserve_login(account="ann", network=f"{number}"))
        assert len(reserved) == 50
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert 300 < refused.value.retry_after_seconds <= 3600

    async def test_a_known_network_is_not_locked_out_by_others(self, throttle: Throttle) -> None:
        await at_once(100, lambda number: throttle.reserve_login(account="ann", network=f"{number}"))
        assert await passed(throttle, network="home") == 0
        assert await passed(throttle, network="home", is_known_network=True) == 5

    async def test_a_known_network_does_not_count_for_others(self, throttle: Throttle) -> None:
        async def at_home(number: int) -> Reservation:
            return await throttle.reserve_login(account="ann", network=f"{number}", is_known_network=True)

        assert len(await at_once(100, at_home)) == 100
        assert await passed(throttle) == 5

    @pytest.mark.parametrize("full", ["failed_logins", "failed_logins_from_network", "failed_logins_of_account"])
    async def test_what_one_limit_refuses_no_other_counts(self, store: Store, full: str) -> None:
        names = ["failed_logins", "failed_logins_from_network", "failed_logins_of_account"]
        many: dict[str, Any] = {name: Limit(3, 3600) for name in names}
        throttle = store.make(limits=ThrottleLimits(**{**many, full: Limit(1, 3600)}))
        assert await passed(throttle) == 1
        # Not one of the 19 that were refused is counted for the others in that network, or for that account elsewhere.
        if full != "failed_logins_from_network":
            assert await passed(throttle, 1, account="bob") == 1
            assert await passed(throttle, 1, account="cid") == 1
        if full != "failed_logins_of_account":
            assert await passed(throttle, 1, network="elsewhere") == 1
            assert await passed(throttle, 1, network="nowhere") == 1

    async def test_the_last_window_that_refuses_says_how_long(self, store: Store) -> None:
        limits = ThrottleLimits(failed_logins=Limit(1, 60), failed_logins_of_account=SECOND)
        throttle = store.make(limits=limits)
        await passed(throttle, 2)
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert refused.value.retry_after_seconds > 1

    async def test_a_window_begins_with_the_first_and_ends(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(failed_logins=Limit(2, 1)))
        assert await passed(throttle) == 2
        await store.wait(1.1)
        assert await passed(throttle) == 2

    async def test_a_limit_of_none_lets_nobody_through(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(failed_logins=Limit(0, 3600)))
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert refused.value.retry_after_seconds == 1


class TestGivingBack:
    async def test_right_passwords_are_not_counted(self, throttle: Throttle) -> None:
        for _ in range(60):
            await (await throttle.reserve_login(**ANN)).give_back()
        assert await passed(throttle) == 5

    async def test_one_is_one(self, throttle: Throttle) -> None:
        reserved = [await throttle.reserve_login(**ANN) for _ in range(5)]
        await reserved[2].give_back()
        assert await passed(throttle) == 1

    async def test_twice_is_once(self, throttle: Throttle) -> None:
        reserved = [await throttle.reserve_login(**ANN) for _ in range(5)]
        await reserved[0].give_back()
        await asyncio.gather(*(reserved[0].give_back() for _ in range(10)))
        assert await passed(throttle) == 1

    async def test_a_later_window_is_left_alone(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(failed_logins=SECOND, failed_logins_of_account=SECOND))
        late = [await throttle.reserve_login(**ANN) for _ in range(2)]
        await store.wait(1.1)
        # Given back when there is no window, and then when there is the next.
        await late[0].give_back()
        assert await passed(throttle, 1) == 1
        await late[1].give_back()
        assert await passed(throttle, 5) == 1

    async def test_a_window_after_one_that_was_emptied_is_left_alone(self, throttle: Throttle) -> None:
        first = await throttle.reserve_login(**ANN)
        await throttle.forgive(**ANN)
        await throttle.reserve_login(**ANN)
        await first.give_back()
        assert await passed(throttle) == 4

    async def test_in_any_order_at_once(self, throttle: Throttle) -> None:
        async def attempt(number: int) -> None:
            reservation = await throttle.reserve_login(**ANN)
            await asyncio.sleep(0)
            if number % 50:
                await reservation.give_back()

        for _ in range(5):
            await at_once(40, attempt)
        kept = 5 - await passed(throttle)
        assert 0 <= kept <= 5
        await throttle.forgive(**ANN)
        assert await passed(throttle) == 5

    async def test_a_reservation_of_nothing(self) -> None:
        await Reservation().give_back()


class TestForgiving:
    async def test_an_account_may_try_again_from_that_network(self, throttle: Throttle) -> None:
        await passed(throttle)
        await passed(throttle, network="elsewhere")
        await throttle.forgive(**ANN)
        assert await passed(throttle, network="elsewhere") == 0
        assert await passed(throttle) == 5

    async def test_nothing(self, throttle: Throttle) -> None:
        await throttle.forgive(**ANN)
        assert await passed(throttle) == 5


class TestMails:
    async def test_one_a_minute_to_an_address(self, throttle: Throttle) -> None:
        assert sum(await at_once(20, lambda _: throttle.may_mail_to("ann@example.com"))) == 1
        assert await throttle.may_mail_to("bob@example.com")

    async def test_five_an_hour_to_an_address(self) -> None:
        throttle = Throttle()
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
            sent = []
            for _ in range(60):
                sent.append(await throttle.may_mail_to("ann@example.com"))
                assert not await throttle.may_mail_to("ann@example.com")
                traveller.shift(60)
            assert sent == [True] * 5 + [False] * 55
            assert await throttle.may_mail_to("ann@example.com")

    async def test_what_is_refused_does_not_count(self, store: Store) -> None:
        limits = (Limit(1, 1), Limit(2, 3600))
        throttle = store.make(limits=ThrottleLimits(mails_to_address=limits))
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(5)] == [True] + [False] * 4
        await store.wait(1.1)
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(5)] == [True] + [False] * 4

    async def test_the_same_limit_twice(self, store: Store) -> None:
        limits = (Limit(2, 3600), Limit(2, 3600))
        throttle = store.make(limits=ThrottleLimits(mails_to_address=limits))
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(3)] == [True, True, False]

    async def test_no_limit(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(mails_to_address=()))
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(3)] == [True] * 3

    async def test_20_a_minute_from_a_network(self, throttle: Throttle) -> None:
        assert len(await at_once(200, lambda _: throttle.require_mail_from("n"))) == 20
        with pytest.raises(TooManyRequests) as refused:
            await throttle.require_mail_from("n")
        assert 1 <= refused.value.retry_after_seconds <= 60
        await throttle.require_mail_from("another")

    async def test_one_that_was_not_sent_is_given_back(self, throttle: Throttle) -> None:
        await at_once(20, lambda _: throttle.require_mail_from("n"))
        await throttle.give_back_mail_from("n")
        assert len(await at_once(5, lambda _: throttle.require_mail_from("n"))) == 1

    async def test_more_than_were_counted_are_not_given_back(self, throttle: Throttle) -> None:
        await throttle.require_mail_from("n")
        for _ in range(5):
            await throttle.give_back_mail_from("n")
        assert len(await at_once(30, lambda _: throttle.require_mail_from("n"))) == 20


@pytest.mark.parametrize(
    "text",
    ["", "\0", "\ud800", "\udfff\ud800", "🐎", "a b\r\n*1\r\n$8\r\nFLUSHALL\r\n", "{a}", "x" * 500_000, "İ" * 500_000],
    ids=["empty", "nul", "surrogate", "surrogates", "horse", "command", "braces", "long", "long-unicode"],
)
async def test_any_text_can_be_counted(text: str, throttle: Throttle) -> None:
    assert await passed(throttle, account=text, network=text) == 5
    assert await passed(throttle, account=f"{text}x", network=text) == 5
    await throttle.forgive(account=text, network=text)
    assert await throttle.may_mail_to(text)
    assert not await throttle.may_mail_to(text)
    await throttle.require_mail_from(text)
    await throttle.give_back_mail_from(text)


class TestMemory:
    async def test_what_has_ended_is_forgotten(self) -> None:
        throttle = Throttle()
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
            for flood in range(3):
                for number in range(5_000):
                    await throttle.reserve_login(account=f"{flood}-{number}", network=f"{number}")
                    await throttle.may_mail_to(f"{number}@example.com")
                traveller.shift(3600)
            await throttle.reserve_login(**ANN)
        kept = throttle._own._windows.values()  # noqa: SLF001  # Nobody outside can see how much is kept.
        assert sum(map(len, kept)) == 3

    async def test_a_clock_that_is_set_back_locks_nobody_out(self) -> None:
        throttle = Throttle()
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
            await passed(throttle)
            await passed(throttle, account="bob")
            traveller.shift(-3600 * 24)
            assert await passed(throttle) == 5
            traveller.shift(300)
            assert await passed(throttle) == 5

    async def test_it_needs_no_redis(self) -> None:
        code = """
import sys
sys.modules["redis"] = None
from fastapi_users_sqlmodel.throttling import Throttle
Throttle()
"""
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environment_of({}))
        assert await process.wait() == 0


@pytest.mark.parametrize(("given", "seconds"), [(-1, 1), (0, 1), (1, 1), (300, 300)])
def test_at_least_a_second(given: int, seconds: int) -> None:
    assert TooManyRequests(given).retry_after_seconds == seconds
