"""What the name of a column and its first values say of it alone. Reads no row."""

import re

from worker.ingest.source import Head

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "classes", "y")
"""The first of these that is there is the label; `y` comes last, since it may as well stand beside an `x`."""
TEXT_NAMES = ("text", "sentence", "content", "document", "body", "message", "review", "comment")
CAPTION_NAMES = ("normalised", "normalized", "transcription", "transcript", "caption", "sentence", *TEXT_NAMES)
"""The first of these that is there says what a picture shows or a recording says."""
WORDS = 3.0
"""From so many words on, in the mean, a column is text rather than names."""
ROW_NUMBERS = re.compile(r"|#|no|nr|num|row|row ?num(ber)?|idx|index|level_0|unnamed: ?\d+|(.*[_ ])?id", re.IGNORECASE)
"""Names of columns that are no features where they count the rows, too; also those that end in `Id`."""
IDS = re.compile(r"unnamed: ?\d+|index|row|(.*[_ -])?(id|uuid|guid)|(?-i:.*[a-z0-9]I[dD])", re.IGNORECASE)
"""Names of columns that are no features where every row has a whole number of its own, in whatever order."""
INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name in Parquet."""
SAID_NUMBERS = re.compile(r"(comment|caption|sentence|text)[_ -]?(number|num|no|nr|id|idx|index)", re.IGNORECASE)
"""Names of columns that count what is said of one item."""
GROUP_NAME = re.compile(
    r"(speaker|patient|subject|participant|person|user|client|customer|author|writer|document|doc|query|qid|session|group)"
    r"[_ -]?(id|no|nr|num|number|uuid|name)?",
    re.IGNORECASE,
)
"""Names of columns whose equal values are rows of one person or thing."""
MONTH = "(jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*"
DATE = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d{2})"
    rf"|{MONTH}\.? (\d{{1,2}}(st|nd|rd|th)?,? )?\d{{4}}|\d{{1,2}}(st|nd|rd|th)? {MONTH}\.?,? \d{{4}})(\D|$)",
    re.IGNORECASE,
)
SPLIT_NAME = "split"
FEW = 1000
"""A text column with more different values among its first rows is no label by itself."""
FEW_NUMBERS = 20
"""The same for a column of numbers."""


def is_few(head: Head) -> bool:
    most = FEW if head.is_text else FEW_NUMBERS
    return head.distinct <= min(most, max(1, head.sampled // 2))


def is_prose(head: Head) -> bool:
    """Whether it is of texts rather than of names."""
    return head.is_text and not head.medium and head.words >= WORDS and not is_date(head)


def is_date(head: Head) -> bool:
    """Whether its first text is a date, with a time or without; `Jan 1 2000` has three words and is no text."""
    return DATE.match(head.example) is not None


def is_numbering(head: Head) -> bool:
    """Whether it only counts the rows or tells them apart, or counts those of an item."""
    if SAID_NUMBERS.fullmatch(head.name) and not head.fractions:
        return True
    if IDS.fullmatch(head.name) and head.is_number and not head.fractions:
        return head.counts or head.distinct == head.sampled > 1
    return bool((head.counts and ROW_NUMBERS.fullmatch(head.name)) or INDEX.fullmatch(head.name))
