"""Texts, cleaned as was asked; those with nothing left are left out."""

import html
import re
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from app.ragged import Ragged
from worker.ingest.kinds.base import EVERY, Block, Kind, Mask, Positions, Rows, either
from worker.ingest.kinds.ragged import spread
from worker.ingest.splitting.hashing import Hashes, hash_bytes, sketch_bytes
from worker.ingest.splitting.splits import OUT, Places
from worker.ingest.stages import as_bytes
from worker.ingest.texts import Texts, nothing

REMEDY = ". Take the row out, or ask for cleaning drop"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CONTROL_RE2 = r"[\x00-\x08\x0b-\x1f\x7f-\x{9f}]"
"""The same for Arrow."""
TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL | re.IGNORECASE)


class TextKind(Kind):
    """Only rows that have something to clean pass through Python."""

    is_sketched = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.is_content = self.role != "caption"  # one picture with two captions is one picture
        self._lengths: list[NDArray[np.int32]] = []
        self._empty = 0
        self._withheld = np.zeros(0 if self.is_content else sum(table.rows for table in self.tables), np.bool_)
        self._plain: set[int] = set()
        """First rows of the blocks that are ASCII without control characters: nothing needs to be cleaned there."""

    def read(self, block: Block) -> Texts:
        """The block's texts, cleaned."""
        if self.role not in block.held:
            name = block.table.column(self.role)
            texts = nothing(block.rows) if name is None else block.table.texts(name, block.start, block.stop)
            if self.cleaning.html == "keep" and block.overall not in self._plain and texts.is_plain():
                self._plain.add(block.overall)
            block.held[self.role] = self._cleaned(texts, plain=block.overall in self._plain)
        found: Texts = block.held[self.role][0]
        return found

    def judge(self, block: Block) -> Mask | None:
        texts = self.read(block)
        for code, number in block.held[self.role][1].items():
            self.changed[code] = self.changed.get(code, 0) + number
        least, most = self.cleaning.min_characters, self.cleaning.max_characters
        short = texts.blank()
        if least > 1:
            short |= self._characters(block) < least
        empty: Mask = short & block.kept
        self._empty += int(empty.sum())
        if not self.is_content:
            self._withheld[block.overall : block.overall + block.rows] = texts.blank()
        out = None
        if self.role != "caption" or self.cleaning.empty == "fault":  # else withheld; the picture is there all the same
            problem = "the text is empty" if least == 1 else f"the text is empty or has fewer than {least} characters"
            out = self.treat("empty_text", empty, block, problem, self.cleaning.empty, REMEDY)
        asked = self.cleaning.long
        if most is None or asked == "cut":
            return out
        long: Mask = self._characters(block) > most
        return either(out, self.treat("long_text", long, block, f"has more than {most} characters", asked, REMEDY))

    def sketch(self, block: Block) -> Hashes:
        texts = self.read(block)
        return sketch_bytes(texts.values, texts.starts, texts.ends)

    def hashes(self, block: Block, rows: Rows = EVERY) -> Hashes:
        texts = self.read(block)
        return hash_bytes(texts.values, texts.starts[rows], texts.ends[rows])

    def column(self, block: Block, rows: Positions) -> pa.Array:
        texts = self.read(block).taken(rows)
        characters = (pc.binary_length if block.overall in self._plain else pc.utf8_length)(texts)
        self._lengths.append(characters.to_numpy(zero_copy_only=False))
        return texts

    def facts(self, places: Places) -> dict[str, Any] | None:
        lengths = np.concatenate([np.zeros(0, np.int32), *self._lengths])
        found = {**(super().facts(places) or {}), "characters": spread(lengths)}
        if self.is_content:
            return found
        there = {split: int((~self._withheld & (places == number)).sum()) for number, split in enumerate(SPLITS)}
        return {**found, "missing": int((self._withheld & (places != OUT)).sum()), "splits": there}

    def columns(self) -> list[dict[str, Any]]:
        return [self.described(self.part.columns[0], "text", missing=self._empty)]

    def _characters(self, block: Block) -> NDArray[np.int32]:
        """How many each text has, [n]."""
        texts = self.read(block)
        if block.overall in self._plain:
            return texts.lengths.astype(np.int32)
        return np.asarray(pc.utf8_length(texts.taken()).to_numpy(zero_copy_only=False), np.int32)

    def _cleaned(self, found: Texts, *, plain: bool) -> tuple[Texts, dict[str, int]]:
        """The texts, and how many each step changed."""
        asked = self.cleaning
        cuts = asked.max_characters is not None and asked.long == "cut"
        if plain and not cuts:
            return found, {}
        texts, steps = found.taken(), {}
        if asked.html == "remove":
            steps["html"] = (pc.match_substring_regex(texts, r"[<&]"), remove_html)
        if asked.unicode == "nfc" and not plain:
            steps["unicode"] = (pc.invert(pc.string_is_ascii(texts)), lambda text: unicodedata.normalize("NFC", text))
        if asked.control == "remove" and not plain:
            steps["control"] = (pc.match_substring_regex(texts, CONTROL_RE2), remove_control)
        if cuts:
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
        return Texts.of(Ragged(*as_bytes(texts))), changed


def remove_control(text: str) -> str:
    """Without control characters; line ends become line feeds."""
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def remove_html(text: str) -> str:
    """Without tags, comments, scripts and styles, entities replaced, white space left by them joined."""
    return re.sub(r"[ \t]{2,}", " ", html.unescape(TAG.sub(" ", text))).strip()
