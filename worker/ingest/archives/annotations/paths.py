"""Finds the picture that an annotation file means among those of an archive. Opens nothing."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence

from worker.ingest.faults import shown

FOREIGN = re.compile(r"\.\./|/|[A-Za-z]:/|\w+:/")


class Paths:
    """The pictures of an archive by their paths, whole or in part."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._whole = {path: number for number, path in enumerate(paths)}
        self._stems = {stem(path): number for number, path in enumerate(paths)}
        self._last: dict[str, list[int]] = defaultdict(list)
        for number, path in enumerate(paths):
            self._last[posixpath.basename(path)].append(number)
            self._last[stem(posixpath.basename(path))].append(number)

    def find(self, name: str, beside: str) -> int | tuple[str, str]:
        """The picture called `name` in the file at `beside`, else the code and the words of what is wrong.

        Tried in this order: the path from the file's own folder, from the top, and the end of one picture's path.
        """
        given = posixpath.normpath(name.replace("\\", "/"))
        for path in (posixpath.join(posixpath.dirname(beside), given), given):
            if path in self._whole:
                return self._whole[path]
        foreign = FOREIGN.match(given)  # a path on the machine where somebody drew the boxes
        return self._only(posixpath.basename(given), "" if foreign else f"/{given}", name)

    def find_stem(self, path: str, *others: str) -> int | tuple[str, str]:
        """The picture at this path or one of the others but for its ending, else the only one with that last part."""
        for each in (path, *others):
            if stem(each) in self._stems:
                return self._stems[stem(each)]
        return self._only(stem(posixpath.basename(path)), "", path)

    def _only(self, last: str, end: str, name: str) -> int | tuple[str, str]:
        fitting = [number for number in self._last.get(last, ()) if f"/{self.paths[number]}".endswith(end)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            return "missing_file", f"the picture {shown(name)} is not in the archive"
        some = " and ".join(shown(self.paths[number]) for number in fitting[:2])
        return "ambiguous_file", f"{shown(name)} could be {some}; give the path within the archive"


def stem(path: str) -> str:
    """The path without its file's ending."""
    return posixpath.splitext(path)[0]
