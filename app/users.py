"""Who the users are and how they prove it: the FastAPI Users configuration."""

import hmac
import uuid
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users import BaseUserManager, FastAPIUsers, InvalidPasswordException, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.exceptions import InvalidID, InvalidResetPasswordToken, UserInactive, UserNotExists
from fastapi_users.jwt import decode_jwt, generate_jwt
from jwt import PyJWTError
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.errors import BadRequest, InvalidField, InvalidPassword, Unauthorized
from app.core.settings import settings
from app.crud.user import UserNotFound, Users
from app.db import get_async_session, pause
from app.mail import console, messages
from app.models import User
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase, canonical_email, unique_violation
from fastapi_users_sqlmodel.identity import is_storable
from fastapi_users_sqlmodel.passwords import PasswordHasher, PasswordHelper, PasswordPolicy, Verified

SessionDep = Annotated[AsyncSession, Depends(get_async_session, scope="function")]

# Scripts hash with the helper, requests with the hasher: in threads, so many at once.
password_helper = PasswordHelper()
password_hasher = PasswordHasher(password_helper)
# How long a password is, and not yet how strong.
password_policy = PasswordPolicy(strength=None)


class RegisterUserAlreadyExists(BadRequest):
    """The address is registered already."""


class RegisterUsernameAlreadyExists(BadRequest):
    """The username is taken."""


class RegisterInvalidPassword(InvalidPassword):
    """The password is refused."""


class LoginBadCredentials(BadRequest):
    """There is no such active user with this password."""


class ResetPasswordBadToken(BadRequest):
    """The token is unknown, used, or too old."""


class ResetPasswordInvalidPassword(InvalidPassword):
    """The password is refused."""


class VerifyUserBadToken(BadRequest):
    """The token is unknown or too old, or not for the present address."""


class VerifyUserAlreadyVerified(BadRequest):
    """The address is verified already."""


class UpdateUserInvalidPassword(InvalidPassword):
    """The new password is refused."""


class CurrentPasswordBad(BadRequest):
    """The current password is another one."""


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """The life of an account; hashing happens off the event loop, while no database connection is held."""

    reset_password_token_secret = settings.key_for("reset-password")
    verification_token_secret = settings.key_for("verify")

    def __init__(self, user_db: SQLAlchemyUserDatabase[User, uuid.UUID], session: AsyncSession) -> None:
        super().__init__(user_db, password_helper)
        self.session = session

    async def validate_password(self, password: str, user: schemas.BaseUserCreate | User) -> None:
        """Refuse what the policy refuses."""
        username = getattr(user, "username", None)
        if problem := password_policy.problem(password, email=user.email, username=username):
            raise InvalidPasswordException(problem)

    async def create(
        self,
        user_create: schemas.BaseUserCreate,
        safe: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
        request: Request | None = None,
    ) -> User:
        """Create a user; the database decides whether the address and the username are free.

        Raises:
            UserAlreadyExists: The address is registered already.
            RegisterUsernameAlreadyExists: The username is taken.
            InvalidPasswordException: The password is refused.
        """
        await self.validate_password(user_create.password, user_create)
        forbidden = {"id", "is_active", "is_superuser", "is_verified"} if safe else {"id"}
        values = user_create.model_dump(exclude_unset=True, exclude=forbidden)
        values["hashed_password"] = await password_hasher.hash(values.pop("password"))
        try:
            user = await self.user_db.create(values)
        except IntegrityError as error:
            if "username" in unique_violation(error, cast("Any", User.__table__)):
                raise RegisterUsernameAlreadyExists from error
            raise
        await self.on_after_register(user, request)
        return user

    async def authenticate(self, credentials: OAuth2PasswordRequestForm) -> User | None:
        """Find the user of an e-mail or a username, if the password is theirs."""
        user = await self._find(credentials.username)
        verified = await self._verify(credentials.password, user)
        if user is None or not verified.is_right:
            return None
        if verified.needs_upgrade:
            await Users(self.session).upgrade_hash(user, await password_hasher.hash(credentials.password))
        return user

    async def administer(self, user_id: uuid.UUID, changes: dict[str, Any], *, by: User) -> User:
        """Change a user as a superuser; a new e-mail address is told to the old one. Raises as `Users.update`."""
        users = Users(self.session)
        before = (await users.get(user_id)).email
        user = await users.update(user_id, changes, by=by)
        if canonical_email(before) != user.email_canonical:
            console.deliver(messages.your_address_was_changed(before))
        return user

    async def change_own(self, user: User, changes: dict[str, Any]) -> User:
        """Change what a person may change about themselves; a new password needs `current_password` beside it.

        Raises:
            InvalidField: Something that is not theirs to change, or the current password is missing.
            CurrentPasswordBad: The current password is another one.
            UpdateUserInvalidPassword: The new password is refused.
            UpdateUserUsernameAlreadyExists: The username is taken.
            Unauthorized: The user was deleted meanwhile.
        """
        current_password = changes.pop("current_password", None)
        for flag in ("is_active", "is_superuser", "is_verified"):
            if changes.pop(flag, present := getattr(user, flag)) != present:
                raise InvalidField(flag, "you cannot change this about yourself")
        if changes.pop("email", user.email) != user.email:
            raise InvalidField("email", "the e-mail address cannot be changed here yet")
        if "password" in changes:
            if current_password is None:
                raise InvalidField("current_password", "needed to change the password")
            password = changes.pop("password")
            try:
                await self.validate_password(password, user)
            except InvalidPasswordException as error:
                raise UpdateUserInvalidPassword(error.reason) from error
            known_hash = user.hashed_password
            if not (await self._verify(current_password, user)).is_right:
                raise CurrentPasswordBad(user.id)
            changes["hashed_password"] = await password_hasher.hash(password)
            user = await self._lock_self(user)
            if user.hashed_password != known_hash:
                # Somebody changed it in the meantime: the current password is not what was typed.
                raise CurrentPasswordBad(user.id)
        else:
            user = await self._lock_self(user)
        return await Users(self.session).change(user, changes)

    async def forgot_password(self, user: User, request: Request | None = None) -> None:
        """Send a token that dies with the password that was forgotten.

        FastAPI Users puts a slow hash of the hash into it: that tells by the time it takes who has an account.

        Raises:
            UserInactive: The user is deactivated.
        """
        if not user.is_active:
            raise UserInactive
        audience, lifetime = self.reset_password_token_audience, self.reset_password_token_lifetime_seconds
        claims = {"sub": str(user.id), "password_fgpt": self._fingerprint(user), "aud": audience}
        token = generate_jwt(claims, self.reset_password_token_secret, lifetime)
        await self.on_after_forgot_password(user, token, request)

    async def reset_password(self, token: str, password: str, request: Request | None = None) -> User:
        """Set a new password; of several who come with tokens of one password at once, one does.

        Raises:
            InvalidResetPasswordToken: The token is unknown or too old, or the password has been changed since.
            UserInactive: The user is deactivated.
            InvalidPasswordException: The password is refused.
        """
        try:
            claims = decode_jwt(token, self.reset_password_token_secret, [self.reset_password_token_audience])
            user = await self.get(self.parse_id(claims["sub"]))
            self._require_password_of_token(user, claims["password_fgpt"])
        except (PyJWTError, KeyError, InvalidID, UserNotExists) as error:
            raise InvalidResetPasswordToken from error
        await self.validate_password(password, user)
        await pause(self.session)
        hashed_password = await password_hasher.hash(password)
        try:
            user = await Users(self.session).lock(user.id)
        except UserNotFound as error:
            raise InvalidResetPasswordToken from error
        self._require_password_of_token(user, claims["password_fgpt"])
        user = await self.user_db.update(user, {"hashed_password": hashed_password})
        await self.on_after_reset_password(user, request)
        return user

    async def on_after_register(self, user: User, request: Request | None = None) -> None:
        """Ask the new user to verify the address."""
        await self.request_verify(user, request)

    async def on_after_request_verify(self, user: User, token: str, request: Request | None = None) -> None:  # noqa: ARG002
        """Send the token."""
        console.deliver(messages.verify_your_address(user.email, token))

    async def on_after_forgot_password(self, user: User, token: str, request: Request | None = None) -> None:  # noqa: ARG002
        """Send the token."""
        console.deliver(messages.reset_your_password(user.email, token))

    async def _lock_self(self, user: User) -> User:
        try:
            return await Users(self.session).lock(user.id)
        except UserNotFound as error:
            # Deleted since the token was looked at.
            raise Unauthorized from error

    def _fingerprint(self, user: User) -> str:
        """Tell the present password from any other, to nobody who does not have our key."""
        key = settings.key_for("password-fingerprint")
        return hmac.digest(key.encode(), user.hashed_password.encode(), "sha256").hex()

    def _require_password_of_token(self, user: User, fingerprint: str) -> None:
        if not hmac.compare_digest(self._fingerprint(user), fingerprint):
            raise InvalidResetPasswordToken
        if not user.is_active:
            raise UserInactive

    async def _find(self, name: str) -> User | None:
        if "@" in name:
            return await self.user_db.get_by_email(name)
        return await Users(self.session).find_by_username(name.strip().lower()) if is_storable(name) else None

    async def _verify(self, password: str, user: User | None) -> Verified:
        """Verify without a database connection; nobody's password takes as long as somebody's."""
        await pause(self.session)
        return await password_hasher.verify(password, user.hashed_password if user is not None else None)


async def get_user_db(session: SessionDep) -> SQLAlchemyUserDatabase[User, uuid.UUID]:
    """Hand over the store of users on the request's session."""
    return SQLAlchemyUserDatabase(session, User)


async def get_user_manager(
    session: SessionDep, user_db: Annotated[SQLAlchemyUserDatabase[User, uuid.UUID], Depends(get_user_db)]
) -> UserManager:
    """Hand over the user manager of the request."""
    return UserManager(user_db, session)


async def get_jwt_strategy() -> JWTStrategy[User, uuid.UUID]:
    """Sign access tokens with a key that is good for nothing else."""
    return JWTStrategy(secret=settings.key_for("access-token"), lifetime_seconds=settings.access_token_lifetime)


auth_backend = AuthenticationBackend(
    name="jwt", transport=BearerTransport(tokenUrl="auth/jwt/login"), get_strategy=get_jwt_strategy
)
fastapi_users = FastAPIUsers[User, uuid.UUID](get_user_manager, [auth_backend])

current_active_user = fastapi_users.current_user(active=True)
current_user_if_any = fastapi_users.current_user(active=True, optional=True)
