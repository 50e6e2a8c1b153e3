"""What nobody learns from an answer or a log."""

from collections import Counter
from typing import Any

import httpx2

from tests.examples.running import ANNA, PASSWORD, PRINTED, WRONG, bearer, execute, login, printed_token, register, said
from tests.server import Server


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
