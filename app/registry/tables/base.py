"""What all tables have in common: names of constraints, and the types of columns."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

Json = sa.JSON().with_variant(JSONB(), "postgresql")


class Table(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy on the class
        dict[str, Any]: Json,
        list[Any]: Json,
        float: sa.Double(),
        int: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        str: sa.Text(),
    }
