"""What leaves the page: a table of all cells, and a zip of everything with a list of hashes."""

import hashlib
import json
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from malaria.core.artifacts import atomic_write
from malaria.lab.counts import Count
from malaria.lab.lab import Lab

BUNDLE = "hand-over.zip"


def tabulate(lab: Lab, reader: str) -> pd.DataFrame:
    """A row a cell: its photograph and patient, place, call, the reader's label, and the decision."""
    parts = [lab.decided(entry, reader).assign(photo=entry.name, patient=lab.patient(entry.name)) for entry in lab.done]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["photo", "patient"])
    return table[["photo", "patient", *(name for name in table.columns if name not in ("photo", "patient"))]]


def write_table(lab: Lab, reader: str) -> str:
    """`tabulate` as CSV."""
    return tabulate(lab, reader).to_csv(index=False, lineterminator="\n")


def tabulate_counts(counts: list[Count]) -> pd.DataFrame:
    """A row a photograph or patient, the parasitemia and its interval in %, named as `malaria predict --by` does."""
    rows: list[dict[str, Any]] = []
    for count in counts:
        row = asdict(count) | {"parasitemia": None}
        if found := count.parasitemia:
            row |= {name: 100 * getattr(found, name) for name in ("parasitemia", "low", "high")}
            row["any"] = found.any_parasite
        rows.append(row)
    return pd.DataFrame(rows)


async def write_bundle(lab: Lab, reader: str) -> Path:
    """Write everything as a zip into the lab's folder: labels, tables, the model in use, the report on the slide and
    overlays of photographs; manifest.json says which model, and has the sha256 of each file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for patient, photographs in group_photographs(lab).items():
            await lab.run("write_report", photographs, folder, patient, lab.source)
        counts = {"photograph": lab.count_photographs(reader), "patient": lab.count_patients(reader)}
        texts = {"cells.csv": write_table(lab, reader)}
        for of, counted in counts.items():
            table = tabulate_counts(counted)
            texts[f"parasitemia-by-{of}.csv"] = table.to_csv(index=False, lineterminator="\n")
        for file, text in texts.items():
            (folder / file).write_text(text, "utf-8")
        files = {str(it.relative_to(folder)): it for it in sorted(folder.rglob("*")) if it.is_file()}
        files |= {it.name: it for it in sorted(lab.folder.glob("labels-*.csv"))}
        files |= {image: lab.folder / image for image in lab.given(reader)}
        files |= {f"model/{it.name}": it for it in sorted(Path(lab.source).glob("[!.]*")) if it.is_file()}
        about = {"model": Path(lab.source).name, "trained_on": lab.model.trained_on, "threshold": lab.model.threshold}
        return _zip(files, lab.folder / BUNDLE, about)


def group_photographs(lab: Lab) -> dict[str, list[Path]]:
    """The photographs by patient, "" for none: a report is on one patient's slide."""
    groups: dict[str, list[Path]] = {}
    for entry in lab.done:
        if entry.called and entry.called.sheet.is_photograph:
            groups.setdefault(lab.patient(entry.name), []).append(lab.folder / "photographs" / entry.name)
    return groups


def _zip(files: dict[str, Path], path: Path, about: dict[str, Any]) -> Path:
    """Write the files, and manifest.json with what is said about the model and the sha256 of each."""
    hashes = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.write(file, name)
        archive.writestr("manifest.json", json.dumps(about | {"sha256": hashes}, indent=2))
    return path
