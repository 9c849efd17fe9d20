"""Hashes of what a batch was answered so far: it becomes files also where the batch ends early."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.add_column("batches", sa.Column("hashes", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))


def downgrade() -> None:
    op.drop_column("batches", "hashes")
