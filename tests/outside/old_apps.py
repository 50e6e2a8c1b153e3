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

# As Alembic writes it with FastAPI Users' adapter and that template.
REVISION = '''\
"""Users"""
from alembic import op
import sqlalchemy as sa
import fastapi_users_db_sqlalchemy

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


def downgrade():
    op.drop_index(op.f('ix_accesstoken_created_at'), table_name='accesstoken')
    op.drop_table('accesstoken')
    op.drop_index(op.f('ix_user_email'), table_name='user')
    op.drop_table('user')
'''

MODELS = """\
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyBaseAccessTokenTableUUID
from fastapi_users_db_sqlalchemy.generics import GUID
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
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
    user_id: Mapped[uuid.UUID] = mapped_column(GUID, ForeignKey("user.id", ondelete="CASCADE"))
"""

ENV = """\
from fastapi_users_sqlmodel.migrations import run_migrations
from models import Base

run_migrations(Base.metadata)
"""

# The guide's page about the database says these two lines.
ADOPTION = (
    MAKO.partition("${imports")[0].replace("import fastapi_users_db_sqlalchemy\n", "").replace("${message}", "Adopt")
    + """
from fastapi_users_sqlmodel.migrations import adopt_fastapi_users

revision = "2"
down_revision = "1"


def upgrade():
    adopt_fastapi_users(op)
"""
)

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
