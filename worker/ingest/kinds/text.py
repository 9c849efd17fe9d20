"""Texts, cleaned as was asked; those with nothing left are left out."""

import html
import re
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from worker.ingest.hashing import Hashes, hash_bytes
from worker.ingest.kinds.base import Block, Kind, Mask, either
from worker.ingest.kinds.ragged import rows_of, spread
from worker.ingest.splits import Places
from worker.ingest.stages import as_bytes, as_texts

REMEDY = ". Take the row out, or ask for cleaning drop"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CONTROL_RE2 = r"[\x00-\x08\x0b-\x1f\x7f-\x{9f}]"
"""The same for Arrow."""
TAB, LINE_FEED, SPACE, DELETE = 9, 10, 32, 127
TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL | re.IGNORECASE)


class TextKind(Kind):
    """Only rows that have something to clean pass through Python."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.is_content = self.role != "caption"  # one picture with two captions is one picture
        self._lengths: list[NDArray[np.int32]] = []
        self._empty = 0
        self._plain: set[int] = set()
        """First rows of the blocks that are ASCII without control characters: nothing needs to be looked at there."""

    def read(self, block: Block) -> pa.StringArray:
        """The block's texts, cleaned."""
        if self.role not in block.held:
            found = as_texts(rows_of(block.table, self.role, block.start, block.stop))
            if self.cleaning.html == "keep" and block.overall not in self._plain and is_plain(as_bytes(found)[0]):
                self._plain.add(block.overall)
            block.held[self.role] = self._cleaned(found, plain=block.overall in self._plain)
        texts: pa.StringArray = block.held[self.role][0]
        return texts

    def judge(self, block: Block) -> Mask | None:
        texts = self.read(block)
        for code, number in block.held[self.role][1].items():
            self.changed[code] = self.changed.get(code, 0) + number
        least, most = self.cleaning.min_characters, self.cleaning.max_characters
        short = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)
        if least > 1:
            short = pc.or_(short, pc.less(pc.utf8_length(texts), least))
        empty: Mask = short.to_numpy(zero_copy_only=False) & block.kept
        self._empty += int(empty.sum())
        out = None
        if self.role != "caption" or self.cleaning.empty == "fault":  # else withheld; the picture is there all the same
            problem = "the text is empty" if least == 1 else f"the text is empty or has fewer than {least} characters"
            out = self.treat("empty_text", empty, block, problem, self.cleaning.empty, REMEDY)
        asked = self.cleaning.long
        if most is None or asked == "cut":
            return out
        long: Mask = pc.greater(pc.utf8_length(texts), most).to_numpy(zero_copy_only=False)
        return either(out, self.treat("long_text", long, block, f"has more than {most} characters", asked, REMEDY))

    def hashes(self, block: Block) -> Hashes:
        return hash_bytes(*as_bytes(self.read(block)))

    def column(self, block: Block, chosen: Mask) -> pa.Array:
        texts = self.read(block).filter(pa.array(chosen))
        characters = (pc.binary_length if block.overall in self._plain else pc.utf8_length)(texts)
        self._lengths.append(characters.to_numpy(zero_copy_only=False))
        return texts

    def facts(self, places: Places) -> dict[str, Any] | None:
        lengths = np.concatenate([np.zeros(0, np.int32), *self._lengths])
        return {**(super().facts(places) or {}), "characters": spread(lengths)}

    def columns(self) -> list[dict[str, Any]]:
        return [self.described(self.part.columns[0], "text", missing=self._empty)]

    def _cleaned(self, texts: pa.StringArray, *, plain: bool) -> tuple[pa.StringArray, dict[str, int]]:
        """The texts, and how many each step changed."""
        steps = {}
        asked = self.cleaning
        if asked.html == "remove":
            steps["html"] = (pc.match_substring_regex(texts, r"[<&]"), remove_html)
        if asked.unicode == "nfc" and not plain:
            steps["unicode"] = (pc.invert(pc.string_is_ascii(texts)), lambda text: unicodedata.normalize("NFC", text))
        if asked.control == "remove" and not plain:
            steps["control"] = (pc.match_substring_regex(texts, CONTROL_RE2), remove_control)
        if asked.max_characters is not None and asked.long == "cut":
            most = asked.max_characters
            steps["cut"] = (pc.greater(pc.utf8_length(texts), most), lambda text: text[:most])
        changed: dict[str, int] = {}
        for code, (mask, step) in steps.items():
            rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
            if not len(rows):
                continue
            before = texts.take(pa.array(rows)).to_pylist()
            after = [step(text) for text in before]
            different = sum(a != b for a, b in zip(after, before, strict=True))
            if different:
                changed[code] = different
                texts = pc.replace_with_mask(texts, mask, pa.array(after, pa.string()))
        return texts, changed


def is_plain(values: NDArray[np.uint8]) -> bool:
    """Whether bytes are ASCII without control characters."""
    low = values[values < SPACE]
    return bool(values.max(initial=0) < DELETE and ((low == TAB) | (low == LINE_FEED)).all())


def remove_control(text: str) -> str:
    """Without control characters; line ends become line feeds."""
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def remove_html(text: str) -> str:
    """Without tags, comments, scripts and styles, entities replaced, white space left by them joined."""
    return re.sub(r"[ \t]{2,}", " ", html.unescape(TAG.sub(" ", text))).strip()
