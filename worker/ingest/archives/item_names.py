"""Which item of an archive is meant by what somebody calls it. Knows no table and no item."""

import posixpath
import re
from collections.abc import Sequence

COUNT = re.compile(r"#\d+$")


class Names:
    """Items by path, by name, and by name without ending, alone or in a folder; what several are called names none."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = frozenset(paths)
        self._others: dict[str, str | None] = {}
        for spelling in (posixpath.basename, stem, in_folder):
            found: dict[str, str | None] = {}
            for path in paths:
                name = spelling(path)
                found[name] = None if name in found else path
            self._others = found | self._others

    def find(self, name: str, folder: str) -> str | None:
        """The path of the item that a table in a folder calls so.

        The name may lack folders that are here, or have others before them, as on the machine where the table was
        made; `#2` behind it counts what is said of the item.
        """
        name = posixpath.normpath(COUNT.sub("", name))
        for path in (posixpath.normpath(posixpath.join(folder, name)), name):
            if path in self._paths:
                return path
        for key in (in_folder(name), posixpath.basename(name), stem(name)):
            found = self._others.get(key)
            if found is not None and _agree(name, found):
                return found
        return None


def _agree(name: str, path: str) -> bool:
    """Whether one of the two is the end of the other, whatever ending the name has."""
    shorter, longer = sorted((f"/{name}", f"/{path}"), key=len)
    return longer.endswith(shorter) or f"/{without_ending(path)}".endswith(f"/{name}")


def stem(path: str) -> str:
    """A file's name without folder and ending."""
    return without_ending(posixpath.basename(path))


def without_ending(path: str) -> str:
    return posixpath.splitext(path)[0]


def in_folder(path: str) -> str:
    """A file's name without ending, with the innermost of its folders."""
    return "/".join(without_ending(path).split("/")[-2:])
