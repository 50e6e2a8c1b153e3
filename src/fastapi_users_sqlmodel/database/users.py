"""Users and their accounts at providers, behind FastAPI Users' `BaseUserDatabase`."""

from typing import Any, Generic, NoReturn, cast

from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from fastapi_users.models import ID, OAP, UP
from sqlalchemy import Table, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from fastapi_users_sqlmodel.database._integrity import is_data_error, is_foreign_key_violation, unique_violation
from fastapi_users_sqlmodel.database._lookups import AccountStore, column
from fastapi_users_sqlmodel.database._refusals import raise_explained
from fastapi_users_sqlmodel.database._transactions import SessionStore, SyncSessionStore, note_locked
from fastapi_users_sqlmodel.database._writing import ROW_IS_GONE, identity, loading, reload, writing
from fastapi_users_sqlmodel.exceptions import UserInUse
from fastapi_users_sqlmodel.identity import is_storable


class _UserStore(AccountStore[UP, ID], Generic[UP, ID]):
    """Each operation is a coroutine that runs a sync body on the session, by `run` of the subclass."""

    user_table: type[UP]
    oauth_account_table: type[Any] | None

    async def get_by_oauth_account(self, oauth: str, account_id: str) -> UP | None:
        """Get a single user, with its OAuth accounts, by the account id at a provider."""
        if not (is_storable(oauth) and is_storable(account_id)):
            return None
        return await self.admitted(cast("UP | None", await self.run(self._find_by_account, oauth, account_id)))

    async def create(self, create_dict: dict[str, Any]) -> UP:
        """Create a user; commits on a plain session, flushes in an explicitly opened transaction.

        Raises:
            UserAlreadyExists: The address is taken, in whatever spelling; the database decides, so a race ends here.
            UsernameAlreadyExists: The username is taken.
            ValueAlreadyExists: A value of another unique column is taken, or several together.
            ValueRefused: A constraint, or the type of its column, refuses a value.
        """
        return cast("UP", await self.run(self._create, create_dict))

    async def update(self, user: UP, update_dict: dict[str, Any]) -> UP:
        """Update a user; commits on a plain session, flushes in an explicitly opened transaction.

        Raises:
            UserAlreadyExists: The new address is taken.
            UsernameAlreadyExists: The username is taken.
            ValueAlreadyExists: A new value of another unique column is taken, or several together.
            ValueRefused: A constraint, or the type of its column, refuses a value.
            UserNotExists: The user was deleted meanwhile.
        """
        return cast("UP", await self.run(self._update, user, user, update_dict))

    async def delete(self, user: UP) -> None:
        """Delete a user, or do nothing if the user is gone; commits on a plain session.

        Raises:
            UserInUse: A foreign key without ON DELETE, or with RESTRICT, does not let the user go.
        """
        await self.run(self._delete, user)

    # UP, not UOAP: by its bases UserOAuthProtocol is no protocol, and a checker would let no user pass for one.
    async def add_oauth_account(self, user: UP, create_dict: dict[str, Any]) -> UP:
        """Create an OAuth account of the user and load `user.oauth_accounts`; commits on a plain session.

        Raises:
            UserAlreadyExists: The account at the provider belongs to a user already.
            UserNotExists: The user was deleted meanwhile.
        """
        return cast("UP", await self.run(self._add_account, user, create_dict))

    async def update_oauth_account(self, user: UP, oauth_account: OAP, update_dict: dict[str, Any]) -> UP:
        """Update an OAuth account and load `user.oauth_accounts`; commits on a plain session.

        Raises:
            UserAlreadyExists: The account at the provider belongs to a user already.
            UserNotExists: The user, and the account with it, was deleted meanwhile.
        """
        self._account_table()  # Before anything is written.
        return cast("UP", await self.run(self._update, user, oauth_account, update_dict))

    def _find_by_account(self, session: Session, oauth: str, account_id: str) -> UP | None:
        account = self._account_table()
        owner = (
            select(column(account, "user_id"))
            .where(column(account, "oauth_name") == oauth, column(account, "account_id") == account_id)
            .scalar_subquery()
        )
        user = self._find(session, column(self.user_table, "id") == owner)
        if user is not None:
            self._load_accounts(session, user)
        return user

    def _create(self, session: Session, create_dict: dict[str, Any]) -> UP:
        user = self.user_table(**create_dict)
        try:
            with writing(session, user):
                session.add(user)
        except DBAPIError as error:
            raise_explained(error, self.user_table, create_dict)
        reload(session, user)
        note_locked(session, self.user_table, user)
        return user

    def _update(self, session: Session, user: UP, row: object, update_dict: dict[str, Any]) -> UP:
        if inspect(row, raiseerr=True).was_deleted:
            raise UserNotExists
        try:
            with writing(session, row):
                session.add(row)
                for name, value in update_dict.items():
                    setattr(row, name, value)
        except ROW_IS_GONE as error:
            # Another user may get its id.
            if row in session:
                session.expunge(row)
            raise UserNotExists from error
        except DBAPIError as error:
            if isinstance(error, IntegrityError) or is_data_error(error):
                # Not after a lost connection, on which nothing can be loaded.
                reload(session, row)
            if row is not user:
                _raise_explained(error, row)
            raise_explained(error, self.user_table, update_dict)
        reload(session, row)
        if row is not user:
            self._load_accounts(session, user)
        return user

    def _delete(self, session: Session, user: UP) -> None:
        if inspect(user, raiseerr=True).was_deleted:
            return
        try:
            self._delete_locked(session, user)
        except IntegrityError as error:
            if is_foreign_key_violation(error):
                raise UserInUse from error
            raise

    def _delete_locked(self, session: Session, user: UP) -> None:
        with writing(session, user):
            # Locked and looked at again, so that two who delete one user do not both delete the row.
            still_there = column(self.user_table, "id") == identity(user)
            if session.scalar(select(column(self.user_table, "id")).where(still_there).with_for_update()) is None:
                if user in session:
                    session.expunge(user)
                return
            if self.oauth_account_table is not None:
                # Before the user: a relationship without a cascade of its own would set their user to NULL.
                mine = column(self.oauth_account_table, "user_id") == identity(user)
                for account in session.scalars(select(self.oauth_account_table).where(mine)).unique():
                    session.delete(account)
                session.flush()
            session.delete(user)

    def _add_account(self, session: Session, user: UP, create_dict: dict[str, Any]) -> UP:
        account = self._account_table()(**create_dict, user_id=identity(user))
        try:
            with writing(session, account):
                session.add(account)
        except IntegrityError as error:
            _raise_explained(error, account)
        self._load_accounts(session, user)
        return user

    def _load_accounts(self, session: Session, user: UP) -> None:
        """Fill `user.oauth_accounts`, however the relationship is loaded by itself."""
        account = self._account_table()
        relationship = inspect(type(user)).relationships.get("oauth_accounts")
        # Unique together: without an order of the project's own, the accounts are in the same one each time.
        order = (relationship.order_by if relationship is not None else None) or (
            column(account, "oauth_name"),
            column(account, "account_id"),
        )
        mine = select(account).where(column(account, "user_id") == identity(user)).order_by(*order)
        with loading(session):
            reload(session, user)
            if relationship is not None:
                accounts = session.scalars(mine.execution_options(populate_existing=True)).unique().all()
                set_committed_value(user, "oauth_accounts", list(accounts))

    def _account_table(self) -> type[Any]:
        if self.oauth_account_table is None:
            raise NotImplementedError(f"{type(self).__name__} was made without a table of OAuth accounts")
        return self.oauth_account_table


class SQLAlchemyUserDatabase(SessionStore, _UserStore[UP, ID]):
    """Users on an `AsyncSession`, whether their table is a SQLAlchemy or a SQLModel one."""

    def __init__(
        self, session: AsyncSession, user_table: type[UP], oauth_account_table: type[Any] | None = None
    ) -> None:
        self._use(session)
        self.user_table = user_table
        self.oauth_account_table = oauth_account_table


class SQLModelUserDatabase(SyncSessionStore, _UserStore[UP, ID]):
    """Users on a sync `Session`, which works in a thread; the engine must allow that (SQLAlchemy's default does).

    An in-memory SQLite database needs `poolclass=StaticPool` and `connect_args={"check_same_thread": False}`.
    """

    def __init__(self, session: Session, user_model: type[UP], oauth_account_model: type[Any] | None = None) -> None:
        self._use(session)
        self.user_table = user_model
        self.oauth_account_table = oauth_account_model


def _raise_explained(error: DBAPIError, account: object) -> NoReturn:
    """Raise the exception of FastAPI Users for an error about an account at a provider, or the error itself."""
    table = cast("Table", inspect(type(account)).local_table)
    if isinstance(error, IntegrityError):
        if unique_violation(error, table) == {"oauth_name", "account_id"}:
            raise UserAlreadyExists from error
        if is_foreign_key_violation(error):
            raise UserNotExists from error
    raise error
