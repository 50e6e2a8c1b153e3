"""Index of superusers.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-21 21:38:33.852142+00:00
"""

import sqlalchemy as sa

from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('user', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_user_is_superuser'), ['is_superuser'], unique=False, postgresql_where=sa.text('is_superuser'), sqlite_where=sa.text('is_superuser = 1'))



def downgrade() -> None:
    with op.batch_alter_table('user', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_user_is_superuser'), postgresql_where=sa.text('is_superuser'), sqlite_where=sa.text('is_superuser = 1'))

