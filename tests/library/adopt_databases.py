"""Databases that FastAPI Users' own adapter made: in environments of their own, once for the run."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from fastapi_users_sqlmodel import NAMING_CONVENTION
from tests.postgres import postgres_database

ROOT = Path(__file__).parents[2]
WITHIN = 120.0

# The first and the last of them. What else such an old FastAPI Users needs, it does not say.
ADAPTERS = {
    "4.0.0": ["fastapi-users-db-sqlalchemy==4.0.0", "fastapi-users==10.0.0", "sqlalchemy<2", "setuptools<81"],
    "7.0.0": ["fastapi-users-db-sqlalchemy==7.0.0", "fastapi-users>=15.0.5,<16", "sqlalchemy<2.1"],
}
DRIVERS = ["aiosqlite<0.22", "asyncpg", "greenlet"]
UNINSTALLED = 77
INSTALL_AND_MAKE = f"""\
uv=$1 folder=$2 program=$3
shift 3
"$uv" venv --quiet "$folder/environment" >&2 || exit {UNINSTALLED}
"$uv" pip install --quiet --python "$folder/environment" "$@" >&2 || exit {UNINSTALLED}
exec "$folder/environment/bin/python" -W ignore "$program" <"$folder/orders.json"
"""

# Three spellings, NFC and NFD, IDNA, and somebody alone. To the adapter these are eight addresses.
COLLIDING = [
    "Ann@Example.com",
    "ann@example.com",
    "ANN@EXAMPLE.COM",
    "jos\u00e9@example.com",
    "Jose\u0301@example.com",
    "kim@b\u00fccher.example",
    "kim@xn--bcher-kva.example",
    "solo@example.com",
]
# The spelling that was stored, and another one under which its owner is found afterwards.
CLEAN = {
    "Ann@Example.com": "aNN@example.COM",
    "jos\u00e9@example.com": "JOSE\u0301@example.com",
    "kim@b\u00fccher.example": "KIM@xn--bcher-kva.example",
    "\u00c4rger@Stra\u00dfe.example": "\u00e4RGER@stra\u00dfe.example",
}


class Case(NamedTuple):
    """A database that the adapter made."""

    version: str
    ids: str
    kind: str
    named: bool = False
    colliding: bool = False


@dataclass(frozen=True)
class Made:
    """Where it is, and who is in it: `id`, `email`, `token`, in the order in which they came."""

    url: str
    users: list[dict[str, Any]]


CASES = [
    Case(version, ids, kind, named=(version == "7.0.0") == (ids == "uuid"))
    for version in ADAPTERS
    for ids in ("uuid", "int")
    for kind in ("sqlite", "postgresql")
]
COLLIDING_CASES = [
    Case("7.0.0", ids, kind, colliding=True) for ids in ("uuid", "int") for kind in ("sqlite", "postgresql")
]


@pytest.fixture(scope="session")
def made_by_the_adapter(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[dict[Case, Made]]:
    """Return a database of each case, which nobody is to change."""
    folder = tmp_path_factory.mktemp("adapters")
    with ExitStack() as databases:
        urls: dict[Case, str] = {}
        for number, case in enumerate(CASES + COLLIDING_CASES):
            urls[case] = f"sqlite:///{folder}/{number}.db"
            if case.kind == "postgresql":
                urls[case] = databases.enter_context(postgres_database(postgres_url))
        yield {case: Made(urls[case], users) for case, users in _make(folder, urls).items()}


def _make(folder: Path, urls: dict[Case, str]) -> dict[Case, list[dict[str, Any]]]:
    uv = shutil.which("uv")
    if uv is None:
        _go_without("uv is not installed")
    running = {version: _start(uv, folder / version, version, urls) for version in ADAPTERS}
    made: dict[Case, list[dict[str, Any]]] = {}
    uninstalled = []
    for version, process in running.items():
        try:
            said, complained = process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            said, complained = process.communicate()
            process.returncode = UNINSTALLED
        if process.returncode == UNINSTALLED:
            uninstalled.append(f"{version}: {complained.strip()[-500:]}")
            continue
        assert process.returncode == 0, complained
        made |= zip(_of(version, urls), json.loads(said), strict=True)
    if uninstalled:
        _go_without("; ".join(uninstalled))
    return made


def _of(version: str, urls: dict[Case, str]) -> list[Case]:
    return [case for case in urls if case.version == version]


def _start(uv: str, folder: Path, version: str, urls: dict[Case, str]) -> subprocess.Popen[str]:
    """Install an adapter and let it make its databases; both versions do so at the same time."""
    orders = [
        {
            "ids": case.ids,
            "url": urls[case].replace("sqlite", "sqlite+aiosqlite", 1).replace("postgresql", "postgresql+asyncpg", 1),
            "convention": NAMING_CONVENTION if case.named else None,
            "emails": COLLIDING if case.colliding else list(CLEAN),
        }
        for case in _of(version, urls)
    ]
    folder.mkdir()
    (folder / "orders.json").write_text(json.dumps(orders))
    (folder / "upstream.sh").write_text(INSTALL_AND_MAKE)
    program = Path(__file__).with_name("adopt_upstream.py")
    arguments = [uv, str(folder), str(program), *ADAPTERS[version], *DRIVERS]
    return subprocess.Popen(
        ["sh", str(folder / "upstream.sh"), *arguments],
        # The working directory tells uv which Python is ours.
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _go_without(reason: str) -> NoReturn:
    message = f"FastAPI Users' adapter cannot be installed: {reason}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
