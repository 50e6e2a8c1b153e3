"""Customers and staff: two tables of users with integer ids, each with routes and sessions of its own."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    IntegerIDMixin,
    SessionBackend,
    Sessions,
    SQLAlchemyBaseUserTable,
    SQLAlchemyUserDatabase,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import BearerRefreshTransport

from .db import SECRET, get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


class Customer(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)


class Staff(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "staff"
    id: Mapped[int] = mapped_column(primary_key=True)


check_models(Base)

SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class CustomerManager(IntegerIDMixin, BaseUserManager[Customer, int]): ...


class StaffManager(IntegerIDMixin, BaseUserManager[Staff, int]): ...


async def get_customer_manager(session: SessionDep) -> AsyncIterator[CustomerManager]:
    yield CustomerManager(SQLAlchemyUserDatabase(session, Customer))


async def get_staff_manager(session: SessionDep) -> AsyncIterator[StaffManager]:
    yield StaffManager(SQLAlchemyUserDatabase(session, Staff))


sessions = Sessions(SECRET)
customer_backend = SessionBackend[Customer, int](
    "customers", BearerRefreshTransport(tokenUrl="customers/auth/login"), sessions, get_customer_manager
)
staff_backend = SessionBackend[Staff, int](
    "staff", BearerRefreshTransport(tokenUrl="staff/auth/login"), sessions, get_staff_manager
)
customers = FastAPIUsers[Customer, int](get_customer_manager, [customer_backend])
staff = FastAPIUsers[Staff, int](get_staff_manager, [staff_backend])

app = FastAPI()
include_routes(app, customers, customer_backend, schemas.BaseUser[int], prefix="/customers")
include_routes(app, staff, staff_backend, schemas.BaseUser[int], prefix="/staff")
