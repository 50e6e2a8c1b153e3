"""The code of docs/migrations.md runs as it stands there."""

import os
import subprocess
import sys

import pytest

from tests.documents import blocks, read_page, walk
from tests.library.alembic_project import AlembicProject
from tests.library.alembic_project import project as project  # noqa: PLC0414  # pytest looks for it here
from tests.library.postgres_roles import CreateOwned, execute
from tests.library.postgres_roles import create_owned as create_owned  # noqa: PLC0414

PAGE = read_page("docs/migrations.md")
CODE = [(name, code) for _, name, code in walk(PAGE) if name]
ENVIRONMENTS = [code for name, code in CODE if name == "alembic/env.py"]
MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): ...

class Contact(Base):
    __tablename__ = "contact"
    __table_args__ = {"schema": "crm"}
    id: Mapped[int] = mapped_column(primary_key=True)
"""


class TestEnvironments:
    @pytest.mark.parametrize(
        "env", [ENVIRONMENTS[0], *(pytest.param(env, marks=pytest.mark.thorough) for env in ENVIRONMENTS[1:])]
    )
    def test_run(self, project: AlembicProject, create_owned: CreateOwned, env: str) -> None:
        owned = create_owned("CREATEDB", owns=True)
        (version,) = [code for name, code in CODE if name.startswith("alembic/versions/")]
        (project.folder / "models.py").write_text(MODELS)
        (project.folder / "alembic" / "env.py").write_text(env)
        (project.versions / "0001.py").write_text(version)
        if "version_table_schema" in env:
            execute(owned.url, "CREATE SCHEMA crm")
            (project.versions / "0001.py").write_text(version.replace("CREATE SCHEMA", "CREATE SCHEMA IF NOT EXISTS"))

        def alembic(*arguments: str) -> None:
            program = [sys.executable, "-W", "error", "-m", "alembic", "-x", f"url={owned.url}", *arguments]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(project.folder), *sys.path])}
            ran = subprocess.run(
                program, cwd=project.folder, env=environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, ran

        alembic("upgrade", "head")
        alembic("revision", "--autogenerate", "-m", "contacts")
        alembic("upgrade", "head")
        alembic("check")


class TestGrants:
    @pytest.mark.parametrize("grant", blocks(PAGE, "sql"))
    def test_run(self, create_owned: CreateOwned, grant: str) -> None:
        owned = create_owned()
        said = grant.replace("shop", owned.name).replace(" app", f" {owned.role}")
        execute(owned.superuser_url, said)
