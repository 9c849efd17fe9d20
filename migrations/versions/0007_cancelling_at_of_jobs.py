"""When a running job was asked to end, which a batch tells as its `cancelling_at`."""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cancelling_at", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "cancelling_at")
