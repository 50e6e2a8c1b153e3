"""The calls of a project's `alembic/env.py` and of its start-up: run migrations, and check that they have run."""

import sys
from collections.abc import Sequence
from logging.config import fileConfig
from typing import Any, Literal

from alembic import context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import URL

from fastapi_users_sqlmodel.migrations._autogenerate import Wanted, check_options
from fastapi_users_sqlmodel.migrations._command import Command
from fastapi_users_sqlmodel.migrations._database import DatabaseUnavailableError


def run_migrations(
    target_metadata: MetaData | Sequence[MetaData],
    *,
    url: str | URL | None = None,
    scratch_url: str | URL | None = None,
    compare: Literal["scratch", "database"] = "scratch",
    **options: Any,
) -> None:
    """Do what the Alembic command asks for; `alembic/env.py` calls it, and nothing else.

    The database is the one of `alembic -x url=…`, else `url`, else `sqlalchemy.url` of `alembic.ini`, by a sync or an
    async driver. A program may put a connection (or an engine) into `config.attributes["connection"]` instead: it is
    neither closed nor, when it is in a transaction, committed.

    Autogenerate compares the models with what the migrations build in a scratch: a SQLite database in memory; on
    PostgreSQL a database of its own, which is dropped afterwards, or a schema where the role may not create databases.
    It never touches the real tables.

    Args:
        target_metadata: The metadata of the models, or several.
        url: The database to migrate.
        scratch_url: A database for autogenerate to replay the migrations in, empty or a copy of a real one. Everything
            happens in one transaction, which is rolled back. Also `alembic -x scratch_url=…`.
        compare: "database" compares with the database as it stands, which has to be at head; only its catalogs are
            read. Also `alembic -x compare=database`.
        options: Those of Alembic's `context.configure`, such as `include_schemas`, `include_name`, `include_object`,
            `compare_type`, `version_table_schema` or `process_revision_directives`. Hooks run after the library's own.

    Raises:
        alembic.util.CommandError: The database cannot be opened, no scratch can be made, a revision fails in it, or a
            migration would leave rows that refer to nothing. On the command line it is a sentence on stderr.
        TypeError: An option is one that the library sets itself.
    """
    config = context.config
    _set_up_logging(config)
    given = context.get_x_argument(as_dictionary=True)
    try:
        Command(
            Wanted(context.script, target_metadata, check_options(options)),
            url=given.get("url") or url,
            scratch_url=given.get("scratch_url") or scratch_url,
            compare=given.get("compare") or compare,
        ).run()
    except DatabaseUnavailableError as error:
        if not _is_command_line(config):
            raise
        sys.exit(str(error))


def is_at_head(connection: Connection, config: Config, **options: Any) -> bool:
    """Return whether the newest migrations of the project have run on this database.

    Give `version_table` and `version_table_schema` here too where `run_migrations` has them.
    """
    heads = ScriptDirectory.from_config(config).get_heads()
    return set(MigrationContext.configure(connection, opts=options).get_current_heads()) == set(heads)


def _is_command_line(config: Config) -> bool:
    return hasattr(config.cmd_opts, "cmd")


def _set_up_logging(config: Config) -> None:
    # In a program, logging is the program's business.
    if _is_command_line(config) and config.config_file_name and config.file_config.has_section("loggers"):
        fileConfig(config.config_file_name, disable_existing_loggers=False)
