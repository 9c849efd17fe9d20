"""Scripts that are written without spaces between words. Knows no tokenizer and no dataset."""

import re

UNSPACED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
"""A letter of them: Thai, Lao, Burmese, Khmer, kana, Chinese characters."""
LETTER = re.compile(UNSPACED)
LETTERS_PER_WORD = 2
"""About as many as a word of Chinese has."""


def count_words(text: str) -> float:
    """Words between spaces, and an estimate of those that have none between them."""
    if text.isascii():
        return len(text.split())
    rest, letters = LETTER.subn(" ", text)
    return len(rest.split()) + letters / LETTERS_PER_WORD
