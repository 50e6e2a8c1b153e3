"""Register: one address, one account, whoever else comes at the same time."""

import time
from typing import Any, Generic

from fastapi import Request
from fastapi_users import schemas
from fastapi_users.exceptions import UserAlreadyExists
from fastapi_users.models import ID, UP
from sqlalchemy.exc import DBAPIError

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.database._refusals import already_exists, raise_explained, taken_besides_email
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from fastapi_users_sqlmodel.manager._base import AccountManager, LetterKind, wait_for_the_beat
from fastapi_users_sqlmodel.throttling import client_network


class Registrations(AccountManager[UP, ID], Generic[UP, ID]):
    """How an account begins."""

    async def register(self, user_create: schemas.BaseUserCreate, request: Request | None = None) -> UP | None:
        """Create a user who registers; None where accounts are concealed, whether the address was free or taken.

        Raises: as `create`, and
            TooManyRequests: Too many registrations, or too many mails, came from this network.
            UserAlreadyExists: The address is taken, and accounts are not concealed.
        """
        began = time.monotonic()
        await self._require_mail_from(request)
        try:
            user = await self.create(user_create, safe=True, request=request)
        except UserAlreadyExists:
            if not self.conceal_accounts:
                await self._give_back_mail_from(request)
                raise
            await self._tell_owner(user_create.email)
        except BaseException:
            await self._give_back_mail_from(request)
            raise
        if not self.conceal_accounts:
            return user
        await self.release()
        await wait_for_the_beat(began)
        return None

    async def create(
        self,
        user_create: schemas.BaseUserCreate,
        safe: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
        request: Request | None = None,
    ) -> UP:
        """Create a user; the database decides whether the address and the username are free.

        Raises:
            FieldsNotAllowed: A field is null where the column takes none; or, with `safe`, is not in
                `registration_fields`.
            UserAlreadyExists: The address is registered already, or somebody may claim it back.
            UsernameAlreadyExists: The username is taken.
            ValueAlreadyExists: A value of another unique column is taken, or several together.
            ValueRefused: A constraint, or the type of its column, refuses a value.
            InvalidPasswordException: The password is refused.
            TooManyRequests: `safe` and with a request: there were too many registrations from its network.
            HashingQueueFullError: Too many wait already.
        """
        # A project's schema may say by these methods what becomes of its fields.
        make_values: Any = user_create.create_update_dict if safe else user_create.create_update_dict_superuser
        values: dict[str, Any] = make_values()
        password = values.pop("password")
        if safe and (unknown := values.keys() - self.registration_fields - {"email"}):
            raise FieldsNotAllowed(sorted(unknown))
        self._require_values(values)
        if safe and self.throttle is not None and request is not None:
            # A taken address too, and never given back: its hash costs as much, and the limit tells nothing.
            await self.throttle.require_registration(client_network(request))
        await self.validate_password(password, user_create)
        await self.release()
        values["hashed_password"] = await self.password_hasher.hash(password)
        async with self.user_db.transaction():
            user = await self._insert(values)
            if await self.user_db.ask(tokens.is_reserved, user.email):
                raise UserAlreadyExists
            await self._record(AuditEventKind.REGISTER, request, user_id=user.id, email=user.email)
            await self.on_register(user, request)
            self.user_db.after_commit(lambda: self.on_after_register(user, request))
        return user

    async def _insert(self, values: dict[str, Any]) -> UP:
        try:
            return await self.user_db.create(values)
        except UserAlreadyExists:
            await self._require_free(values)
            raise
        except DBAPIError as error:  # Of a store that overrides it.
            raise_explained(error, self.user_db.user_table, values)

    async def _require_free(self, values: dict[str, Any]) -> None:
        """Refuse what else is taken beside the address, as for a free one.

        The database names one of several: the answer must not tell whether the address is taken.
        """
        if taken := await self.user_db.run(taken_besides_email, self.user_db.user_table, values):
            raise already_exists(taken)

    async def _tell_owner(self, email: str) -> None:
        owner = await self.user_db.find_by_email(email)
        await self.release()
        if owner is not None and owner.is_active and await self.may_mail_to(owner.email, LetterKind.ALREADY_REGISTERED):
            async with self.user_db.transaction():
                await self.queue_letter(LetterKind.ALREADY_REGISTERED, owner.email, user=owner)
