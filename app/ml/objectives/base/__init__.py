"""The contract of an objective: settings say what is learned from which roles, and build the network with its loss."""

from app.ml.objectives.base.network import Comparison, Objective, Solved
from app.ml.objectives.base.roles import Role, RoleNeeds
from app.ml.objectives.base.settings import ObjectiveSettings, SolvedSettings

__all__ = ["Comparison", "Objective", "ObjectiveSettings", "Role", "RoleNeeds", "Solved", "SolvedSettings"]
