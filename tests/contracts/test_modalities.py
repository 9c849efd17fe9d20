"""Every modality: what it learned survives JSON, and reading what it rendered gives the same tensors."""

import json

import pytest
import torch
from torch.nn.functional import one_hot

from app.errors import RootstockError
from app.ml.modalities.base import Modality
from app.ragged import Ragged
from tests.contracts.specimens import ROWS, column, fit, plugins

ALL = [pytest.param(modality, id=modality.name) for modality in plugins("modalities", Modality)]
INVERTIBLE = [
    pytest.param(modality, id=modality.name) for modality in plugins("modalities", Modality) if modality.invertible
]


@pytest.mark.parametrize("modality", ALL)
def test_encodes_to_the_shape_it_declares(modality: Modality) -> None:
    fitted = fit(modality)
    encoded = fitted.encode(column(modality))
    values, size = encoded["values"], (fitted.shape.size if modality.layout != "classes" else ())
    assert len(values) == ROWS
    if "mask" in encoded:  # as long as the longest of these rows
        assert encoded["mask"].shape == values.shape[:2]
        assert encoded["mask"].dtype == torch.bool
        assert 0 < values.shape[1] <= size[0]
    else:
        assert values.shape[1:] == size
    assert values.isfinite().all()
    if fitted.shape.bounded:
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("modality", ALL)
def test_state_survives_json_and_encodes_identically(modality: Modality) -> None:
    fitted = fit(modality)
    restored = fitted.settings.restore(json.loads(json.dumps(fitted.state(), allow_nan=False)))
    assert restored.shape == fitted.shape
    assert restored.state() == fitted.state()
    for name, tensor in fitted.encode(column(modality)).items():
        assert torch.equal(restored.encode(column(modality))[name], tensor)


@pytest.mark.parametrize("modality", INVERTIBLE)
def test_reads_what_it_rendered(modality: Modality) -> None:
    fitted = fit(modality)
    values = fitted.encode(column(modality))["values"]
    outputs = one_hot(values, fitted.shape.count).float() if modality.layout == "classes" else values
    rendered = fitted.render(outputs)
    assert len(rendered) == ROWS
    read = fitted.read(json.loads(json.dumps(rendered)))
    torch.testing.assert_close(fitted.encode(read)["values"], values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modality", INVERTIBLE)
def test_compact_form_can_be_read_too(modality: Modality) -> None:
    fitted = fit(modality)
    values = fitted.encode(column(modality))["values"]
    outputs = one_hot(values, fitted.shape.count).float() if modality.layout == "classes" else values
    read = fitted.read(fitted.render(outputs, binary=True))
    torch.testing.assert_close(fitted.encode(read)["values"], values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modality", ALL)
def test_a_single_item_is_read_as_a_batch_of_one(modality: Modality) -> None:
    fitted = fit(modality)
    raw = column(modality)
    single = fitted.read(raw.row(0) if isinstance(raw, Ragged) else raw[0])
    for read in (single, fitted.read(raw[:1])):
        assert len(read) == 1
        assert torch.equal(fitted.encode(read)["values"], fitted.encode(raw[:1])["values"])


RIGHT: dict[str, list[object]] = {"numbers": [1.5], "tags": [[[]]], "boxes": [[[]]]}
"""A number, and a row without any tag or box."""


@pytest.mark.parametrize("modality", ALL)
@pytest.mark.parametrize("wrong", [None, {}, [], [None], [[]], "https://example.org/x.png", 1.5, [[[[[1.0]]]]], True])
def test_wrong_items_get_a_named_error(modality: Modality, wrong: object) -> None:
    if modality.layout == "tokens" and isinstance(wrong, str):
        wrong = ""  # an address is as good a text as any
    if wrong in RIGHT.get(modality.name, []):
        assert len(fit(modality).read(wrong)) == 1
        return
    with pytest.raises(RootstockError) as caught:
        fit(modality).read(wrong)
    assert caught.value.status in (400, 422)
    assert caught.value.param is not None
    assert caught.value.param.startswith("input")
