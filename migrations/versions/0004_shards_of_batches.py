"""A batch's answers so far are held by its job, which lets go of them however it ends."""

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.execute(
        "delete from links where owner in (select batches.id from batches join jobs on jobs.id = batches.job_id "
        "where jobs.status in ('failed', 'cancelled'))"
    )
    op.execute(
        "update links set owner = (select job_id from batches where batches.id = links.owner) "
        "where owner in (select id from batches)"
    )


def downgrade() -> None:
    op.execute(
        "update links set owner = (select id from batches where batches.job_id = links.owner) "
        "where owner in (select job_id from batches)"
    )
