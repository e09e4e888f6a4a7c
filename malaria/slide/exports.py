"""What `malaria predict` writes of photographs: overlays, and the cells as images with labels to correct."""

from pathlib import Path, PurePath

import pandas as pd

from malaria.core.artifacts import atomic_write, write_bytes
from malaria.core.errors import UserError
from malaria.slide.overlay import draw_overlay
from malaria.slide.photographs import CalledPhotograph, reopen
from malaria.smear.cells import COUNTED, encode_cell
from malaria.smear.files import Decoded
from malaria.sources.own import TABLE

COLUMNS = ["probability", "x", "y", "width", "height"]  # of labels.csv, besides image, label and photo


class Exports:
    """Folders that photographs are added to, one after the other, so that none stays in memory.

    `overlays` gets a JPEG a photograph; `crops` a folder a photograph with a PNG a red cell that counts, and labels.csv
    (image, label, photo, probability and the box in the photograph), which `malaria adapt`, `malaria evaluate` and
    `download.source=own` read. Its labels are the model's predictions, for a person to correct.

    Raises:
        UserError: `crops` has a labels.csv, in which there may be labels that a person corrected.
    """

    def __init__(self, overlays: Path | None, crops: Path | None) -> None:
        self._overlays, self._crops = overlays, crops
        self._names: set[str] = set()
        if crops and (crops / TABLE).exists():
            raise UserError(
                f"{crops / TABLE}: is there already, perhaps with labels that you corrected; name a new folder"
            )

    def add(self, predicted: Decoded) -> None:
        """Write what was asked for of a photograph; of crops, nothing.

        Raises:
            UserError: `overlays` is the folder of the photograph, which its overlay might replace.
        """
        if predicted.file is None:
            return
        path = Path(predicted.file.path)
        if self._overlays and predicted.file.member is None and path.resolve().parent == self._overlays.resolve():
            raise UserError(f"{path}: its overlay might replace it; name another folder than {self._overlays}")
        photograph = reopen(predicted)
        name = self._pick_name(predicted.file.name)
        if self._overlays:
            with atomic_write(self._overlays / f"{name}.jpg") as temporary:
                draw_overlay(photograph).save(temporary, "JPEG", quality=90)
        if self._crops:
            self._write_cells(self._crops, name, photograph)

    def _pick_name(self, path: str) -> str:
        """The last part of a path, as UTF-8, and a number where there are several such."""
        stem, number = PurePath(path).stem.encode(errors="ignore").decode() or "photograph", 1
        name = stem
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return name

    def _write_cells(self, folder: Path, name: str, photograph: CalledPhotograph) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for cell, row in zip(photograph.found.cells, photograph.table.to_dict("records"), strict=True):
            if cell.kind in COUNTED:
                file = f"{name}/{row['cell']:04}.png"
                write_bytes(folder / file, encode_cell(photograph.image, cell))
                rows.append([file, row["prediction"], name, *(row[column] for column in COLUMNS)])
        table = pd.DataFrame(rows, columns=["image", "label", "photo", *COLUMNS])
        index = folder / TABLE
        table.to_csv(index, mode="a", index=False, header=not index.exists(), lineterminator="\n")
