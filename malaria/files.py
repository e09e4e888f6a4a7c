"""Writing small text files so that the same content is the same bytes on every platform, whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pandas as pd


def write_text(path: Path, text: str) -> None:
    """UTF-8 with LF line ends, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(path)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Without the index; floats to six digits."""
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Sorted by key and indented, for people and for Git; NaN is refused."""
    write_text(path, json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n")
