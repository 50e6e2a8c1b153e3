"""What Locust runs, in an environment of its own, without anything of this project: send prepared requests in turn."""

import json
from itertools import cycle
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task  # type: ignore[import-not-found]  # Brought on demand

REQUESTS: list[Any] = []
TURNS = cycle(REQUESTS)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Likewise
def add_arguments(parser: Any) -> None:
    """Let the bench say where the requests are."""
    parser.add_argument("--requests")


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # Likewise
def read_requests(environment: Any, **_: Any) -> None:
    """Read them."""
    REQUESTS[:] = json.loads(Path(environment.parsed_options.requests).read_text())


class Client(FastHttpUser):  # type: ignore[misc]  # Likewise
    """One connection, which asks again when it has an answer."""

    @task  # type: ignore[untyped-decorator]  # Likewise
    def ask(self) -> None:
        """Send the next request; all are counted under one name."""
        method, path, headers, body = next(TURNS)
        self.client.request(method, path, headers=headers, data=body, name="all", allow_redirects=False)
