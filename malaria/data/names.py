"""Names of images that people typed, or another program wrote, matched to those that are there."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import PurePosixPath


class Names:
    """Known names, to be found as they are, by their file name, or by it without case, suffix, and `-` for `_`.

    A name that more than one of them might be is not found.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(known)
        self._by_key = [(key, _index(self._known, key)) for key in KEYS]

    def find(self, name: str) -> str | None:
        """The known name that is meant."""
        for key, known in self._by_key:
            if found := known.get(key(name)):
                return found[0] if len(found) == 1 else None
        return None

    def find_nearest(self, name: str) -> str | None:
        """A known name that looks like it, for a message."""
        simple = {simplify(known): known for known in self._known}
        found = get_close_matches(simplify(name), simple, 1, cutoff=0.5)
        return simple[found[0]] if found else None


def _index(known: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    names = defaultdict(list)
    for name in dict.fromkeys(known):
        names[key(name)].append(name)
    return names


def _file_name(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def simplify(name: str) -> str:
    """What is left of a name if folder, suffix, case, and which of `-`, `_` and blank it has do not matter."""
    return PurePosixPath(_file_name(name)).stem.casefold().replace("-", "_").replace(" ", "_")


KEYS: tuple[Callable[[str], str], ...] = str, _file_name, simplify
