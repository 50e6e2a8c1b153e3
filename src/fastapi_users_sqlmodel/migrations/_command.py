"""Run one Alembic command: write SQL, migrate a database, or compare it with the models."""

import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from fastapi_users_sqlmodel.migrations import _sqlite
from fastapi_users_sqlmodel.migrations._autogenerate import (
    Wanted,
    as_it_stands,
    filters,
    in_given,
    in_memory,
    on_postgres,
    recalling,
)
from fastapi_users_sqlmodel.migrations._compare import OURS, CompareServerDefault
from fastapi_users_sqlmodel.migrations._database import (
    DatabaseUnavailableError,
    Work,
    on_connectable,
    on_url,
    read_url,
)
from fastapi_users_sqlmodel.migrations._directives import render_item, rewrite
from fastapi_users_sqlmodel.migrations._named_types import differs_in_type
from fastapi_users_sqlmodel.migrations._scratch import Scratch


def _refuse_autocommit_block(migrations: MigrationContext) -> None:
    def refuse() -> NoReturn:
        raise CommandError(
            "A revision uses autocommit_block(), which would have to commit a transaction that is not ours: hand the "
            'connection in config.attributes["connection"] over outside of a transaction.'
        )

    migrations.autocommit_block = refuse  # type: ignore[method-assign]  # Alembic would end in a bare AssertionError


class Command:
    """One Alembic command of a project, under the options that `run_migrations` was given."""

    def __init__(self, wanted: Wanted, *, url: str | URL | None, scratch_url: str | URL | None, compare: str) -> None:
        self._wanted = wanted
        self._config = context.config
        self._url = url
        self._scratch_url = scratch_url
        self._compares_database = compare == "database"
        self._has_migrated = False
        if compare not in {"scratch", "database"}:
            raise CommandError(f'compare is {compare!r}: it is "scratch" or "database".')
        if self._compares_database and scratch_url is not None:
            raise CommandError('Give scratch_url or compare="database", not both.')

    def run(self) -> None:
        """Write SQL, autogenerate or migrate, as the command asks.

        Raises:
            DatabaseUnavailableError: The database cannot be opened, or no URL was given.
            CommandError: See `run_migrations`.
        """
        with warnings.catch_warnings():
            # We compare and keep these indexes ourselves.
            warnings.filterwarnings("ignore", message="Skipped unsupported reflection of expression-based index")
            # PostgreSQL compares these for us.
            warnings.filterwarnings("ignore", message=r"Expression #\d+ .* detected to include an operator clause")
            # We recognise these types ourselves, or say in the migration that nobody does.
            warnings.filterwarnings("ignore", message="Did not recognize type")
            if context.is_offline_mode():
                self._write_sql()
            elif self._is_autogenerating():
                self._autogenerate()
            else:
                self._on_database(self._migrate_safely)

    def _on_database(self, work: Work) -> None:
        connectable = self._config.attributes.get("connection")
        if connectable is not None:
            on_connectable(connectable, work)
        else:
            on_url(self._read_url(), work)

    def _read_url(self) -> URL:
        found = self._url or self._config.get_main_option("sqlalchemy.url")
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

    def _configure(self, **ours: Any) -> None:
        options = self._wanted.options
        context.configure(
            **{
                **options,
                "target_metadata": self._wanted.target_metadata,
                "render_as_batch": True,
                # False switches a comparison off. A callable is asked by ours.
                "compare_type": options.get("compare_type") is not False and self._compare_type,
                "compare_server_default": options.get("compare_server_default") is not False,
                "render_item": self._render_item,
                **ours,
            }
        )

    def _render_item(self, kind: str, item: Any, autogen: AutogenContext) -> Any:
        theirs = self._wanted.options.get("render_item")
        rendered = False if theirs is None else theirs(kind, item, autogen)
        return render_item(kind, item, autogen) if rendered is False else rendered

    def _compare_type(self, *found: Any) -> bool | None:
        theirs = self._wanted.options.get("compare_type")
        is_other: bool | None = theirs(*found) if callable(theirs) else None
        return differs_in_type(*found) if is_other is None else is_other

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

    def _migrate_safely(self, connection: Connection) -> None:
        if connection.dialect.name == "sqlite" and not connection.in_transaction():
            with _sqlite.foreign_keys_off(connection):
                self._migrate(connection)
        else:
            self._migrate(connection)

    def _migrate(self, connection: Connection) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        theirs = self._wanted.options.get("on_version_apply") or ()
        self._configure(
            connection=connection,
            transactional_ddl=True if is_sqlite else None,
            on_version_apply=(self._note, *(theirs if isinstance(theirs, Iterable) else (theirs,))),
        )
        if connection.in_transaction():
            _refuse_autocommit_block(context.get_context())
        with context.begin_transaction():
            if is_sqlite:
                writing = not context.get_context().opts.get("dont_mutate")
                _sqlite.begin(connection, writing=writing)
            context.run_migrations()
            if is_sqlite and self._has_migrated:
                _sqlite.check_foreign_keys(connection)

    def _note(self, **_: Any) -> None:
        self._has_migrated = True

    def _autogenerate(self) -> None:
        if self._scratch_url is not None:
            on_url(self._read_scratch_url(), lambda connection: self._compare(in_given(connection, self._wanted)))
        elif self._compares_database:
            self._on_database(lambda connection: self._compare(as_it_stands(connection)))
        elif self._config.attributes.get("connection") is None and self._read_url().get_backend_name() == "sqlite":
            self._compare(in_memory(self._wanted))
        else:
            self._on_database(self._compare_in_scratch)

    def _read_scratch_url(self) -> URL:
        scratch = read_url(self._scratch_url or "")
        connectable: Any = self._config.attributes.get("connection")
        real: URL = self._read_url() if connectable is None else getattr(connectable, "engine", connectable).url
        if scratch.database and (scratch.host, scratch.port, scratch.database) == (real.host, real.port, real.database):
            raise CommandError(
                f"scratch_url is the database {real.database!r} itself: name another one, empty or a copy of it."
            )
        return scratch

    def _compare_in_scratch(self, connection: Connection) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        self._compare(in_memory(self._wanted) if is_sqlite else on_postgres(connection, self._wanted))

    def _compare(self, place: AbstractContextManager[tuple[Connection, Scratch]]) -> None:
        with place as (connection, scratch), recalling(connection, scratch, self._wanted.tables):

            def process(migration: MigrationContext, revision: Any, directives: list[ops.MigrationScript]) -> None:
                self._process(migration, revision, directives, scratch)

            self._configure(
                connection=connection,
                process_revision_directives=process,
                # Alembic would make its version table.
                dont_mutate=True,
                **filters(connection, scratch, self._wanted),
                **{OURS: self._compare_server_default()},
            )
            context.run_migrations()

    def _compare_server_default(self) -> CompareServerDefault | None:
        theirs = self._wanted.options.get("compare_server_default")
        return (lambda *found: theirs(context.get_context(), *found)) if callable(theirs) else None

    def _process(
        self, migration: MigrationContext, revision: Any, directives: list[ops.MigrationScript], scratch: Scratch
    ) -> None:
        for script in directives:
            rewrite(script, self._wanted.tables, scratch, migration)
        theirs = self._wanted.options.get("process_revision_directives")
        if theirs is not None:
            theirs(migration, revision, directives)
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
