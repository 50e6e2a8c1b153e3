"""How many statements each route sends, whoever asks: a change of a number is a decision, and stands in the diff."""

from typing import Any, NamedTuple

from fastapi_users_sqlmodel.tokens import Purpose
from tests.app.audit import NEW_PASSWORD
from tests.app.conftest import PASSWORD, form
from tests.app.shapes import UNKNOWN_USER


class Refresh:
    """Stands for a refresh token of the member's, as a purpose does for a token of a letter."""


class Ask(NamedTuple):
    """A request, its answer's status, and how many statements it takes."""

    who: str
    status: int
    statements: int
    # What stands in the path: the name of something in the world, or an id.
    where: dict[str, str]
    json: dict[str, Any] | None
    data: dict[str, str] | None


def ask(
    who: str,
    status: int,
    statements: int,
    *,
    json: dict[str, Any] | None = None,
    data: dict[str, str] | None = None,
    **where: str,
) -> Ask:
    return Ask(who, status, statements, where, json, data)


PROOF = {"current_password": PASSWORD}
REGISTRATION = {"email": "new@example.com", "password": NEW_PASSWORD}

# Who is asking, by bearer token unless it says otherwise; "me" is whoever asks.
STATEMENTS: dict[str, list[Ask]] = {
    # Who asks is one statement, session and user together; oneself is nothing more.
    "GET /users/me": [ask("member", 200, 1), ask("member by cookie", 200, 1), ask("superuser", 200, 1)],
    "GET /authenticated-route": [ask("member", 200, 1), ask("member by cookie", 200, 1)],
    "GET /users/{id}": [
        ask("member", 200, 1, id="me"),
        ask("superuser", 200, 1, id="me"),
        ask("stranger", 200, 2, id="member"),
        ask("superuser", 200, 2, id="member"),
        ask("stranger", 404, 2, id=UNKNOWN_USER),
    ],
    "GET /users/me/audit-events": [ask("member", 200, 2), ask("member by cookie", 200, 2), ask("stranger", 200, 2)],
    "GET /auth/sessions": [ask("member", 200, 2), ask("member by cookie", 200, 2), ask("stranger", 200, 2)],
    # Who has no right to it learns that from who they are.
    "GET /users": [ask("stranger", 403, 1), ask("superuser", 200, 2)],
    "GET /audit-events": [ask("stranger", 403, 1), ask("superuser", 200, 2)],
    "GET /users/{id}/posts": [
        # Whether there is such a user; who asks does not matter.
        ask("nobody", 200, 2, id="member"),
        ask("nobody", 200, 2, id="stranger"),
        ask("nobody", 404, 1, id=UNKNOWN_USER),
        ask("superuser", 200, 2, id="member"),
    ],
    "GET /user-groups": [ask("nobody", 200, 1)] + [ask(who, 200, 2) for who in ("member", "stranger", "superuser")],
    "GET /user-groups/{group_id}": [
        ask("nobody", 200, 1, group_id="public"),
        ask("nobody", 404, 1, group_id="private"),
        ask("member", 200, 2, group_id="private"),
        ask("stranger", 404, 2, group_id="private"),
        ask("superuser", 200, 2, group_id="private"),
    ],
    "GET /user-groups/{group_id}/users": [
        ask("nobody", 200, 1, group_id="public"),
        ask("nobody", 200, 1, group_id="empty"),
        ask("nobody", 404, 1, group_id="private"),
        ask("nobody", 404, 1, group_id="0"),
        ask("member", 200, 2, group_id="private"),
        ask("stranger", 200, 2, group_id="public"),
        ask("stranger", 200, 2, group_id="empty"),
        ask("stranger", 404, 2, group_id="private"),
        ask("superuser", 200, 2, group_id="private"),
        ask("superuser", 200, 2, group_id="empty"),
        ask("superuser", 404, 2, group_id="0"),
    ],
    "GET /items": [ask("member", 200, 2), ask("stranger", 200, 2), ask("superuser", 200, 2)],
    "GET /items/{item_id}": [
        # With its owner.
        ask("member", 200, 2, item_id="item"),
        ask("stranger", 404, 2, item_id="item"),
        ask("superuser", 200, 2, item_id="item"),
    ],
    "GET /posts": [ask("nobody", 200, 1), ask("member", 200, 1)],
    "GET /posts/{post_id}": [
        ask("nobody", 200, 1, post_id="post"),
        ask("nobody", 404, 1, post_id="0"),
        ask("member", 200, 1, post_id="post"),
    ],
    "GET /health/live": [ask("nobody", 200, 0)],
    "GET /health/ready": [ask("nobody", 200, 2)],
    "GET /openapi.json": [ask("nobody", 200, 0)],
    "GET /docs": [ask("nobody", 200, 0)],
    "GET /docs/oauth2-redirect": [ask("nobody", 200, 0)],
    "GET /redoc": [ask("nobody", 200, 0)],
    # The user, whether the address is reserved, the event; and the e-mail: the token, the end of superfluous ones, the
    # event, the e-mail.
    "POST /auth/register": [ask("nobody", 201, 7, json=REGISTRATION)],
    "POST /users": [ask("nobody", 201, 7, json=REGISTRATION)],
    # The user, whether the network is known, the user locked, the event, the session, the end of superfluous ones. A
    # failure, of a known or an unknown name: the first two, and the event.
    "POST /auth/jwt/login": [
        ask("nobody", 200, 6, data=form("member@example.com")),
        ask("nobody", 200, 6, data=form("member")),
        ask("nobody", 400, 3, data=form("member", NEW_PASSWORD)),
        ask("nobody", 400, 3, data=form("nobody@example.com")),
    ],
    # Who comes with a cookie leaves that session, which is found and ended.
    "POST /auth/cookie/login": [
        ask("nobody", 204, 6, data=form("member@example.com")),
        ask("member by cookie", 204, 8, data=form("member@example.com")),
    ],
    # Who asks, the end of one session or of all the others, the event.
    "POST /auth/jwt/logout": [ask("member", 204, 3)],
    "POST /auth/cookie/logout": [ask("member by cookie", 204, 3)],
    "DELETE /auth/sessions": [ask("member", 204, 4)],
    "DELETE /auth/sessions/{id}": [ask("member", 204, 3, id="session"), ask("stranger", 404, 2, id="session")],
    # Who asks, the user locked, the ticket, the end of superfluous ones.
    "POST /auth/websocket-ticket": [ask("member", 201, 4)],
    # The session locked, and changed; what is no token of ours is nothing to ask for.
    "POST /auth/jwt/refresh": [
        ask("nobody", 200, 2, json={"refresh_token": Refresh()}),
        ask("nobody", 401, 0, json={"refresh_token": "x"}),
    ],
    # Who asks, whether the network is known, the user locked, the session, the event.
    "POST /auth/reauthenticate": [ask("member", 204, 5, json=PROOF)],
    # The user locked, the token, the end of superfluous ones, the event, the mail: as many for nobody.
    "POST /auth/request-verify-token": [
        ask("nobody", 202, 5, json={"email": "member@example.com"}),
        ask("nobody", 202, 5, json={"email": "nobody@example.com"}),
    ],
    "POST /auth/forgot-password": [
        ask("nobody", 202, 5, json={"email": "member@example.com"}),
        ask("nobody", 202, 5, json={"email": "nobody@example.com"}),
    ],
    # The token, the user locked, the token and its like used up, the user, the event.
    "POST /auth/verify": [ask("nobody", 200, 6, json={"token": Purpose.VERIFY})],
    # The token and the user, before the hash and again after it; the tokens, the sessions, the event, the mail.
    "POST /auth/reset-password": [
        ask("nobody", 200, 12, json={"token": Purpose.RESET_PASSWORD, "password": NEW_PASSWORD})
    ],
    # Who asks, whether the network is known, the user locked, the user, the tokens, the sessions, the access tokens of
    # DatabaseStrategy (which end wherever sessions do), the event, the mail.
    "POST /auth/change-password": [ask("member", 204, 9, json={"new_password": NEW_PASSWORD, **PROOF})],
    # Likewise; whose the new address is, a token and the end of superfluous ones, the event, two mails: as many for an
    # address that is taken. Whose own address is verified gets a second token.
    "POST /auth/change-email": [
        ask("member", 202, 9, json={"new_email": "new@example.com", **PROOF}),
        ask("member", 202, 9, json={"new_email": "stranger@example.com", **PROOF}),
    ],
    # As to verify; whether the address is reserved, other tokens, the sessions, the undo token's new time.
    "POST /auth/confirm-email": [ask("nobody", 200, 11, json={"token": Purpose.CHANGE_EMAIL})],
    # As to verify; other tokens twice, the sessions, a token and the end of superfluous ones, one mail or two.
    "POST /auth/undo-change-email": [ask("nobody", 200, 12, json={"token": Purpose.UNDO_CHANGE_EMAIL})],
    # Who asks, whether the network is known, the user locked with all superusers, the tokens, the sessions, the user
    # locked, the user, the event, and two more to forget the person in all events; what else hangs on the user, the
    # database deletes.
    "POST /auth/delete-account": [ask("member", 204, 11, json=PROOF)],
    # Who asks, the user locked; and if something changes, the user and the event.
    "PATCH /users/me": [
        ask("member", 200, 2, json={}),
        ask("member", 200, 4, json={"name": "New"}),
        ask("member", 200, 9, json={"email": "new@example.com", **PROOF}),
        ask("member", 200, 9, json={"password": NEW_PASSWORD, **PROOF}),
    ],
    # Likewise, locked with all superusers. A new address: whether it is reserved, the mail, the sessions, the tokens.
    "PATCH /users/{id}": [
        ask("stranger", 403, 2, json={"name": "New"}, id="member"),
        ask("superuser", 200, 4, json={"name": "New"}, id="member"),
        ask("superuser", 200, 9, json={"email": "new@example.com"}, id="member"),
        ask("superuser", 200, 7, json={"is_active": False}, id="member"),
    ],
    "PUT /users/{id}": [
        ask("stranger", 403, 2, json={"name": "New"}, id="member"),
        ask("member", 200, 4, json={"name": "New"}, id="me"),
        ask("superuser", 200, 4, json={"name": "New"}, id="member"),
    ],
    # As to delete one's own account, without the password.
    "DELETE /users/{id}": [
        ask("stranger", 403, 2, id="member"),
        ask("superuser", 204, 10, id="member"),
        ask("superuser", 404, 2, id=UNKNOWN_USER),
    ],
    "POST /user-groups": [
        ask("stranger", 403, 1, json={"name": "New"}),
        ask("superuser", 201, 2, json={"name": "New"}),
    ],
    # Who asks, the group locked, the group; its users, the database sets free.
    "PATCH /user-groups/{group_id}": [
        ask("member", 403, 2, json={"name": "New"}, group_id="private"),
        ask("stranger", 404, 2, json={"name": "New"}, group_id="private"),
        ask("superuser", 200, 3, json={"name": "New"}, group_id="private"),
    ],
    "DELETE /user-groups/{group_id}": [
        ask("member", 403, 2, group_id="private"),
        ask("stranger", 404, 2, group_id="private"),
        ask("superuser", 204, 3, group_id="private"),
    ],
    # Who asks, the group, the user locked with all superusers, the user, the event; to take one out, locked once more.
    "PUT /user-groups/{group_id}/users/{user_id}": [
        ask("stranger", 404, 2, group_id="private", user_id="me"),
        ask("superuser", 204, 5, group_id="public", user_id="member"),
    ],
    "DELETE /user-groups/{group_id}/users/{user_id}": [
        ask("stranger", 404, 2, group_id="private", user_id="member"),
        ask("superuser", 204, 6, group_id="private", user_id="member"),
    ],
    # Who asks, the row locked, the row; for a post that is another's, whether it is there.
    "POST /items": [ask("member", 201, 2, json={"title": "Lamp", "price": 1})],
    "PATCH /items/{item_id}": [
        ask("member", 200, 3, json={"title": "New"}, item_id="item"),
        ask("stranger", 404, 2, json={"title": "New"}, item_id="item"),
    ],
    "DELETE /items/{item_id}": [ask("member", 204, 3, item_id="item"), ask("stranger", 404, 2, item_id="item")],
    "POST /posts": [ask("member", 201, 2, json={"title": "Hello", "content": "World"})],
    "PATCH /posts/{post_id}": [
        ask("member", 200, 3, json={"title": "New"}, post_id="post"),
        ask("stranger", 403, 3, json={"title": "New"}, post_id="post"),
    ],
    "DELETE /posts/{post_id}": [ask("member", 204, 3, post_id="post"), ask("stranger", 403, 3, post_id="post")],
}
