"""The curves of a job: one value per step, split and name. Knows no meaning of a name."""

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry.states import hold
from app.registry.tables import Metric
from app.registry.upsert import insert


def finite(value: Any) -> Any:
    """`value` with null for every NaN and infinity inside it: JSON has neither, and PostgreSQL refuses them."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def put(
    session: Session, job_id: str, token: int, *, step: int, epoch: float, split: str, values: Mapping[str, float]
) -> None:
    """Writes the values of one step; a resumed job writes the same steps again, and the later value stays.

    Raises Fenced when the token is stale.
    """
    hold(session, job_id, token)
    if not values:
        return
    rows = [
        {
            "job_id": job_id,
            "step": step,
            "split": split,
            "name": name,
            "epoch": epoch,
            "value": finite(float(value)),
            "finite": math.isfinite(value),
        }
        for name, value in values.items()
    ]
    statement = insert(session, Metric)
    written = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["job_id", "step", "split", "name"],
            set_={"epoch": written.epoch, "value": written.value, "finite": written.finite},
        ),
        rows,  # apart from the statement, which is compiled once then
    )


def series(
    session: Session,
    job_id: str,
    *,
    limit: int,
    after_step: int | None = None,
    split: str | None = None,
    name: str | None = None,
) -> list[Metric]:
    """Up to `limit` values by step, split and name, of the steps behind `after_step`."""
    statement = sa.select(Metric).where(Metric.job_id == job_id)
    if after_step is not None:
        statement = statement.where(Metric.step > after_step)
    if split is not None:
        statement = statement.where(Metric.split == split)
    if name is not None:
        statement = statement.where(Metric.name == name)
    order = (Metric.step, Metric.split, Metric.name)
    return list(session.scalars(statement.order_by(*order).limit(limit)))
