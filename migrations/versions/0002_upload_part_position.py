"""The place of a part in its upload's file, whose bytes may be those of an equal file."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("upload_parts", sa.Column("position", number, nullable=True))


def downgrade() -> None:
    op.drop_column("upload_parts", "position")
