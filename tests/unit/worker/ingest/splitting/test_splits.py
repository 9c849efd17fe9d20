"""Drawing rows: exact shares, near-exact shares of every class, the same rows for the same seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.dataset_options import Fractions
from worker.ingest.splitting import splits

CLASSES = st.lists(st.integers(-1, 4), min_size=2, max_size=300)


@given(CLASSES, st.floats(0.05, 0.6), st.integers(0, 5))
def test_every_class_gives_its_share(classes: list[int], share: float, seed: int) -> None:
    codes = np.array(classes, np.int32)
    keep = np.ones(len(codes), np.bool_)
    places = splits.draw(codes, Fractions(train=1 - share, test=share, seed=seed), keep)
    taken = places == splits.TEST
    few = sum(classes.count(code) <= 2 for code in set(classes) - {-1})  # classes of which a row may have to stay
    due = min(max(round(share * len(codes)), 1), len(codes) - 1)
    assert max(1, due - few) <= taken.sum() <= due
    exact = taken.sum() / len(codes)
    for code in set(classes):
        assert abs(taken[codes == code].sum() - exact * (codes == code).sum()) < 1 + few + 1e-9


@given(st.lists(st.integers(-1, 12), min_size=2, max_size=60), st.integers(0, 5))
def test_training_sees_every_class(classes: list[int], seed: int) -> None:
    codes = np.array(classes, np.int32)
    places = splits.draw(
        codes, Fractions(train=0.7, validation=0.1, test=0.2, seed=seed), np.ones(len(codes), np.bool_)
    )
    known = set(classes) - {-1}
    if any(classes.count(code) > 1 for code in known):
        assert known <= set(codes[places == splits.TRAIN].tolist())
    assert (places == splits.VALIDATION).any()


@given(st.lists(st.integers(0, 40), min_size=2, max_size=300), st.data())
def test_the_least_are_those_that_sorting_finds(numbers: list[int], data: st.DataObject) -> None:
    keys = np.array(numbers, np.float32) / np.float32(41)
    due = data.draw(st.integers(1, len(keys) - 1))
    assert sorted(splits.least(keys, due).tolist()) == sorted(np.argsort(keys, kind="stable")[:due].tolist())


@given(CLASSES, st.integers(0, 5))
def test_the_same_seed_draws_the_same_rows(classes: list[int], seed: int) -> None:
    codes, keep = np.array(classes, np.int32), np.ones(len(classes), np.bool_)
    drawn = [splits.draw(codes, Fractions(train=0.7, validation=0.1, test=0.2, seed=seed), keep) for _ in range(2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_rows_that_were_cleaned_away_are_in_no_split() -> None:
    keep = np.arange(100) % 2 == 0
    places = splits.draw(np.zeros(100, np.int32), splits.DEFAULT, keep)
    assert (places[~keep] == splits.OUT).all()
    assert [int((places == place).sum()) for place in range(3)] == [40, 5, 5]


def test_validation_is_a_tenth_of_train_and_only_where_there_is_none() -> None:
    codes = np.repeat(np.arange(4, dtype=np.int32), 25)
    places = np.where(np.arange(100) < 20, splits.TEST, splits.TRAIN).astype(np.int8)
    drawn = splits.with_validation(places, codes)
    assert (drawn == splits.VALIDATION).sum() == 8
    assert (drawn[:20] == splits.TEST).all()
    np.testing.assert_array_equal(splits.with_validation(drawn, codes), drawn)


def test_two_rows_are_one_to_learn_from_and_one_to_check_with() -> None:
    places = splits.with_validation(np.zeros(2, np.int8), np.zeros(2, np.int32))
    assert sorted(places.tolist()) == [splits.TRAIN, splits.VALIDATION]


@given(
    st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 9)), min_size=4, max_size=60),
    st.integers(0, 5),
)
def test_training_sees_every_class_of_which_rows_stay_together(rows: list[tuple[int, int]], seed: int) -> None:
    """Unless another split has nothing else."""
    classes, together = (np.array(each, np.int32) for each in zip(*rows, strict=True))
    fractions = Fractions(train=0.6, validation=0.2, test=0.2, seed=seed)
    found = splits.draw(classes, fractions, np.ones(len(rows), np.bool_), together)
    for number in {*together.tolist()} - {-1}:
        assert len({*found[together == number].tolist()}) == 1
    learned = {*classes[found == splits.TRAIN].tolist()}
    for place in (splits.VALIDATION, splits.TEST):
        unseen = (found == place) & (classes >= 0) & ~np.isin(classes, list(learned))
        if unseen.any():
            assert -1 in together[unseen] or len({*together[found == place].tolist()}) == 1


def test_a_class_of_equal_rows_is_learned() -> None:
    """Sixty sets of three equal rows, two sets of each class."""
    twins = np.repeat(np.arange(60, dtype=np.int32), 3)
    for seed in range(5):
        found = splits.draw(twins % 30, splits.DEFAULT.model_copy(update={"seed": seed}), twins >= 0, twins)
        assert np.unique(twins[found == splits.TRAIN] % 30).size == 30
        assert [int((found == place).sum()) for place in (splits.VALIDATION, splits.TEST)] >= [3, 3]


def test_a_split_is_not_emptied_for_classes_of_one_set_each() -> None:
    twins = np.repeat(np.arange(30, dtype=np.int32), 3)
    assert set(splits.draw(twins, splits.DEFAULT, twins >= 0, twins).tolist()) == {0, 1, 2}
