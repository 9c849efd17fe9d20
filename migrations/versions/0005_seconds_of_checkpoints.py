"""How long it took to write a checkpoint; unknown of earlier ones."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("write_seconds", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkpoints", "write_seconds")
