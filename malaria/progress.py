"""Progress bars: on a terminal, with the time left; nothing in a log file."""

from typing import Any

from tqdm import tqdm


def progress(total: int | None, what: str, unit: str, hidden: bool = False) -> "tqdm[Any]":
    """A bar on stderr to `update`."""
    return tqdm(total=total, desc=what, unit=unit, disable=hidden or None)
