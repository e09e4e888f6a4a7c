"""Tables that people make in spreadsheets, as Excel and its like save them as CSV."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from malaria.core.errors import UserError

_SHOWN = 5  # values that a message gives


def read_columns(path: Path, needed: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """The named columns of a CSV file, as text without spaces around; optional ones only where they are there.

    Column names count in any case. Rows that are blank are left out. The index is the row's number in the spreadsheet.

    Raises:
        UserError: it is no CSV file, lacks a column, has one twice, or has no rows.
    """
    return parse_columns(path.read_bytes(), str(path), needed, optional)


def parse_columns(data: bytes, path: str, needed: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """The same of the content of a file, which messages call `path`."""
    header, *rows = _parse(data, path) or [[]]
    columns = _name_columns(header)
    _check_columns(path, columns, needed, optional)
    at = {name: columns.index(name) for name in (*needed, *optional) if name in columns}
    texts = {name: [row[i].strip() if i < len(row) else "" for row in rows] for name, i in at.items()}
    filled = [any(map(str.strip, row)) for row in rows]
    table = pd.DataFrame(texts, index=range(2, len(rows) + 2), dtype=str)[filled]
    if table.empty:
        raise UserError(f"{path}: no rows below its header; add them")
    return table


def read_header(path: Path) -> list[str]:
    """The names of a CSV file's columns, in lower case.

    Raises:
        UserError: it is no CSV file.
    """
    return _name_columns((_parse(path.read_bytes(), str(path)) or [[]])[0])


def some(values: Iterable[str]) -> str:
    """The first values, and how many there are."""
    shown = [value if value and value.isprintable() else repr(value) for value in values]
    more = f", ... ({len(shown):,} in all)" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _name_columns(header: Sequence[str]) -> list[str]:
    return [name.strip().casefold() for name in header]


def _check_columns(path: str, columns: list[str], needed: Sequence[str], optional: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in columns]:
        raise UserError(
            f"{path}: no column {' or '.join(missing)}; it has {some(columns) or 'none'}. Its first row must name the "
            f"columns: {','.join(needed)}{''.join(f'[,{name}]' for name in optional)}"
        )
    if repeated := [name for name in (*needed, *optional) if columns.count(name) > 1]:
        raise UserError(f"{path}: more than one column {' and '.join(repeated)}; remove all but one")


def _parse(data: bytes, path: str) -> list[list[str]]:
    """The fields of each row of a CSV file, divided by commas, semicolons or tabs."""
    lines = io.StringIO(_decode(data, path), newline="")
    delimiter = max(",;\t", key=lines.readline().count)
    lines.seek(0)
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}") from None


def _decode(data: bytes, path: str) -> str:
    """The text of a file in an encoding of Excel's: UTF-8 or UTF-16 with a byte order mark, or Windows-1252."""
    if data.startswith(b"PK\x03\x04"):
        raise UserError(f"{path}: a workbook or zip; save the workbook as CSV, or unpack the zip and give its folder")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
