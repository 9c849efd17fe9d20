"""Builds the network that a spec describes, and carries weights from one network to the next."""

from collections.abc import Mapping
from typing import Any

from app.ml.jobs.network import OBJECTIVE, RoleSpec
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective, Role
from app.ml.series.sample import spread
from app.ml.tensors.batch import Stream


def build_network(spec: Mapping[str, Any], fitted: Mapping[str, Fitted]) -> Objective:
    """A freshly initialised network for `spec` (`roles` and `objective`, as JSON) around what the modalities learned.

    Weights are drawn from torch's global random state.
    """
    roles: dict[str, Role] = {}
    for name, part in spec["roles"].items():
        role = RoleSpec.model_validate(part)
        if role.like is not None:
            encoder = roles[role.like].encoder
        else:
            encoder = role.encoder.build(fitted[name].shape) if role.encoder is not None else None
        roles[name] = Role(fitted[name], encoder, role.dimensions)
    settings = OBJECTIVE.validate_python(spec["objective"])
    network = settings.build(roles)
    network.shortest = settings.shortest
    return network


def lender(role: str, spec: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """The role of the spec `base` that lends its preprocessing and encoder to `role` of `spec`.

    It is the role of that name; what is asked of the one is else what is asked of the other.
    """
    ours, theirs = (OBJECTIVE.validate_python(each["objective"]).request_role for each in (spec, base))
    return theirs if role == ours and role not in base["roles"] else role


def continues(kind: str, spec: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """True where a job of this kind goes on with what the spec `base` learned, rather than learn something else."""
    objective = OBJECTIVE.validate_python(spec["objective"])
    return objective.name == base["objective"]["name"] and (kind == "pretrain" or objective.keeps_answers)


def labels_differ(ours: Mapping[str, Fitted], theirs: Mapping[str, Fitted]) -> bool:
    """True where a role has other labels, or in another order, than it had in a base: a head tells them by position."""
    return any(
        getattr(ours[role], "labels", None) != getattr(theirs[role], "labels", None) for role in ours.keys() & theirs
    )


def take_over(network: Objective, base: Objective) -> bool:
    """Copies all weights of `base`, decoder and heads too, where both networks have the same ones; tells if so."""
    ours, theirs = network.state_dict(), base.state_dict()
    if {name: weight.shape for name, weight in ours.items()} != {name: weight.shape for name, weight in theirs.items()}:
        return False
    network.load_state_dict(theirs)
    return True


def graft(network: Objective, base: Objective, lenders: Mapping[str, str]) -> None:
    """Copies the weights of `base`'s encoders into the encoders of those roles that they lend to."""
    for role, encoder in network.encoders.items():
        encoder.load_state_dict(base.encoders[lenders[role]].state_dict())
    network.grafted = True


def begin(network: Objective, stream: Stream) -> None:
    """Computes what is computed from training rows before the first step."""
    if not network.grafted:
        for role in network.encoders:
            encoder = network.encoders[role]
            if encoder.settles:
                device = next(encoder.parameters()).device
                encoder.cpu().settle(spread(stream, role), lambda share: None)
                encoder.to(device)
    network.begin(stream)
