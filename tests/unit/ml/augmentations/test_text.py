"""Words are hidden, left out and exchanged in the shares that were asked for, and texts stay texts."""

from typing import Any

import torch

from app.ml.augmentations.base import augment
from app.ml.augmentations.text import TextAugmentation
from app.ml.modalities.text import Text
from app.ml.tensors.batch import Batch
from app.ml.text.tokenization import MASK, SPECIALS
from tests.contracts.specimens import fit

ROWS, LENGTH = 400, 12


def changed(**given: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Rows of 1 to 12 different tokens, before and after."""
    lengths = torch.arange(ROWS) % LENGTH + 1
    mask = torch.arange(LENGTH) < lengths[:, None]
    values = (torch.arange(LENGTH) + len(SPECIALS)).expand(ROWS, LENGTH) * mask
    fitted = fit(Text())
    batch = Batch({"input": {"values": values, "mask": mask}}, torch.arange(ROWS))
    return batch.roles["input"], augment(TextAugmentation(**given), batch, {"input": fitted}, seed=0).roles["input"]


def test_masking_hides_the_asked_share_of_real_tokens() -> None:
    before, after = changed(masking=0.3)
    hidden = after["values"] == MASK

    assert abs(float(hidden[before["mask"]].float().mean()) - 0.3) < 0.03
    assert not hidden[~before["mask"]].any()


def test_what_is_left_out_makes_texts_shorter_and_never_empty() -> None:
    before, after = changed(dropout=0.9)
    lengths = after["mask"].sum(1)

    assert lengths.min() == 1
    assert float(lengths.sum()) < 0.35 * float(before["mask"].sum())
    assert after["values"].shape[1] == int(lengths.max())
    assert (after["mask"].long().diff(dim=1) <= 0).all()  # real places come first
    for row, mask in zip(after["values"], after["mask"], strict=True):
        assert (row[mask].diff() > 0).all()  # and in their order
        assert not row[~mask].any()


def test_neighbours_change_places_and_none_is_lost() -> None:
    before, after = changed(exchange=0.5)

    assert torch.equal(after["values"].sort(1).values, before["values"].sort(1).values)
    moved = (after["values"] != before["values"]) & before["mask"]
    assert float(moved[:, : LENGTH - 1].float().mean()) > 0.2
    assert ((after["values"] - before["values"]).abs() <= 1).all()
