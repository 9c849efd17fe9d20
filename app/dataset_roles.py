"""Roles of a dataset that play others, too: what are input and caption, or source and target, are pairs."""

from collections.abc import Mapping
from typing import Any

PAIRS = (("input", "caption"), ("source", "target"))
"""Roles that are `left` and `right` where none is called so."""
SIDES = ("left", "right")


def with_sides(profile: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's profile that says of pairs what is left and right of them, whatever their roles are called."""
    there = {role: facts for role, facts in profile.items() if facts}
    played = {side: column_of(side, there) for side in SIDES}
    return {**profile, **{side: there[role] for side, role in played.items() if role in there}}


def column_of(role: str, columns: Mapping[str, Any]) -> str:
    """Which of a split's columns plays a role."""
    if role not in columns and role in SIDES:
        for pair in PAIRS:
            if all(each in columns for each in pair):
                return pair[SIDES.index(role)]
    return role
