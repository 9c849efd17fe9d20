"""Rows as they are."""

from collections.abc import Mapping
from typing import Literal

from app.ml.augmentations.base import Augmentation, Draw
from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Roles


class Nothing(Augmentation):
    """Leaves rows as they are."""

    name: Literal["none"] = "none"
    """Rows as they are."""

    def apply(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        return roles
