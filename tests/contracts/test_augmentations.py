"""What every augmentation keeps to: rows get the same changes wherever they are, and nothing given is written to."""

from typing import Any

import pytest
import torch
from torch import Tensor

from app.ml.augmentations.base import Augmentation, augment
from app.ml.modalities.base import Fitted, Modality
from app.ml.plugins import find
from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.padding import shortened
from tests.contracts.specimens import column, fit

MIXING = ("mixup", "cutmix", "swap")
"""Settings that take something from other rows of the batch."""
FOUND = [name for name in find("augmentations", Augmentation) if name != "none"]


def strong(name: str, **given: Any) -> Augmentation:
    """With everything turned on but the mixing of rows."""
    plugin = find("augmentations", Augmentation)[name]
    values = {
        key: {float: 0.3, int: 2}[field.annotation]
        for key, field in plugin.model_fields.items()
        if key != "name" and key not in MIXING
    }
    made: Augmentation = plugin.model_validate({"name": name, **values, **given})
    return made


def specimen(name: str) -> tuple[Batch, dict[str, Fitted]]:
    modality = find("modalities", Modality)[name]()
    fitted = fit(modality)
    return Batch({"input": fitted.encode(column(modality))}, torch.arange(6) * 7 + 3), {"input": fitted}


def taken(roles: Roles, chosen: Tensor) -> Roles:
    return {role: {key: tensor[chosen] for key, tensor in part.items()} for role, part in roles.items()}


def same(one: Roles, other: Roles) -> bool:
    pairs = [(one[role][key], other[role][key]) for role in one for key in one[role]]
    return all(left.shape == right.shape and torch.allclose(left, right, atol=1e-5) for left, right in pairs)


@pytest.mark.parametrize("name", FOUND)
def test_a_row_gets_the_same_change_in_any_batch(name: str) -> None:
    batch, fitted = specimen(name)
    whole = augment(strong(name), batch, fitted, seed=5)
    chosen = torch.tensor([4, 1, 2])
    part = augment(strong(name), Batch(taken(batch.roles, chosen), batch.rows[chosen]), fitted, seed=5)

    assert not same(whole.roles, batch.roles)
    assert same(part.roles, {role: shortened(rows) for role, rows in taken(whole.roles, chosen).items()})
    assert same(augment(strong(name), batch, fitted, seed=5).roles, whole.roles)


@pytest.mark.parametrize("name", FOUND)
def test_seed_epoch_and_view_each_change_it(name: str) -> None:
    batch, fitted = specimen(name)
    later = Batch(batch.roles, batch.rows, epoch=1)
    two = augment(strong(name), batch, fitted, seed=0, views=2)
    found = [*two.views, augment(strong(name), later, fitted, seed=0).roles]
    found.append(augment(strong(name), batch, fitted, seed=1).roles)

    assert same(two.roles, batch.roles)
    assert not any(same(found[one], found[other]) for one in range(4) for other in range(one))


@pytest.mark.parametrize("name", FOUND)
def test_what_comes_out_fits_the_network_and_what_went_in_stays(name: str) -> None:
    batch, fitted = specimen(name)
    before = {key: tensor.clone() for key, tensor in batch.roles["input"].items()}
    changed = augment(strong(name), batch, fitted, seed=0).roles["input"]

    assert all(torch.equal(batch.roles["input"][key], tensor) for key, tensor in before.items())
    assert {key: tensor.dtype for key, tensor in changed.items()} == {k: tensor.dtype for k, tensor in before.items()}
    assert len(changed["values"]) == len(batch.rows)
    assert changed["values"].isfinite().all()
    if fitted["input"].shape.bounded:
        assert changed["values"].min() >= 0
        assert changed["values"].max() <= 1


@pytest.mark.parametrize("name", FOUND)
def test_what_is_not_asked_for_does_not_happen(name: str) -> None:
    batch, fitted = specimen(name)
    nothing = find("augmentations", Augmentation)[name]()

    assert same(augment(nothing, batch, fitted, seed=0).roles, batch.roles)
