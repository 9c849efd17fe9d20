"""Says what a model cannot do, and what would have made it able. Knows no model."""

from collections.abc import Sequence

from app.errors import AbilityMissing
from app.ml.objectives.base import ObjectiveSettings
from app.ml.plugins import find

FEW = 5
"""Objectives that are named; what most of them give needs no list."""


def lacking(reference: str, ability: str, abilities: Sequence[str], more: str = "") -> AbilityMissing:
    """`more` is what the model can do beside its abilities, in words."""
    message = f"model {reference} cannot {ability}; it can {', '.join(abilities)}{more}"
    giving = [name for name, each in find("objectives", ObjectiveSettings).items() if ability in each.abilities]
    if len(giving) <= FEW:
        message += f". Models that learned by {' or '.join(map(repr, sorted(giving)))} can"
    return AbilityMissing(message, param="model")
