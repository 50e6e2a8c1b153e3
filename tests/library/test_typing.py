"""What the types promise: the files in typing/ pass mypy --strict without an ignore, and a wrong one does not."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path("tests", "library", "typing")
WRONG = """\
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlmodel import Session

from fastapi_users_sqlmodel import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase, SQLModelUserDatabase, rel


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


def wrong(user: User, session: Session, async_session: AsyncSession) -> None:
    user.email = None
    user.nickname = "anna"
    SQLAlchemyUserDatabase(session, User)
    SQLModelUserDatabase(async_session, User)
    SQLModelUserDatabase(session, Base)
    rel()
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return mypy's errors as `file:line [code]`."""
    pytest.importorskip("mypy")
    wrong = tmp_path_factory.mktemp("typing") / "wrong.py"
    wrong.write_text(WRONG)
    # Without the repository's configuration, as a user of the library; the cache makes the next run fast.
    options = [
        "--strict",
        "--config-file=",
        f"--cache-dir={ROOT}/.mypy_cache/typing",
        "--no-pretty",
        "--no-error-summary",
    ]
    command = [sys.executable, "-m", "mypy", *options, str(FOLDER), str(wrong)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    errors = [line for line in ended.stdout.splitlines() if ": error: " in line]
    return [f"{Path(line.split(':')[0]).name}:{line.split(':')[1]} {line[line.rindex('[') :]}" for line in errors]


@pytest.mark.thorough
def test_the_promises_are_kept(complaints: list[str]) -> None:
    assert [line for line in complaints if not line.startswith("wrong.py")] == []
    assert "ignore" not in "".join(path.read_text() for path in (ROOT / FOLDER).glob("*.py"))


@pytest.mark.thorough
def test_a_wrong_program_is_refused(complaints: list[str]) -> None:
    assert [line for line in complaints if line.startswith("wrong.py")] == [
        "wrong.py:17 [assignment]",
        "wrong.py:18 [attr-defined]",
        "wrong.py:19 [arg-type]",
        "wrong.py:20 [arg-type]",
        "wrong.py:21 [type-var]",
        "wrong.py:22 [call-arg]",
    ]
