"""Ask a running server whether it tells who has an account, by a byte of its answers or by their time.

    python -m tests.oracle                              # the service itself, on SQLite and on PostgreSQL
    python -m tests.oracle --url http://127.0.0.1:8000  # what runs there, without limits

Two hundred addresses with an account and two hundred without come in one shuffled order to each of the three routes
that anybody may ask; to the sign-in also as many whose password is stored as FastAPI Users' own Argon2 or bcrypt does.
Answers must be the same bytes, apart from date and request id; and for no two kinds may the best single threshold on
the time tell them apart with an area under the curve above 0.60 (guessing has 0.50). The service is started with an
SMTP server that takes two seconds for each message. Exit status 1 means that something does tell.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiosmtpd.smtp import SMTP
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy import create_engine, text

from fastapi_users_sqlmodel.engines import sync_url
from tests.curves import best_threshold, rank
from tests.postgres import postgres_database, postgres_server
from tests.programs import Programs, open_programs, preloaded_interpreter
from tests.server import start_server

MOST = 0.60
MESSAGE_TAKES = 2.0
WARM_UP = 20
PASSWORD = "correct horse battery"
WRONG = "wrong horse, other battery"
UNCOUNTED_HEADERS = {"date", "x-request-id"}

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Question:
    """What anybody may ask about an address."""

    path: str
    content_type: str
    body: Callable[[str], str]


# Kinds of accounts that were moved from FastAPI Users, with its defaults.
MOVED = {"argon": Argon2Hasher(), "bcryp": BcryptHasher()}

QUESTIONS = (
    Question("/auth/jwt/login", FORM, lambda email: urlencode({"username": email, "password": WRONG})),
    Question("/auth/forgot-password", JSON, lambda email: json.dumps({"email": email})),
    Question("/auth/request-verify-token", JSON, lambda email: json.dumps({"email": email})),
)


@dataclass
class Observed:
    """What was seen of the addresses of a kind: every different answer, and all times."""

    answers: set[tuple[Any, ...]] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> str:
        return f"{statistics.median(self.seconds) * 1000:.2f} ms"


@dataclass(frozen=True)
class Finding:
    """What a question gives away about two kinds of addresses."""

    path: str
    kinds: tuple[str, str]
    one: Observed
    other: Observed

    @property
    def same_bytes(self) -> bool:
        return len(self.one.answers | self.other.answers) == 1

    @property
    def by_threshold(self) -> float:
        return best_threshold(self.one.seconds, self.other.seconds)

    @property
    def by_rank(self) -> float:
        return rank(self.one.seconds, self.other.seconds)

    @property
    def tells(self) -> bool:
        return not self.same_bytes or max(self.by_threshold, self.by_rank) > MOST


class Client:
    """One connection that is kept open, and nothing between us and the time that an answer takes."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=60)

    def post(self, path: str, content_type: str, body: str) -> tuple[float, http.client.HTTPResponse, bytes]:
        """Post, and return how long that took, the answer and its body."""
        headers = {"Content-Type": content_type}
        started = time.perf_counter()
        self._connection.request("POST", path, body.encode(), headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return time.perf_counter() - started, answer, content


def examine(url: str, pairs: int, database_url: str | None) -> list[Finding]:
    """Register the users that are needed, and ask all questions; with the database, about moved accounts too."""
    client, run = Client(url), uuid.uuid4().hex[:12]
    moved = MOVED if database_url is not None else {}
    # Of the same length in all, and a few more to warm up with.
    addresses = {
        kind: [f"{kind}{number:04}{run}@example.com" for number in range(WARM_UP + pairs)]
        for kind in ("known", "nobod", *moved)
    }
    for kind in ("known", *moved):
        for email in addresses[kind]:
            register(client, email)
    if database_url is not None:
        for kind, scheme in MOVED.items():
            store(database_url, f"{kind}%{run}@example.com", scheme.hash(PASSWORD))
    findings = []
    for question in QUESTIONS:
        kinds = addresses if question is QUESTIONS[0] else {kind: addresses[kind] for kind in ("known", "nobod")}
        findings += ask(client, question, kinds)
    return findings


def register(client: Client, email: str) -> None:
    """Make an account."""
    _, answer, content = client.post("/auth/register", JSON, json.dumps({"email": email, "password": PASSWORD}))
    if answer.status != http.client.CREATED:
        raise SystemExit(f"Nobody can register: {answer.status} {content.decode()}")


def store(database_url: str, pattern: str, hashed_password: str) -> None:
    """Store a hash for all addresses that are like a pattern."""
    engine = create_engine(sync_url(database_url))
    with engine.begin() as connection:
        statement = text('UPDATE "user" SET hashed_password = :hashed WHERE email LIKE :pattern')
        connection.execute(statement, {"hashed": hashed_password, "pattern": pattern})
    engine.dispose()


def ask(client: Client, question: Question, kinds: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Ask about all addresses in one shuffled order: what one request leaves behind meets all kinds alike."""
    for addresses in kinds.values():
        for email in addresses[:WARM_UP]:
            client.post(question.path, question.content_type, question.body(email))
    seen = {kind: Observed() for kind in kinds}
    asked = [(email, seen[kind]) for kind, addresses in kinds.items() for email in addresses[WARM_UP:]]
    random.shuffle(asked)
    for email, observed in asked:
        seconds, answer, content = client.post(question.path, question.content_type, question.body(email))
        if answer.status == http.client.TOO_MANY_REQUESTS:
            raise SystemExit(f"{question.path} answers 429: there it counts, and only without limits can be measured.")
        observed.seconds.append(seconds)
        observed.answers.add(every_byte(answer, content))
    return [
        Finding(question.path, (one, other), seen[one], seen[other]) for one, other in itertools.combinations(seen, 2)
    ]


def every_byte(answer: http.client.HTTPResponse, content: bytes) -> tuple[Any, ...]:
    """Return what is compared of an answer."""
    headers = tuple(header for header in answer.getheaders() if header[0].lower() not in UNCOUNTED_HEADERS)
    return answer.version, answer.status, answer.reason, headers, content


class SlowInbox:
    """Takes every letter, and its time."""

    async def handle_DATA(self, *_: object) -> str:  # noqa: N802  # aiosmtpd's name
        await asyncio.sleep(MESSAGE_TAKES)
        return "250 OK"


def serve_mail(port: Connection) -> None:
    """Take mail for ever, and say on which port."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(SlowInbox(), loop=loop), "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def slow_mail_server() -> Iterator[int]:
    """Run it in a process of its own, where it disturbs no measurement, and yield its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_mail, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


@contextmanager
def services(folder: Path) -> Iterator[Iterator[tuple[str, str, str]]]:
    """Yield the service on each database, with the database's name and URL, one after the other."""
    with ExitStack() as opened:
        interpreter = opened.enter_context(preloaded_interpreter())
        mail = {
            "SMTP_URL": f"smtp://127.0.0.1:{opened.enter_context(slow_mail_server())}",
            "MAIL_FROM": "service@example.com",
            "THROTTLING": "off",
            "LOG_LEVEL": "WARNING",
        }

        def one_after_the_other() -> Iterator[tuple[str, str, str]]:
            with open_programs(interpreter, folder / "sqlite") as programs:
                database_url = f"sqlite:///{folder}/sqlite.db"
                yield "SQLite", start_server(programs, database_url=database_url, env=mail).url, database_url
            try:
                database_url = opened.enter_context(postgres_database(opened.enter_context(postgres_server())))
            except RuntimeError as error:
                sys.stdout.write(f"PostgreSQL: {error}\n")
                return
            with open_programs(interpreter, folder / "postgresql") as programs:
                migrate(programs, database_url)
                yield "PostgreSQL", start_server(programs, database_url=database_url, env=mail).url, database_url

        yield one_after_the_other()


def migrate(programs: Programs, database_url: str) -> None:
    """Bring a database to head."""
    config = str(programs.root / "alembic.ini")
    ran = programs.run("-m", "alembic", "-c", config, "upgrade", "head", env={"DATABASE_URL": database_url})
    if ran.status != 0:
        raise SystemExit(ran.err)


def table(name: str, findings: Sequence[Finding]) -> str:
    """Draw what was found."""
    head = (name, "kinds", "bytes", "one", "other", "AUC of a threshold", "AUC by rank", "")
    rows = [
        (
            finding.path,
            " ".join(finding.kinds),
            "same" if finding.same_bytes else "DIFFERENT",
            finding.one.median,
            finding.other.median,
            f"{finding.by_threshold:.3f}",
            f"{finding.by_rank:.3f}",
            "it tells" if finding.tells else "",
        )
        for finding in findings
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows))
    return "\n".join(lines) + "\n\n"


def main() -> int:
    """Examine what is asked for, print a table for each, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="of a server that runs without limits; the service itself if not given")
    parser.add_argument("--pairs", type=int, default=200, help="how many addresses of each kind (default: 200)")
    options = parser.parse_args()
    findings: list[Finding] = []
    with ExitStack() as opened:
        if options.url:
            examined: Iterator[tuple[str, str, str | None]] = iter([(str(options.url), str(options.url), None)])
        else:
            examined = opened.enter_context(services(Path(opened.enter_context(tempfile.TemporaryDirectory()))))
        for name, url, database_url in examined:
            found = examine(url, options.pairs, database_url)
            sys.stdout.write(table(name, found))
            sys.stdout.flush()
            findings += found
    return int(any(finding.tells for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
