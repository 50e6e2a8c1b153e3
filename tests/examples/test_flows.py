"""FastAPI Users' flows, with its own URLs and codes."""

import asyncio
from typing import Any

from tests.examples.running import (
    ANNA,
    NEW_PASSWORD,
    PASSWORD,
    WRONG,
    bearer,
    code,
    execute,
    login,
    make_superuser,
    printed_token,
    register,
    said,
)
from tests.server import Server


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
