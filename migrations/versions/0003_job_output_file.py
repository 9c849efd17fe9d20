"""The file that a job wrote, such as the embeddings of a dataset."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("output_file_id", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "output_file_id")
