"""The columns are the same in both dialects, and the database keeps their promises by itself."""

import gc
import uuid
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import (
    Engine,
    ForeignKey,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
    create_engine,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, declared_attr, mapped_column

import fastapi_users_sqlmodel as library
from fastapi_users_sqlmodel.engines import sync_url
from fastapi_users_sqlmodel.tables import AccountTables, account_tables
from tests.library.models import FORMS, Models, make_models


@pytest.fixture
def engine(url: str) -> Any:
    engine = create_engine(sync_url(url))
    yield engine
    engine.dispose()


def described(metadata: MetaData, engine: Engine) -> dict[str, Any]:
    """Say what a migration tool would see of the tables."""
    metadata.create_all(engine)
    inspector = inspect(engine)
    tables = {
        name: {
            "columns": {
                column["name"]: (column["type"].compile(engine.dialect), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            },
            "primary key": inspector.get_pk_constraint(name)["constrained_columns"],
            "foreign keys": [
                (key["constrained_columns"], key["referred_table"], key["referred_columns"], key["options"])
                for key in inspector.get_foreign_keys(name)
            ],
            "unique": sorted(constraint["column_names"] for constraint in inspector.get_unique_constraints(name)),
            "indexes": sorted(
                (str(index["name"]), index["column_names"], bool(index["unique"]))
                for index in inspector.get_indexes(name)
            ),
        }
        for name in inspector.get_table_names()
    }
    metadata.drop_all(engine)
    return tables


@pytest.mark.parametrize("ids", ["uuid", "int"])
def test_the_dialects_are_the_same_in_the_database(ids: str, database_url: str) -> None:
    engine = create_engine(sync_url(database_url))
    of_sqlalchemy, of_sqlmodel = (
        described(make_models(f"{dialect}-{ids}").metadata, engine) for dialect in ("sqlalchemy", "sqlmodel")
    )
    engine.dispose()
    tables = ["accesstoken", "oauth_account", "user", "user_audit_event", "user_session", "user_token"]
    assert sorted(of_sqlalchemy) == tables
    for name in of_sqlalchemy:
        assert of_sqlalchemy[name] == of_sqlmodel[name]


@pytest.mark.parametrize("form", FORMS)
class TestDescription:
    def table(self, form: str, name: str) -> Table:
        return make_models(form).metadata.tables[name]

    def test_lengths(self, form: str) -> None:
        types = {
            f"{name}.{column.name}": column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's
            for name, table in make_models(form).metadata.tables.items()
            for column in table.columns
        }
        assert {name: kind for name, kind in types.items() if kind.startswith(("VARCHAR", "TEXT"))} == {
            "user.email": "VARCHAR(320)",
            "user.email_canonical": "VARCHAR(512)",
            "user.hashed_password": "VARCHAR(1024)",
            "user.username": "VARCHAR(32)",
            "oauth_account.oauth_name": "VARCHAR(100)",
            "oauth_account.access_token": "TEXT",
            "oauth_account.refresh_token": "TEXT",
            "oauth_account.account_id": "VARCHAR(320)",
            "oauth_account.account_email": "VARCHAR(320)",
            "accesstoken.token": "VARCHAR(43)",
            "user_session.transport": "VARCHAR(16)",
            "user_session.method": "VARCHAR(16)",
            "user_session.ip_address": "VARCHAR(64)",
            "user_session.user_agent": "VARCHAR(256)",
            "user_session.secret_hash": "VARCHAR(64)",
            "user_session.previous_hash": "VARCHAR(64)",
            "user_session.nonce": "VARCHAR(64)",
            "user_token.hash": "VARCHAR(64)",
            "user_token.purpose": "VARCHAR(32)",
            "user_token.email": "VARCHAR(320)",
            "user_token.email_canonical": "VARCHAR(512)",
            "user_audit_event.kind": "VARCHAR(32)",
            "user_audit_event.email": "VARCHAR(320)",
            "user_audit_event.network": "VARCHAR(64)",
            "user_audit_event.request_id": "VARCHAR(64)",
        }

    def test_what_may_be_null(self, form: str) -> None:
        nullable = {
            f"{name}.{column.name}"
            for name, table in make_models(form).metadata.tables.items()
            for column in table.columns
            if column.nullable
        }
        assert nullable == {
            "user.username",
            "user.changed_at",
            "oauth_account.expires_at",
            "oauth_account.refresh_token",
            "user_session.ip_address",
            "user_session.user_agent",
            "user_session.previous_hash",
            "user_session.nonce",
            "user_session.rotated_at",
            "user_token.user_id",
            "user_token.session_id",
            "user_audit_event.user_id",
            "user_audit_event.actor_id",
            "user_audit_event.email",
            "user_audit_event.network",
            "user_audit_event.request_id",
            "user_audit_event.details",
        }

    def test_foreign_keys_are_indexed_and_go_with_the_user(self, form: str) -> None:
        for name in ("oauth_account", "accesstoken", "user_session"):
            [key] = self.table(form, name).c.user_id.foreign_keys
            assert (key.target_fullname, key.ondelete) == ("user.id", "CASCADE")
            assert ["user_id"] in [index.columns.keys() for index in self.table(form, name).indexes]


@pytest.fixture
def user_columns(models: Models) -> dict[str, Any]:
    """Return the columns that have no default in the database."""
    key = models.unknown_ids[0]
    return {
        "id": key.hex if isinstance(key, uuid.UUID) else key,
        "email": "Anna@example.com",
        "email_canonical": "anna@example.com",
        "hashed_password": "hash",
    }


class TestInTheDatabase:
    """What holds for somebody who writes SQL."""

    USER = text(
        'INSERT INTO "user" (id, email, email_canonical, hashed_password)'
        " VALUES (:id, :email, :email_canonical, :hashed_password)"
    )
    TOKEN = text("INSERT INTO accesstoken (token, user_id) VALUES ('token', :id)")

    def test_server_defaults(self, engine: Engine, models: Models, user_columns: dict[str, Any]) -> None:
        with engine.begin() as connection:
            connection.execute(self.USER, user_columns)
            connection.execute(self.TOKEN, user_columns)
        with Session(engine) as session:
            user = session.scalars(select(models.user)).one()
            assert (user.is_active, user.is_superuser, user.is_verified) == (True, False, False)
            token = session.scalars(select(models.access_token)).one()
            assert abs(datetime.now(UTC) - token.created_at) < timedelta(minutes=1)
            assert token.created_at.utcoffset() == timedelta()

    def test_an_address_is_unique(self, engine: Engine, user_columns: dict[str, Any], models: Models) -> None:
        other = uuid.uuid4().hex if isinstance(models.unknown_ids[0], uuid.UUID) else 8
        with engine.connect() as connection:
            connection.execute(self.USER, user_columns)
            with pytest.raises(IntegrityError) as refused:
                connection.execute(self.USER, user_columns | {"id": other, "email": "other spelling"})
        assert library.unique_violation(refused.value, models.user.__table__) == {"email_canonical"}

    def test_an_account_at_a_provider_is_unique(
        self, engine: Engine, user_columns: dict[str, Any], models: Models
    ) -> None:
        with Session(engine) as session:
            session.execute(self.USER, user_columns)
            account = {"access_token": "x", "account_email": "x", "user_id": models.unknown_ids[0]}
            session.add(models.oauth_account(oauth_name="google", account_id="7", **account))
            session.add(models.oauth_account(oauth_name="google", account_id="8", **account))
            session.add(models.oauth_account(oauth_name="github", account_id="7", **account))
            session.flush()
            session.add(models.oauth_account(oauth_name="google", account_id="7", **account))
            with pytest.raises(IntegrityError) as refused:
                session.flush()
        columns = library.unique_violation(refused.value, models.oauth_account.__table__)
        assert columns == {"oauth_name", "account_id"}


class TestEmailCanonical:
    """It follows the e-mail, whoever writes it."""

    @pytest.fixture
    def session(self, engine: Engine) -> Any:
        with Session(engine) as session:
            yield session

    def stored(self, session: Session, models: Models) -> tuple[str, str]:
        session.flush()
        user = models.user.__table__.c
        return tuple(session.execute(select(user.email, user.email_canonical)).one())

    def test_in_the_constructor(self, models: Models) -> None:
        user = models.user(email=" Anna@Example.com ", hashed_password="hash")
        assert (user.email, user.email_canonical) == ("Anna@Example.com", "anna@example.com")

    def test_in_the_constructor_against_a_wrong_one(self, models: Models) -> None:
        for names in (("email_canonical", "email"), ("email", "email_canonical")):
            given = {"email": "Anna@example.com", "email_canonical": "somebody@example.com"}
            user = models.user(hashed_password="hash", **{name: given[name] for name in names})
            assert (user.email, user.email_canonical) == ("Anna@example.com", "anna@example.com")

    def test_when_the_e_mail_is_assigned(self, models: Models, session: Session) -> None:
        user = models.user(email="anna@example.com", hashed_password="hash")
        session.add(user)
        assert self.stored(session, models) == ("anna@example.com", "anna@example.com")
        user.email = "Jo\u0308rg@Bücher.example.com"
        assert self.stored(session, models) == ("Jörg@Bücher.example.com", "jörg@xn--bcher-kva.example.com")

    def test_when_it_is_assigned_itself(self, models: Models) -> None:
        user = models.user(email="anna@example.com", hashed_password="hash")
        user.email_canonical = "somebody@example.com"
        assert user.email_canonical == "anna@example.com"

    def test_in_a_core_insert(self, models: Models, session: Session) -> None:
        new = {"email": "Anna@Example.com", "hashed_password": "hash"}
        session.execute(models.user.__table__.insert().values(new))
        assert self.stored(session, models) == ("Anna@Example.com", "anna@example.com")

    def test_in_an_orm_insert_of_many(self, models: Models, session: Session) -> None:
        new = [{"email": f"Anna{n}@Example.com", "hashed_password": "hash"} for n in range(3)]
        session.execute(insert(models.user), new)
        found = session.scalars(select(models.user.email_canonical).order_by(models.user.email)).all()
        assert found == ["anna0@example.com", "anna1@example.com", "anna2@example.com"]

    def test_null_is_the_database_s_to_refuse(self, models: Models, session: Session) -> None:
        with pytest.raises(IntegrityError):
            session.execute(models.user.__table__.insert().values(email=None, email_canonical="x", hashed_password="x"))
        session.rollback()
        session.add(models.user(email=None, hashed_password="hash"))
        with pytest.raises(IntegrityError):
            session.flush()


def test_the_names_of_the_earlier_adapter_are_the_same_classes() -> None:
    assert library.SQLModelUserDatabaseAsync is library.SQLAlchemyUserDatabase
    assert library.SQLModelAccessTokenDatabaseAsync is library.SQLAlchemyAccessTokenDatabase
    assert library.SQLModelBaseUserDB is library.SQLModelBaseUserTableUUID
    assert library.SQLModelBaseOAuthAccount is library.SQLModelBaseOAuthAccountTableUUID
    assert library.SQLModelBaseAccessToken is library.SQLModelBaseAccessTokenTableUUID


class TestAccountTables:
    @pytest.mark.parametrize("form", FORMS)
    def test_are_those_of_the_class(self, form: str) -> None:
        models = make_models(form)
        tables = account_tables(models.user)
        assert (tables.users, tables.sessions, tables.tokens, tables.audit_events) == tuple(
            models.metadata.tables[name] for name in ("user", "user_session", "user_token", "user_audit_event")
        )
        # Alembic writes `info` into migrations.
        assert not any(table.info for table in models.metadata.tables.values())

    def test_are_those_of_the_class_that_it_inherits_from(self) -> None:
        class Base(DeclarativeBase):
            pass

        class User(library.SQLAlchemyBaseUserTableUUID, Base):
            pass

        class Admin(User):
            __tablename__ = "admin"
            id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id"), primary_key=True)

        assert account_tables(Admin) is account_tables(User)
        assert "admin_session" not in Base.metadata.tables

    def test_are_none_for_other_classes(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)

        with pytest.raises(KeyError, match="Item"):
            account_tables(Item)

    def test_are_those_of_the_table_when_two_classes_share_it(self) -> None:
        class Base(DeclarativeBase):
            pass

        class User(library.SQLAlchemyBaseUserTableUUID, Base):
            pass

        class Login(library.SQLAlchemyBaseUserTableUUID, Base):
            __table__ = User.__table__

        assert account_tables(Login) is account_tables(User)

    def test_are_not_copied_with_the_table(self) -> None:
        users = account_tables(make_models("sqlalchemy-uuid").user).users
        copied = vars(users.to_metadata(MetaData())).values()
        assert not any(isinstance(value, AccountTables) for value in copied)

    @pytest.mark.skipif(
        sqlalchemy.__version__ < "2.1",
        reason="before 2.1, SQLAlchemy shares the defaults of the columns of a mixin, and they keep the last table",
    )
    def test_are_collected_with_the_class(self) -> None:
        class Base(DeclarativeBase):
            pass

        class User(library.SQLAlchemyBaseUserTableUUID, Base):
            pass

        table = weakref.ref(account_tables(User).sessions)
        del Base, User
        gc.collect()
        assert table() is None


class TestWhatBelongsToAUser:
    """Classes as FastAPI Users' documentation shows them, for ids that are no UUIDs."""

    class Base(DeclarativeBase):
        pass

    class User(library.SQLAlchemyBaseUserTable[int], Base):
        id: Mapped[int] = mapped_column(primary_key=True)

    class OAuthAccount(library.SQLAlchemyBaseOAuthAccountTable[int], Base):
        __table_args__ = ({"comment": "accounts"},)
        id: Mapped[int] = mapped_column(primary_key=True)

        @declared_attr
        def user_id(self) -> Mapped[int]:
            return mapped_column(ForeignKey("user.id", ondelete="cascade"), nullable=False)

    class AccessToken(library.SQLAlchemyBaseAccessTokenTable[int], Base):
        @declared_attr
        def user_id(self) -> Mapped[int]:
            return mapped_column(ForeignKey("user.id", ondelete="cascade"), nullable=False)

    class Indexed(library.SQLAlchemyBaseOAuthAccountTable[int], Base):
        __tablename__ = "indexed"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
        __table_args__ = (
            Index("mine", "user_id", "expires_at"),
            Index("once", "account_id", "oauth_name", unique=True),
        )

    @pytest.mark.parametrize(
        ("name", "indexes", "unique"),
        [
            ("oauth_account", {"ix_oauth_account_user_id": ["user_id"]}, [["oauth_name", "account_id"]]),
            ("accesstoken", {"ix_accesstoken_user_id": ["user_id"], "ix_accesstoken_created_at": ["created_at"]}, []),
            (
                "indexed",
                {"mine": ["user_id", "expires_at"], "once": ["account_id", "oauth_name"]},
                [["oauth_name", "account_id"]],
            ),
        ],
    )
    def test_is_found_by_an_index(self, name: str, indexes: dict[str, list[str]], unique: list[list[str]]) -> None:
        table = self.Base.metadata.tables[name]
        assert {str(index.name): [column.name for column in index.columns] for index in table.indexes} == indexes
        constraints = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
        assert [[column.name for column in each.columns] for each in constraints] == unique
