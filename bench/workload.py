"""What is asked, and how fast the answer has to be: the requests that are measured, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2

from bench.load import Request
from bench.servers import Server
from bench.world import PASSWORD, Viewer, World

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
PAGES = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked, in which world."""

    world: World
    server: Server

    @property
    def is_naive(self) -> bool:
        """Whether this contender knows only FastAPI Users' own tokens, and no pages of a group."""
        return self.server.name == "naive"

    def bearer(self, viewer: Viewer) -> tuple[str, str]:
        """Return the header that says who asks."""
        return ("Authorization", f"Bearer {viewer.stock_token if self.is_naive else viewer.token}")

    def next_page(self, request: Request) -> str | None:
        """Follow the link of an answer, and return the path that it leads to."""
        link = ask(self.server, request).headers.get("link")
        return link.partition(">")[0].lstrip("<") if link is not None else None


def ask(server: Server, request: Request) -> httpx2.Response:
    """Send one request, and require that it succeeds."""
    url = f"http://127.0.0.1:{server.port}{request.path}"
    response = httpx2.request(
        request.method, url, headers=dict(request.headers), content=request.body.encode(), timeout=60
    )
    if not response.is_success:
        raise SystemExit(f"{server.name}: {request.method} {request.path} is answered {response.status_code}.")
    return response


def me(asked: Asked) -> list[Request]:
    """Oneself."""
    return [Request("GET", "/users/me", (asked.bearer(viewer),)) for viewer in asked.world.viewers]


def group(asked: Asked) -> list[Request]:
    """The users of one's own group of a hundred."""
    return [
        Request("GET", f"/user-groups/{viewer.group_id}/users?limit=100", (asked.bearer(viewer),))
        for viewer in asked.world.viewers
    ]


def walk(asked: Asked) -> list[Request]:
    """The users of a group of a thousand, page by page; the naive one answers all of them at once."""
    walker = asked.world.walkers[0]
    path: str | None = f"/user-groups/{walker.group_id}/users"
    if asked.is_naive:
        return [Request("GET", f"{path}", (asked.bearer(one),)) for one in asked.world.walkers]
    pages, path = [], f"{path}?limit=100"
    while path is not None:
        pages.append(Request("GET", path, (asked.bearer(walker),)))
        path = asked.next_page(pages[-1])
    if len(pages) != PAGES:
        raise SystemExit(f"{asked.server.name}: a group of a thousand has {len(pages)} pages, and not {PAGES}.")
    # Of the same page by different people: a contender that keeps what it has verified gains no more than elsewhere.
    return [Request("GET", page.path, (asked.bearer(one),)) for one in asked.world.walkers for page in pages]


def items(asked: Asked) -> list[Request]:
    """One's own items."""
    return [Request("GET", "/items?limit=50", (asked.bearer(viewer),)) for viewer in asked.world.viewers]


def new_item(asked: Asked) -> list[Request]:
    """A new item."""
    body = '{"title":"Lamp","description":"Gives light.","price":"19.90"}'
    return [Request("POST", "/items", (asked.bearer(viewer), JSON), body) for viewer in asked.world.viewers]


def post(asked: Asked) -> list[Request]:
    """A post, anonymously."""
    count = asked.world.post_count
    return [Request("GET", f"/posts/{number * count // 500 + 1}") for number in range(500)]


def login(asked: Asked) -> list[Request]:
    """Signing in."""
    return [
        Request("POST", "/auth/jwt/login", (FORM,), urlencode({"username": email, "password": PASSWORD}))
        for email in asked.world.emails
    ]


def deep_page(asked: Asked) -> list[Request]:
    """The posts after the ten thousandth, through its cursor."""
    path = asked.next_page(Request("GET", "/posts?skip=9999&limit=1")) or ""
    cursor = path.partition("after=")[2].partition("&")[0]
    return [Request("GET", f"/posts?after={cursor}&limit=50")]


def skipped_page(_asked: Asked) -> list[Request]:
    """The same posts, by counting."""
    return [Request("GET", "/posts?skip=10000&limit=50")]


@dataclass(frozen=True, slots=True)
class Question:
    """A request of the table: how it is asked, and what share of whom the service has to reach."""

    name: str
    requests: Callable[[Asked], list[Request]] | None
    of_limit: float | None = None
    times_naive: float | None = None
    # How many requests make an answer, of those that walk through pages.
    pages: int = 1
    seconds: int | None = None
    has_naive: bool = True
    # Whether the limit of what reads on SQLite knows it.
    has_limit_of_reads: bool = False

    def is_known_to(self, contender: str) -> bool:
        """Tell whether a contender has this route."""
        return {"naive": self.has_naive, "limit of reads": self.has_limit_of_reads}.get(contender, True)


REFRESH = Question("`POST /auth/jwt/refresh`", None, has_naive=False)
QUESTIONS = (
    Question("`GET /users/me`", me, 0.50, 4, has_limit_of_reads=True),
    Question("`GET /user-groups/{id}/users?limit=100`", group, 0.50, 6, has_limit_of_reads=True),
    # Of the naive one's answers, only a few come in a second.
    Question("the same, 1,000 users in pages of 100", walk, 0.50, 20, pages=PAGES, seconds=5, has_limit_of_reads=True),
    Question("`GET /items?limit=50`", items, 0.50, 4),
    Question("`POST /items`", new_item, 0.50, 2),
    Question("`GET /posts/{id}`", post, 0.45, 4, has_limit_of_reads=True),
    Question("`POST /auth/jwt/login`", login),
    REFRESH,
)
