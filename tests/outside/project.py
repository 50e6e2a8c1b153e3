"""A stranger's project: a folder that is empty at first, and the commands that its owner types there."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.programs import Programs, Ran
from tests.server import Server, start_server

# What most commands import; none of it is this library, which each program imports by itself.
WORLD = (
    "aiosqlite",
    "alembic.config",
    "asyncpg",
    "fastapi",
    "fastapi_users.authentication",
    "pwdlib.hashers.argon2",
    "pwdlib.hashers.bcrypt",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlmodel.ext.asyncio.session",
    "uvicorn.main",
)

# What `secrets.token_urlsafe(32)` makes, as the page says.
SECRET = secrets.token_urlsafe(32)

SEVERAL = "import json, sys; from alembic.config import main; [main(argv) for argv in json.loads(sys.argv[1])]"


class Outside:
    """A folder, and programs of the environment into which the wheel is installed.

    Each command is a process of its own in this folder, with an environment that has nothing of the repository in it.
    """

    def __init__(self, python: Path, programs: Programs) -> None:
        self.folder = programs.folder
        self.programs = programs
        self._bin = python.parent

    def write(self, files: Mapping[str, str]) -> None:
        """Write files into the folder, and the folders that they are in."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def python(self, *arguments: str, env: Mapping[str, str] | None = None, fresh: bool = False) -> Ran:
        """Run `python` with these arguments; a fresh one has imported nothing before, which takes a second more."""
        return self.programs.run(*arguments, env=env, fresh=fresh)

    def alembic(self, *arguments: str, env: Mapping[str, str] | None = None, fresh: bool = False) -> Ran:
        """Run the command `alembic`."""
        return self.programs.run(str(self._bin / "alembic"), *arguments, env=env, fresh=fresh)

    def migrate(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command of Alembic that has to succeed, and return what it printed."""
        ran = self.alembic(*arguments, env=env)
        assert ran.status == 0, f"alembic {' '.join(arguments)}:\n{ran.out}\n{ran.err}"
        return ran.out

    def migrate_in_one(self, *commands: Sequence[str], env: Mapping[str, str] | None = None) -> str:
        """Run several commands of Alembic in one process, which imports the models once; return what they printed."""
        ran = self.python("-c", SEVERAL, json.dumps(commands), env=env)
        assert ran.status == 0, f"{ran.out}\n{ran.err}"
        return ran.out

    def revise(self, message: str, *, env: Mapping[str, str] | None = None) -> str:
        """Autogenerate a revision that has to have something in it, and return its source."""
        versions = self.folder / "alembic" / "versions"
        before = set(versions.glob("*.py"))
        out = self.migrate("revision", "--autogenerate", "-m", message, env=env)
        new = set(versions.glob("*.py")) - before
        assert len(new) == 1, f"no revision was written:\n{out}"
        return new.pop().read_text()

    def serve(self, app: str = "main:app", *, env: Mapping[str, str] | None = None, fresh: bool = False) -> Server:
        """Start `uvicorn` and wait until it answers; it ends with the test."""
        arguments = ("-m", "uvicorn", app, "--port", "{port}")
        return start_server(self.programs, *arguments, env=env, fresh=fresh, until="/openapi.json")
