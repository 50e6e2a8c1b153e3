"""Importing the library adds no listener to a class of SQLAlchemy, Alembic or SQLModel, and nothing to a session."""

import subprocess
import sys

# In a fresh process: this one has added listeners already.
COUNT_LISTENERS = """
import importlib, pkgutil, sys
from sqlalchemy.event import registry

import fastapi_users_sqlmodel

IS_MIGRATION = ("fastapi_users_sqlmodel.migrations", "fastapi_users_sqlmodel.adoption")
UPSTREAM = ("sqlalchemy", "sqlmodel", "alembic")

# The keys are (id of the target, name of the event, id of the listener).
listeners = registry._key_to_collection

for module in pkgutil.walk_packages(fastapi_users_sqlmodel.__path__, "fastapi_users_sqlmodel."):
    if not module.name.startswith(IS_MIGRATION):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            if (error.name or "").startswith("fastapi_users_sqlmodel"):
                raise
ours = {
    id(value)
    for name, module in list(sys.modules.items())
    if name.startswith("fastapi_users_sqlmodel")
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__.startswith("fastapi_users_sqlmodel")
}
theirs = {
    id(value): f"{value.__module__}.{value.__qualname__}"
    for name, module in list(sys.modules.items())
    if name.startswith(UPSTREAM) and module is not None
    for value in vars(module).values()
    if isinstance(value, type)
}
functions = {
    id(value): f"{value.__module__}.{value.__qualname__}"
    for name, module in list(sys.modules.items())
    if name.startswith("fastapi_users_sqlmodel")
    for value in vars(module).values()
    if callable(value) and hasattr(value, "__qualname__") and str(value.__module__).startswith("fastapi_users_sqlmodel")
}
for target, name, listener in sorted(listeners, key=str):
    if listener in functions and target not in ours:
        print(functions[listener], "listens to", name, "of", theirs.get(target, target))
print(sum(target in ours for target, _, _ in listeners), "listeners on classes of ours", file=sys.stderr)
"""

A_STRANGER = """
import fastapi_users_sqlmodel, fastapi_users_sqlmodel._statements
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
import sqlmodel

for session_class in (Session, sqlmodel.Session):
    with session_class(create_engine("sqlite://")) as session:
        session.execute(text("SELECT 1"))
        print(session.info)
        session.commit()
        print(session.info)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)


def test_no_listener_on_a_class_of_somebody_else() -> None:
    ran = run(COUNT_LISTENERS)
    assert ran.stdout == ""
    # What it looks at is not empty: the sessions and the tables of this library have listeners.
    assert int(ran.stderr.split()[0]) > 3


def test_no_key_in_the_info_of_a_session_of_somebody_else() -> None:
    assert run(A_STRANGER).stdout.split() == ["{}"] * 4
