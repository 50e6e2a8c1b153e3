"""Ask a running server whether it tells who has an account, by a byte of its answers or by their time.

    python -m tests.oracle                              # the service itself, on SQLite and on PostgreSQL
    python -m tests.oracle --url http://127.0.0.1:8000  # what runs there, without limits

Two hundred addresses with an account and two hundred without come in one shuffled order to each of the three routes
that anybody may ask. Answers must be the same bytes, apart from date and request id; and the best single threshold on
the time may not tell the two kinds apart with an area under the curve above 0.60 (guessing has 0.50). The service is
started with an SMTP server that takes two seconds for each message. Exit status 1 means that something does tell.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiosmtpd.smtp import SMTP

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


QUESTIONS = (
    Question("/auth/jwt/login", FORM, lambda email: urlencode({"username": email, "password": WRONG})),
    Question("/auth/forgot-password", JSON, lambda email: json.dumps({"email": email})),
    Question("/auth/request-verify-token", JSON, lambda email: json.dumps({"email": email})),
)


@dataclass
class Observed:
    """What was seen of the addresses with an account, or of those without: every different answer, and all times."""

    answers: set[tuple[Any, ...]] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> str:
        return f"{statistics.median(self.seconds) * 1000:.2f} ms"


@dataclass(frozen=True)
class Finding:
    """What a question gives away."""

    path: str
    known: Observed
    unknown: Observed

    @property
    def same_bytes(self) -> bool:
        return len(self.known.answers | self.unknown.answers) == 1

    @property
    def by_threshold(self) -> float:
        return best_threshold(self.known.seconds, self.unknown.seconds)

    @property
    def by_rank(self) -> float:
        return rank(self.known.seconds, self.unknown.seconds)

    @property
    def tells(self) -> bool:
        return not self.same_bytes or max(self.by_threshold, self.by_rank) > MOST


def best_threshold(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the area under the curve of the best single threshold: half the sum of its two rates of being right."""
    ones, others = sorted(ones), sorted(others)
    apart = (
        abs(bisect_right(ones, at) / len(ones) - bisect_right(others, at) / len(others)) for at in (*ones, *others)
    )
    return 0.5 + max(apart) / 2


def rank(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the area under the whole curve: how probably one takes longer than another, or the other way round."""
    others = sorted(others)
    wins = sum(bisect_left(others, one) + bisect_right(others, one) for one in ones) / (2 * len(ones) * len(others))
    return max(wins, 1 - wins)


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


def examine(url: str, pairs: int) -> list[Finding]:
    """Register the users that are needed, and ask all questions."""
    client, run = Client(url), uuid.uuid4().hex[:12]
    # Of the same length in both, and a few more to warm up with.
    known, unknown = (
        [f"{kind}{number:04}{run}@example.com" for number in range(WARM_UP + pairs)] for kind in ("known", "nobod")
    )
    for email in known:
        _, answer, content = client.post("/auth/register", JSON, json.dumps({"email": email, "password": PASSWORD}))
        if answer.status != http.client.CREATED:
            raise SystemExit(f"Nobody can register at {url}: {answer.status} {content.decode()}")
    return [ask(client, question, known, unknown) for question in QUESTIONS]


def ask(client: Client, question: Question, known: Sequence[str], unknown: Sequence[str]) -> Finding:
    """Ask about all addresses in one shuffled order: what one request leaves behind meets both kinds alike."""
    finding = Finding(question.path, Observed(), Observed())
    for email in (*known[:WARM_UP], *unknown[:WARM_UP]):
        client.post(question.path, question.content_type, question.body(email))
    asked = [(email, finding.known) for email in known[WARM_UP:]]
    asked += [(email, finding.unknown) for email in unknown[WARM_UP:]]
    random.shuffle(asked)
    for email, observed in asked:
        seconds, answer, content = client.post(question.path, question.content_type, question.body(email))
        if answer.status == http.client.TOO_MANY_REQUESTS:
            raise SystemExit(f"{question.path} answers 429: there it counts, and only without limits can be measured.")
        observed.seconds.append(seconds)
        observed.answers.add(every_byte(answer, content))
    return finding


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
def services(folder: Path) -> Iterator[Iterator[tuple[str, str]]]:
    """Yield the service on each database, with its name, one after the other."""
    with ExitStack() as opened:
        interpreter = opened.enter_context(preloaded_interpreter())
        mail = {
            "SMTP_URL": f"smtp://127.0.0.1:{opened.enter_context(slow_mail_server())}",
            "MAIL_FROM": "service@example.com",
            "THROTTLING": "off",
            "LOG_LEVEL": "WARNING",
        }

        def one_after_the_other() -> Iterator[tuple[str, str]]:
            with open_programs(interpreter, folder / "sqlite") as programs:
                yield "SQLite", start_server(programs, env=mail).url
            try:
                database_url = opened.enter_context(postgres_database(opened.enter_context(postgres_server())))
            except RuntimeError as error:
                sys.stdout.write(f"PostgreSQL: {error}\n")
                return
            with open_programs(interpreter, folder / "postgresql") as programs:
                migrate(programs, database_url)
                yield "PostgreSQL", start_server(programs, database_url=database_url, env=mail).url

        yield one_after_the_other()


def migrate(programs: Programs, database_url: str) -> None:
    """Bring a database to head."""
    config = str(programs.root / "alembic.ini")
    ran = programs.run("-m", "alembic", "-c", config, "upgrade", "head", env={"DATABASE_URL": database_url})
    if ran.status != 0:
        raise SystemExit(ran.err)


def table(name: str, findings: Sequence[Finding]) -> str:
    """Draw what was found."""
    head = (name, "bytes", "known", "unknown", "AUC of a threshold", "AUC by rank", "")
    rows = [
        (
            finding.path,
            "same" if finding.same_bytes else "DIFFERENT",
            finding.known.median,
            finding.unknown.median,
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
            examined = iter([(str(options.url), str(options.url))])
        else:
            examined = opened.enter_context(services(Path(opened.enter_context(tempfile.TemporaryDirectory()))))
        for name, url in examined:
            found = examine(url, options.pairs)
            sys.stdout.write(table(name, found))
            sys.stdout.flush()
            findings += found
    return int(any(finding.tells for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
