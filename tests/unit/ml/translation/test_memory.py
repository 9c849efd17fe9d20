"""A translation memory finds what is most like a text."""

from app.ml.translation.memory import TranslationMemory

MEMORY = TranslationMemory(["Delete the file", "Delete the folder", "Open it", "The end"], ["a", "b", "c", "d"])


def test_the_same_source_is_its_own_nearest() -> None:
    assert [MEMORY.nearest(text) for text in ("Delete the file", "delete  the FOLDER", "Open it")] == ["a", "b", "c"]


def test_rare_letters_count_more_than_frequent_ones() -> None:
    assert MEMORY.nearest("the folders") == "b", "the word that both have counts less than the one that one has"


def test_what_is_like_nothing_gets_the_first() -> None:
    assert MEMORY.nearest("Ж") == "a"
    assert MEMORY.nearest("") == "a"
