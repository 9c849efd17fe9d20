import pytest
import torch

from app.ml.objectives.parts.retrieval import Side, by_chance, identities, partners, ranks

PICTURES, CAPTIONS = [b"dog", b"dog", b"cat", b"cat"], [b"a dog", b"a beast", b"a cat", b"a beast"]


def test_an_item_is_found_by_the_likeliest_of_its_partners() -> None:
    left, right = Side(PICTURES), Side(CAPTIONS)
    assert left.firsts.tolist() == [0, 2]
    assert right.firsts.tolist() == [0, 1, 2]
    own = partners(left, right)
    assert own.tolist() == [[True, True, False], [False, True, True]]
    likeness = torch.tensor([[0.1, 0.8, 0.5], [0.9, 0.2, 0.3]])
    assert ranks(likeness, own).tolist() == [0, 1]
    assert ranks(likeness.T, own.T).tolist() == [1, 0, 1]


def test_what_finds_all_alike_finds_nothing() -> None:
    own = partners(Side(PICTURES), Side(CAPTIONS))
    assert ranks(torch.ones(2, 3), own).tolist() == [1, 1]


def test_chance_is_that_of_drawing_one_of_several_partners() -> None:
    own = partners(Side([b"0", b"0", b"1", b"2"]), Side([b"a", b"b", b"c", b"d"]))
    assert by_chance(own, 1) == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3)
    assert by_chance(own, 2) == pytest.approx(((1 - 2 / 4 * 1 / 3) + 2 / 4 + 2 / 4) / 3)
    assert by_chance(own, 10) == 1


def test_equal_texts_are_equal_however_they_are_padded() -> None:
    short = {"values": torch.tensor([[4, 5]]), "mask": torch.tensor([[True, True]])}
    long = {
        "values": torch.tensor([[4, 5, 0], [4, 5, 6]]),
        "mask": torch.tensor([[True, True, False], [True, True, True]]),
    }
    assert identities(short)[0] == identities(long)[0] != identities(long)[1]
    assert len(set(identities({"values": torch.arange(12.0).view(2, 2, 3)}))) == 2
