"""The course of one Alembic command: which database, online or offline, migrating or comparing."""

import sys
import warnings
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import URL

from fastapi_users_sqlmodel.migrations import _sqlite
from fastapi_users_sqlmodel.migrations._compare import OURS, differs
from fastapi_users_sqlmodel.migrations._database import (
    DatabaseUnavailableError,
    on_connectable,
    on_url,
    read_url,
)
from fastapi_users_sqlmodel.migrations._directives import render_item, rewrite
from fastapi_users_sqlmodel.migrations._named_types import differs_in_type
from fastapi_users_sqlmodel.migrations._scratch import Scratch, scratch_at_head


def run_migrations(target_metadata: MetaData, *, url: str | None = None) -> None:
    """Do what the Alembic command asks for; `alembic/env.py` calls it, and nothing else.

    The database is the one of `alembic -x url=…`, else `url`, else `sqlalchemy.url` of `alembic.ini`, by a sync or an
    async driver. A program may put a connection (or an engine) into `config.attributes["connection"]` instead: it is
    neither closed nor, when it is in a transaction, committed. Autogenerate compares the models with what the
    migrations build in a scratch, and never touches that database.

    Raises:
        alembic.util.CommandError: The database cannot be opened, or a migration would leave rows that refer to nothing.
            On the command line the first one is a sentence on stderr and exit status 1.
    """
    config = context.config
    _set_up_logging(config)
    try:
        _Command(config, target_metadata, url).run()
    except DatabaseUnavailableError as error:
        if not _is_command_line(config):
            raise
        sys.exit(str(error))


def is_at_head(connection: Connection, config: Config) -> bool:
    """Tell whether the newest migrations of the project have run on this database."""
    heads = ScriptDirectory.from_config(config).get_heads()
    return set(MigrationContext.configure(connection).get_current_heads()) == set(heads)


def _is_command_line(config: Config) -> bool:
    return hasattr(config.cmd_opts, "cmd")


def _set_up_logging(config: Config) -> None:
    # In a program, logging is the program's business.
    if _is_command_line(config) and config.config_file_name and config.file_config.has_section("loggers"):
        fileConfig(config.config_file_name, disable_existing_loggers=False)


class _Command:
    def __init__(self, config: Config, target_metadata: MetaData, url: str | None) -> None:
        self._config = config
        self._target_metadata = target_metadata
        self._url = url
        self._has_migrated = False

    def run(self) -> None:
        with warnings.catch_warnings():
            # We compare and keep these indexes ourselves.
            warnings.filterwarnings("ignore", message="Skipped unsupported reflection of expression-based index")
            self._run()

    def _run(self) -> None:
        connectable = self._config.attributes.get("connection")
        if context.is_offline_mode():
            self._write_sql()
        elif connectable is not None:
            on_connectable(connectable, self._work)
        elif self._is_autogenerating() and self._read_url().get_backend_name() == "sqlite":
            self._compare(None)
        else:
            on_url(self._read_url(), self._work)

    def _read_url(self) -> URL:
        given = context.get_x_argument(as_dictionary=True).get("url")
        found = given or self._url or self._config.get_main_option("sqlalchemy.url")
        if not found:
            raise DatabaseUnavailableError(
                "Which database? Give alembic -x url=…, run_migrations(…, url=…), or sqlalchemy.url in alembic.ini."
            )
        return read_url(found)

    def _is_autogenerating(self) -> bool:
        # Alembic hands what its command was told to the environment, and says so to nobody else.
        revision = self._environment_options().get("revision_context")
        return revision is not None and bool(revision.command_args["autogenerate"])

    @staticmethod
    def _environment_options() -> dict[str, Any]:
        environment: Any = context._proxy  # type: ignore[attr-defined]  # noqa: SLF001  # see _is_autogenerating
        options: dict[str, Any] = environment.context_opts
        return options

    def _configure(self, **options: Any) -> None:
        context.configure(
            target_metadata=self._target_metadata,
            render_as_batch=True,
            compare_type=differs_in_type,
            compare_server_default=differs,
            render_item=render_item,
            **options,
        )

    def _write_sql(self) -> None:
        # No driver is needed to write SQL down, and no connection either.
        self._configure(
            dialect_name=self._read_url().get_backend_name(),
            dialect_opts={"paramstyle": "named"},
            literal_binds=True,
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()

    def _work(self, connection: Connection) -> None:
        if self._is_autogenerating():
            self._compare(None if connection.dialect.name == "sqlite" else connection)
        elif connection.in_transaction():
            self._migrate(connection)
        elif connection.dialect.name == "sqlite":
            with _sqlite.foreign_keys_off(connection):
                self._migrate(connection)
        else:
            self._migrate(connection)

    def _migrate(self, connection: Connection) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        self._configure(
            connection=connection,
            transactional_ddl=True if is_sqlite else None,
            on_version_apply=self._note,
        )
        with context.begin_transaction():
            if is_sqlite:
                writing = not context.get_context().opts.get("dont_mutate")
                _sqlite.begin(connection, writing=writing)
            context.run_migrations()
            if is_sqlite and self._has_migrated:
                _sqlite.check_foreign_keys(connection)

    def _note(self, **_: Any) -> None:
        self._has_migrated = True

    def _compare(self, connection: Connection | None) -> None:
        with scratch_at_head(connection, context.script, self._target_metadata) as (replay, scratch):

            def process(migrations: MigrationContext, _: Any, directives: list[ops.MigrationScript]) -> None:
                self._process(directives, scratch, migrations)

            self._configure(connection=replay, process_revision_directives=process, **{OURS: True})
            context.run_migrations()

    def _process(self, directives: list[ops.MigrationScript], scratch: Scratch, migrations: MigrationContext) -> None:
        for script in directives:
            rewrite(script, self._target_metadata, scratch, migrations)
        if self._will_be_written() and all(
            each.upgrade_ops is None or each.upgrade_ops.is_empty() for each in directives
        ):
            directives.clear()
            self._config.print_stdout("No changes: the migrations already describe every model; nothing was written.")

    def _will_be_written(self) -> bool:
        # `alembic check` autogenerates as well, and wants to see the empty revision. A program that calls the command
        # without a message cannot be told from it, and gets an empty file.
        revision = self._environment_options()["revision_context"]
        return (
            bool(getattr(self._config.cmd_opts, "autogenerate", False)) or revision.command_args["message"] is not None
        )
