"""Take the models of a folder through what is asked of them, in one process of the environment that has the wheel."""

import asyncio
import importlib
import os
import sys
from collections.abc import Callable

from alembic.config import main
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]


def run(work: Callable[[Connection], None]) -> None:
    """Do the work in a transaction, with foreign keys that SQLite enforces."""

    async def in_transaction() -> None:
        engine = create_async_engine(URL)
        async with engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                await connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            await connection.run_sync(work)
        await engine.dispose()

    asyncio.run(in_transaction())


def show(connection: Connection, sql: str) -> None:
    """Execute a statement, and print its rows if it has any."""
    found = connection.exec_driver_sql(sql)
    sys.stdout.write(f"{found.all()}\n" if found.returns_rows else "")


def do(command: str) -> None:
    """Do one thing: "fill", "sql:…", or a command of Alembic with its arguments."""
    if command == "fill":
        run(importlib.import_module("models").fill)
    elif command.startswith("sql:"):
        run(lambda connection: show(connection, command.removeprefix("sql:")))
    else:
        main(["-x", f"url={URL}", *command.split()])


for each in sys.argv[1:]:
    sys.stdout.write(f"-- {each}\n")
    do(each)
