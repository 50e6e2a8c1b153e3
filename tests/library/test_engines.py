"""Which driver a URL means, and a SQLite that keeps what it was told."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from fastapi_users_sqlmodel.engines import async_url, is_in_memory, prepare_sqlite, sync_url
from tests.conftest import CreateDatabase

DRIVERS = [
    ("sqlite://", "sqlite+aiosqlite://", "sqlite://"),
    ("sqlite:///./test.db", "sqlite+aiosqlite:///./test.db", "sqlite:///./test.db"),
    ("sqlite+aiosqlite:///a.db", "sqlite+aiosqlite:///a.db", "sqlite:///a.db"),
    ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ("postgresql://u:p@h:1/d", "postgresql+asyncpg://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d"),
    ("postgresql+psycopg2://h/d", "postgresql+asyncpg://h/d", "postgresql+psycopg://h/d"),
    (
        "postgres://h/d?sslmode=require",
        "postgresql+asyncpg://h/d?ssl=require",
        "postgresql+psycopg://h/d?sslmode=require",
    ),
    (
        "postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem&target_session_attrs=read-write",
        (
            "postgresql+asyncpg://h/d?dsn=postgresql%3A%2F%2F%3Fsslrootcert%3D%252Fetc%252Fca.pem"
            "&ssl=verify-full&target_session_attrs=read-write"
        ),
        "postgresql+psycopg://h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&target_session_attrs=read-write",
    ),
    (
        "postgresql:///?dbname=d&host=h&user=u",
        "postgresql+asyncpg:///?database=d&host=h&user=u",
        "postgresql+psycopg:///?dbname=d&host=h&user=u",
    ),
    ("postgresql://h/d?nonsense=1", "postgresql+asyncpg://h/d", "postgresql+psycopg://h/d?nonsense=1"),
    (
        "postgresql://h/d?sslmode=require&sslmode=disable&application_name=a&application_name=b",
        "postgresql+asyncpg://h/d?dsn=postgresql%3A%2F%2F%3Fapplication_name%3Db&ssl=disable",
        "postgresql+psycopg://h/d?application_name=b&sslmode=disable",
    ),
    (
        "postgresql:///d?host=a:1&host=b:2&prepared_statement_cache_size=0",
        "postgresql+asyncpg:///d?host=a%3A1&host=b%3A2&prepared_statement_cache_size=0",
        "postgresql+psycopg:///d?host=a%3A1&host=b%3A2&prepared_statement_cache_size=0",
    ),
    ("mysql+asyncmy://h/d", "mysql+asyncmy://h/d", "mysql+asyncmy://h/d"),
]


@pytest.mark.parametrize(("given", "for_async", "for_sync"), DRIVERS)
def test_the_driver_of_a_url(given: str, for_async: str, for_sync: str) -> None:
    assert async_url(given).render_as_string(hide_password=False) == for_async
    assert sync_url(given).render_as_string(hide_password=False) == for_sync
    assert async_url(sync_url(given)) == async_url(given)


# What managed databases write into their URLs.
PROVIDERS = (
    "sslmode=prefer&channel_binding=prefer&connect_timeout=10&keepalives=1&keepalives_idle=30&gssencmode=disable"
)


class TestOptionsOfLibpq:
    def test_those_that_asyncpg_has_not_are_left_out_and_named(self, caplog: pytest.LogCaptureFixture) -> None:
        url = async_url(f"postgresql://u:secret@h/d?{PROVIDERS}&sslpassword=hidden&application_name=house")
        assert url.query.keys() == {"ssl", "dsn"}
        (record,) = caplog.records
        assert record.getMessage() == (
            "asyncpg takes no such options from a URL, so they are left out of the database's URL: "
            "channel_binding, connect_timeout, gssencmode, keepalives, keepalives_idle"
        )

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ("pgbouncer=true&connection_limit=1", "connection_limit, pgbouncer"),
            ("schema=public", "schema"),
            ("ssl_mode=require", "ssl_mode"),
            ("SSLMODE=require&nonsense", "SSLMODE"),
            ("loop=1&server_settings=a&statement_cache_size=0", "loop, server_settings, statement_cache_size"),
            ("timeout=5&direct_tls=false&record_class=a", "direct_tls, record_class, timeout"),
        ],
    )
    async def test_any_other_is_left_out_and_named(
        self, create_database: CreateDatabase, caplog: pytest.LogCaptureFixture, options: str, named: str
    ) -> None:
        """Those of Prisma and of other drivers, misspelt ones, and arguments of asyncpg that are no text."""
        url = async_url(f"{create_database()}?sslmode=require&sslmode=disable&command_timeout=9&{options}")
        assert [record.getMessage() for record in caplog.records] == [
            f"asyncpg takes no such options from a URL, so they are left out of the database's URL: {named}"
        ]
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            assert (await connection.exec_driver_sql("SELECT 1")).scalar_one() == 1
        await engine.dispose()

    def test_without_asyncpg_all_are_kept(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert async_url("postgresql://h/d?nonsense=1&sslmode=require").query == {"nonsense": "1", "ssl": "require"}
        assert caplog.records == []

    async def test_with_asyncpg(self, create_database: CreateDatabase) -> None:
        options = f"{PROVIDERS}&application_name=the+house%26garden&options=-c%20geqo%3Doff%20-c%20work_mem%3D5MB"
        url = async_url(f"{create_database()}?{options}")
        for each in (
            url,
            make_url(url.render_as_string(hide_password=False)),
            async_url(url),
            async_url(sync_url(url)),
        ):
            engine = create_async_engine(each, connect_args={"server_settings": {"timezone": "Asia/Tokyo"}})
            async with engine.connect() as connection:
                names = ("application_name", "geqo", "work_mem", "timezone")
                shown = [(await connection.exec_driver_sql(f"SHOW {name}")).scalar_one() for name in names]
                assert shown == ["the house&garden", "off", "5MB", "Asia/Tokyo"]
            await engine.dispose()

    def test_with_psycopg(self, create_database: CreateDatabase) -> None:
        for given in (f"{PROVIDERS}&application_name=house", "application_name=house&options=-c+geqo%3Doff"):
            url = create_database()
            engine = create_engine(sync_url(f"{url}?{given}"))
            with engine.connect() as connection:
                assert connection.exec_driver_sql("SHOW application_name").scalar_one() == "house"
            engine.dispose()

    async def test_a_certificate_authority_is_asked(self, create_database: CreateDatabase, tmp_path: Path) -> None:
        """`sslrootcert` is not lost on the way: a file that is missing is an error, and not a connection without it."""
        missing = tmp_path / "ca.pem"
        engine = create_async_engine(async_url(f"{create_database()}?sslmode=verify-full&sslrootcert={missing}"))
        with pytest.raises(FileNotFoundError):
            await engine.connect()


def test_no_url() -> None:
    with pytest.raises(ArgumentError):
        async_url("test.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+aiosqlite://"])
def test_a_database_in_memory(url: str) -> None:
    assert is_in_memory(make_url(url))


@pytest.mark.parametrize("url", ["sqlite:///test.db", "postgresql://", "postgresql://h"])
def test_a_database_elsewhere(url: str) -> None:
    assert not is_in_memory(make_url(url))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}")
    prepare_sqlite(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE house (id INTEGER PRIMARY KEY, visits INTEGER)"))
        connection.execute(text("CREATE TABLE room (house_id INTEGER REFERENCES house (id))"))
        connection.execute(text("INSERT INTO house VALUES (1, 0)"))
    yield engine
    engine.dispose()


def visits(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT visits FROM house")) or 0)


VISIT = text("UPDATE house SET visits = visits + 1")
PRAGMAS = {"foreign_keys": 1, "journal_mode": "wal", "synchronous": 1, "busy_timeout": 5000}


class TestPrepareSQLite:
    def test_its_settings(self, engine: Engine) -> None:
        with engine.connect() as connection:
            assert {name: connection.scalar(text(f"PRAGMA {name}")) for name in PRAGMAS} == PRAGMAS

    async def test_its_settings_with_aiosqlite(self, path: Path) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        prepare_sqlite(engine)
        async with engine.connect() as connection:
            assert {name: await connection.scalar(text(f"PRAGMA {name}")) for name in PRAGMAS} == PRAGMAS
        await engine.dispose()

    def test_foreign_keys(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(IntegrityError, match="FOREIGN KEY"):
            connection.execute(text("INSERT INTO room VALUES (2)"))

    def test_a_released_savepoint_is_rolled_back_with_the_rest(self, engine: Engine) -> None:
        with engine.connect() as connection:
            with connection.begin_nested():
                connection.execute(VISIT)
            connection.rollback()
        assert visits(engine) == 0

    def test_tables_are_rolled_back_too(self, engine: Engine) -> None:
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE garden (id INTEGER)"))
            connection.rollback()
        with engine.connect() as connection, pytest.raises(OperationalError, match="no such table"):
            connection.execute(text("SELECT * FROM garden"))

    def test_who_reads_and_then_writes_loses_nothing(self, engine: Engine) -> None:
        def visit(_: int) -> None:
            with engine.begin() as connection:
                seen = connection.scalar(text("SELECT visits FROM house"))
                connection.execute(text("UPDATE house SET visits = :seen + 1"), {"seen": seen})

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(visit, range(100)))
        assert visits(engine) == 100

    def test_autocommit_takes_no_lock(self, engine: Engine) -> None:
        reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.begin() as writer:
            writer.execute(VISIT)
            assert visits(reading) == 0
        with reading.connect() as reader:
            assert reader.scalar(text("SELECT visits FROM house")) == 1
            with engine.begin() as writer:
                writer.execute(VISIT)
            assert reader.scalar(text("SELECT visits FROM house")) == 2

    def test_a_connection_that_was_in_autocommit_has_transactions_again(self, engine: Engine) -> None:
        assert visits(engine.execution_options(isolation_level="AUTOCOMMIT")) == 0
        with engine.connect() as connection:
            with connection.begin_nested():
                connection.execute(VISIT)
            connection.rollback()
        assert visits(engine) == 0

    def test_a_new_file_is_opened_by_many_at_once(self, tmp_path: Path) -> None:
        """Switching a file to WAL is where SQLite waits for nobody."""
        for turn in range(20):
            engine = create_engine(f"sqlite:///{tmp_path}/{turn}.db", pool_size=8)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE house (visits INTEGER DEFAULT 0)"))
                connection.execute(text("INSERT INTO house DEFAULT VALUES"))
            engine.dispose()
            prepare_sqlite(engine)
            start = threading.Barrier(8)

            def visit(_: int, engine: Engine = engine, start: threading.Barrier = start) -> None:
                start.wait()
                with engine.begin() as connection:
                    connection.execute(VISIT)

            with ThreadPoolExecutor(8) as threads:
                list(threads.map(visit, range(8)))
            assert visits(engine) == 8
            engine.dispose()

    def test_postgresql_is_left_alone(self) -> None:
        engine = create_engine("postgresql+psycopg://")
        before = list(engine.dispatch.begin)
        prepare_sqlite(engine)
        assert list(engine.dispatch.begin) == before
