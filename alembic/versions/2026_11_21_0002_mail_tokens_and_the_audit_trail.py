"""Mail, tokens and the audit trail.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-21 11:40:35.968704+00:00
"""

import sqlalchemy as sa

from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('mail',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('sealed', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_mail'))
    )
    with op.batch_alter_table('mail', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_mail_due_at'), ['due_at'], unique=False)

    op.create_table('user_audit_event',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=True),
    sa.Column('actor_id', sa.Uuid(), nullable=True),
    sa.Column('email', sa.String(length=320), nullable=True),
    sa.Column('network', sa.String(length=64), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=True),
    sa.Column('details', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('is_erased', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_user_audit_event'))
    )
    with op.batch_alter_table('user_audit_event', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_user_audit_event_actor_id'), ['actor_id'], unique=False)
        batch_op.create_index('ix_user_audit_event_kind_id', ['kind', 'id'], unique=False)
        batch_op.create_index('ix_user_audit_event_user_id_id', ['user_id', 'id'], unique=False)
        batch_op.create_index('ix_user_audit_event_user_id_network', ['user_id', 'network'], unique=False)

    op.create_table('user_token',
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('purpose', sa.String(length=32), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=True),
    sa.Column('email', sa.String(length=320), nullable=False),
    sa.Column('email_canonical', sa.String(length=512), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_user_token_user_id_user'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_user_token'))
    )
    with op.batch_alter_table('user_token', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_user_token_email_canonical'), ['email_canonical'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_token_expires_at'), ['expires_at'], unique=False)
        batch_op.create_index('ix_user_token_user_id_purpose', ['user_id', 'purpose'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('user_token', schema=None) as batch_op:
        batch_op.drop_index('ix_user_token_user_id_purpose')
        batch_op.drop_index(batch_op.f('ix_user_token_expires_at'))
        batch_op.drop_index(batch_op.f('ix_user_token_email_canonical'))

    op.drop_table('user_token')
    with op.batch_alter_table('user_audit_event', schema=None) as batch_op:
        batch_op.drop_index('ix_user_audit_event_user_id_network')
        batch_op.drop_index('ix_user_audit_event_user_id_id')
        batch_op.drop_index('ix_user_audit_event_kind_id')
        batch_op.drop_index(batch_op.f('ix_user_audit_event_actor_id'))

    op.drop_table('user_audit_event')
    with op.batch_alter_table('mail', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_mail_due_at'))

    op.drop_table('mail')
