"""What apps on FastAPI Users say before they are moved; test_moving.py moves them."""

# What the example has said before it was moved.
BEFORE = {
    "db.py": {"from fastapi_users_sqlmodel import": "from fastapi_users.db import"},
    "schemas.py": {"from fastapi_users_sqlmodel import": "from fastapi_users import"},
    "users.py": {
        "from fastapi_users_sqlmodel import BaseUserManager, FastAPIUsers, SQLAlchemyUserDatabase,": (
            "from fastapi_users.db import SQLAlchemyUserDatabase\n"
            "from fastapi_users import BaseUserManager, FastAPIUsers,"
        )
    },
    "app.py": {},
}

MAKO = '''\
"""${message}"""
from alembic import op
import sqlalchemy as sa
import fastapi_users_db_sqlalchemy
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''

# As Alembic writes it with FastAPI Users' adapter and that template; the last table is typed by hand.
REVISION = '''\
"""Users"""
from alembic import op
import sqlalchemy as sa
import fastapi_users_db_sqlalchemy
import fastapi_users_db_sqlalchemy.generics as g
from fastapi_users_db_sqlalchemy.generics import (
    GUID,
)

revision = "1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('user',
    sa.Column('id', fastapi_users_db_sqlalchemy.generics.GUID(), nullable=False),
    sa.Column('email', sa.String(length=320), nullable=False),
    sa.Column('hashed_password', sa.String(length=1024), nullable=False),
    sa.Column('is_active', sa.Boolean(), nullable=False),
    sa.Column('is_superuser', sa.Boolean(), nullable=False),
    sa.Column('is_verified', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(op.f('ix_user_email'), 'user', ['email'], unique=True)
    op.create_table('accesstoken',
    sa.Column('user_id', fastapi_users_db_sqlalchemy.generics.GUID(), nullable=False),
    sa.Column('token', sa.String(length=43), nullable=False),
    sa.Column('created_at', fastapi_users_db_sqlalchemy.generics.TIMESTAMPAware(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], ondelete='cascade'),
    sa.PrimaryKeyConstraint('token')
    )
    op.create_index(op.f('ix_accesstoken_created_at'), 'accesstoken', ['created_at'], unique=False)
    op.create_table('order',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', GUID, nullable=False),
    sa.Column('ordered_at', g.TIMESTAMPAware(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(op.f('ix_order_user_id'), 'order', ['user_id'], unique=False)


def downgrade():
    op.drop_table('order')
    op.drop_index(op.f('ix_accesstoken_created_at'), table_name='accesstoken')
    op.drop_table('accesstoken')
    op.drop_index(op.f('ix_user_email'), table_name='user')
    op.drop_table('user')
'''

MODELS = """\
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
import datetime
import uuid


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(GUID, ForeignKey("user.id", ondelete="CASCADE"), index=True)
    ordered_at: Mapped[datetime.datetime] = mapped_column(TIMESTAMPAware(timezone=True))
"""

# How the adapter's types are imported into models: each ends in the names that MODELS uses.
TYPE_IMPORTS = {
    "one line": "from fastapi_users_db_sqlalchemy.generics import GUID, TIMESTAMPAware\n",
    "the other order": "from fastapi_users_db_sqlalchemy.generics import TIMESTAMPAware, GUID\n",
    "parentheses": "from fastapi_users_db_sqlalchemy.generics import (\n    GUID,\n    TIMESTAMPAware,\n)\n",
    "module": (
        "import fastapi_users_db_sqlalchemy.generics as g\n\nGUID = g.GUID\nTIMESTAMPAware = g.TIMESTAMPAware\n"
    ),
}

# What the guide says to write by hand for them.
TYPES_BY_HAND = "from sqlalchemy import Uuid\nfrom sqlmodel.sql.sqltypes import UTCDateTime\n"

# Imports that are statements of their own; each is followed by a name that it has to bind.
STATEMENTS = {
    "import fastapi_users  # noqa": "fastapi_users.FastAPIUsers",
    "import fastapi_users, os": "fastapi_users.db.SQLAlchemyUserDatabase, os.path",
    "import os; import fastapi_users": "fastapi_users.FastAPIUsers, os.path",
    "import os, fastapi_users as users": "users.schemas.BaseUser, os.path",
    "import fastapi_users.schemas": "fastapi_users.schemas.BaseUser, fastapi_users.router.ErrorCode",
    "import fastapi_users.schemas as s, fastapi_users.jwt": "s.BaseUser, fastapi_users.jwt.decode_jwt",
    "import fastapi_users_db_sqlalchemy": "fastapi_users_db_sqlalchemy.generics.GUID",
    "import fastapi_users_db_sqlalchemy.access_token": (
        "fastapi_users_db_sqlalchemy.access_token.SQLAlchemyBaseAccessTokenTable"
    ),
    "import fastapi_users_db_sqlalchemy.generics as g": "g.GUID()",
    "from fastapi_users_db_sqlalchemy.generics import GUID, TIMESTAMPAware": "GUID, TIMESTAMPAware",
    "from fastapi_users_db_sqlalchemy.generics import TIMESTAMPAware, GUID as ID": "TIMESTAMPAware, ID",
    "from fastapi_users_db_sqlalchemy.generics import (\n    GUID,\n)": "GUID",
    "from fastapi_users import (\n    schemas,\n    models as m,\n)": "schemas.BaseUser, m.ID",
    "from fastapi_users_db_sqlmodel.access_token import SQLModelBaseAccessToken": "SQLModelBaseAccessToken",
    "if True: from fastapi_users import exceptions": "exceptions.UserNotExists",
}

# What the rule cannot change, and a variable that it must not change.
LEFT = {
    "if True: import fastapi_users": True,
    "number = 1; import fastapi_users": True,
    'patched = "fastapi_users.manager.BaseUserManager"': True,
    "from fastapi_users \\": True,
    "from app.users import fastapi_users": False,
    "from app.users import auth_backend, fastapi_users": False,
    "user = fastapi_users.current_user()": False,
    "import fastapi_users_sqlmodel as fastapi_users": False,
}

FAKE = """
import asyncio
import uuid

from fastapi_users_sqlmodel import BaseUserManager, UUIDIDMixin
from fastapi_users_sqlmodel.db import BaseUserDatabase


class UserManager(UUIDIDMixin, BaseUserManager):
    pass


class FakeUserDatabase(BaseUserDatabase):
    def __init__(self):
        self.users = {}

    async def get(self, id):
        return self.users.get(id)


UserManager(FakeUserDatabase())
"""

# The variant of the example with OAuth: what differs from the other one, in the shape that FastAPI Users documents.
OAUTH_DB = {
    "SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase": (
        "SQLAlchemyBaseOAuthAccountTableUUID, SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase"
    ),
    "from sqlalchemy.orm import DeclarativeBase": "from sqlalchemy.orm import DeclarativeBase, Mapped, relationship",
    "class User(SQLAlchemyBaseUserTableUUID, Base):\n    pass": (
        "class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):\n    pass\n\n\n"
        "class User(SQLAlchemyBaseUserTableUUID, Base):\n"
        '    oauth_accounts: Mapped[list[OAuthAccount]] = relationship("OAuthAccount", lazy="joined")'
    ),
    "SQLAlchemyUserDatabase(session, User)": "SQLAlchemyUserDatabase(session, User, OAuthAccount)",
}

OAUTH_APP = """

from httpx_oauth.clients.google import GoogleOAuth2
from app.users import SECRET

client = GoogleOAuth2("id", "secret")
app.include_router(fastapi_users.get_oauth_router(client, auth_backend, SECRET), prefix="/auth/google")
app.include_router(
    fastapi_users.get_oauth_associate_router(client, UserRead, SECRET), prefix="/auth/associate/google"
)
"""
