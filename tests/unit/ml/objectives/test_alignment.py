"""Pairs: the published losses, towers of their own and shared ones."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid, normalize

from app.errors import DoesNotFit
from app.ml.encoders.mlp import Mlp
from app.ml.jobs.network import RoleSpec
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.alignment import Aligned, Alignment
from app.ml.objectives.base import Role
from app.ml.tensors.batch import Batch
from tests.networks import rows

LEFT = rows(60, 6)
RIGHT = LEFT @ rows(6, 9, seed=1)
NET = Mlp(widths=(32,))


def network(settings: Alignment) -> tuple[Aligned, Batch]:
    torch.manual_seed(0)
    left, right = Vectors().fit([LEFT]), Vectors().fit([RIGHT])
    roles = {"left": Role(left, NET.build(left.shape), 8), "right": Role(right, NET.build(right.shape), 8)}
    return settings.build(roles), Batch({"left": left.encode(LEFT), "right": right.encode(RIGHT)}, torch.arange(60))


def test_the_losses_are_the_published_ones() -> None:
    pairs = normalize(torch.randn(3, 2, 8), dim=2)
    likeness = pairs[:, 0] @ pairs[:, 1].T
    clip, batch = network(Alignment())
    batch = replace(batch, equals={side: torch.arange(3) for side in Aligned.sides})
    scaled = likeness / 0.07
    expected = sum(2 * scaled[i, i] - scaled[i].logsumexp(0) - scaled[:, i].logsumexp(0) for i in range(3)) / -2
    torch.testing.assert_close(clip.loss_from(pairs, batch).sum, expected)
    siglip, _ = network(Alignment(loss="siglip"))
    each = [
        -math.log(1 / (1 + math.exp(-(1 if i == j else -1) * (10 * float(likeness[i, j]) - 10))))
        for i in range(3)
        for j in range(3)
    ]
    assert siglip.loss_from(pairs, batch).sum.item() == pytest.approx(sum(each), rel=1e-4)


@pytest.mark.parametrize("loss", ["clip", "siglip"])
@pytest.mark.parametrize("augmented", [False, True])
def test_partners_of_an_equal_item_are_no_wrong_choice(loss: str, augmented: bool) -> None:
    """Of four pairs the first two have one left item and the last two one right item; each has two that are wrong."""
    built, batch = network(Alignment.model_validate({"loss": loss}))
    left, right = (batch.roles[side]["values"][:4].clone() for side in Aligned.sides)
    if not augmented:
        left[1], right[3] = left[0], right[2]
    batch = Batch({"left": {"values": left}, "right": {"values": right}}, torch.arange(4))
    if augmented:  # equal items may differ by now
        batch = replace(batch, equals={"left": torch.tensor([0, 0, 2, 3]), "right": torch.tensor([0, 1, 2, 2])})
    pairs = built.represent(batch)
    likeness = pairs[:, 0] @ pairs[:, 1].T
    wrong = {0: [2, 3], 1: [2, 3], 2: [0, 1], 3: [0, 1]}
    if loss == "clip":
        scaled = likeness / 0.07
        choices = [(scaled[i, i], scaled[i, [i, *others]], scaled[[i, *others], i]) for i, others in wrong.items()]
        expected = sum(2 * own - there.logsumexp(0) - back.logsumexp(0) for own, there, back in choices) / -2
    else:
        signed = 10 * likeness - 10
        each = [logsigmoid(signed[i, i]) + logsigmoid(-signed[i, others]).sum() for i, others in wrong.items()]
        expected = -sum(each)
    torch.testing.assert_close(built.loss(batch).sum, expected)


@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_partners_are_found(loss: str) -> None:
    built, batch = network(Alignment.model_validate({"loss": loss}))
    optimizer = torch.optim.AdamW(built.parameters(), lr=1e-2)
    for _ in range(60):
        told = built.loss(batch)
        optimizer.zero_grad()
        (told.sum / told.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        assert built.metrics([batch])["recall_at_1"] > 0.9
        assert built.baselines([batch], [batch])["chance"]["recall_at_10"] == pytest.approx(1 / 6)
        assert built.embed(batch.roles["left"]).shape == (60, 8)


def test_one_encoder_for_both_sides_is_kept_once() -> None:
    fitted = Vectors().fit([LEFT])
    encoder = NET.build(fitted.shape)
    built = Alignment().build({"left": Role(fitted, encoder), "right": Role(fitted, encoder)})
    assert list(built.encoders) == ["left"]
    inputs = fitted.encode(LEFT)
    assert torch.equal(built.embed_side("right", inputs), built.embed(inputs))


def test_sides_of_one_kind_share_unless_told_otherwise() -> None:
    text, picture = RoleSpec(modality=Vectors(), encoder=NET, shape=[6]), RoleSpec(modality=Vectors(), shape=[9])
    assert Alignment().shared_roles({"left": text, "right": text}, {}) == {"right": "left"}
    assert Alignment(shared=False).shared_roles({"left": text, "right": text}, {}) == {}
    assert Alignment().shared_roles({"left": text, "right": picture}, {}) == {}
    with pytest.raises(DoesNotFit, match="cannot share"):
        Alignment(shared=True).shared_roles({"left": text, "right": picture}, {})
