"""Adapt the model to cells of another laboratory, from a few labels.

  malaria adapt labels.csv --out models-mylab
  malaria adapt cells/ --classes healthy infected --out models-mylab

LABELS is a CSV file with the columns image, label and, where known, patient and photo, or a folder with a folder a
class, or photographs with labelled boxes (docs/YOUR-LAB.md has the layouts). The model is fine-tuned on these cells,
and on a replay of its own training cells where data/cells.npy has them, without which it forgets some of these.
Cross-validation on your cells tells how good it was before and is after. The folder that is written is used as any
model: malaria predict PATH --model models-mylab
"""

import argparse
import sys
import tempfile
from pathlib import Path

from malaria.cli._options import add_classes, add_model, warn_of_model
from malaria.evaluation.model_card import Adaptation
from malaria.model.hardware import prepare
from malaria.predict.adapt import SHOWN, adapt, find_replay, read_base, write_adapted
from malaria.predict.labelled import read_labelled

CELLS, SPLIT = Path("data/cells.npy"), Path("data/split.csv")
GROUPS = {"patient": "patients", "photo": "photographs", "cell": "cells"}
NAMED = 5  # unsegmented crops


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("labels", metavar="LABELS", help="labelled crops or photographs: a folder or a file")
    add_model(parser)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where to write the adapted model")
    add_classes(parser)
    parser.add_argument("--seed", type=int, default=0, help="of augmentation, folds and order (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Adapt, write the folder, and print the metrics before and after."""
    prepare(options.seed)
    base = read_base(options.model)
    warn_of_model(base.card)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "cells.zip"
        cells = read_labelled(Path(options.labels), options.classes, base.card.preprocess, archive)
    replay = find_replay(CELLS, SPLIT, base, options.seed)
    adapted = adapt(base, cells, replay, options.seed)
    write_adapted(adapted, Path(options.out))
    adaptation = adapted.card.adaptation
    assert adaptation
    for line in warn(adaptation, cells.unsegmented):
        print(line, file=sys.stderr)
    print("\n".join(tabulate(adaptation)))
    print(f"{options.out} written; use it with: malaria predict PATH --model {options.out}")


def tabulate(adaptation: Adaptation) -> list[str]:
    """The metrics before and after, a line each, with 95 % intervals, and what they rest on."""
    parts = ("before", "after", "difference")
    lines = [f"{'':<18}" + "".join(f"{part:<24}" for part in parts)]
    for name in SHOWN:
        cells = "".join(f"{_show(adaptation.metrics, f'{part}_{name}', part):<24}" for part in parts)
        lines.append(f"{name.replace('_', ' '):<18}{cells}".rstrip())
    how = f"{adaptation.folds} folds by {'cell' if adaptation.by_cell else adaptation.group}"
    of = "" if adaptation.group == "cell" else f" of {adaptation.groups} {GROUPS[adaptation.group]}"
    lines.append(
        f"On {adaptation.cells} cells{of} ({adaptation.parasitized} parasitized), by cross-validation ({how}); "
        f"[95 % interval]. Fine-tuned with {adaptation.replayed:,} cells of the base model's training."
    )
    return lines


def _show(metrics: dict[str, float | None], name: str, part: str) -> str:
    """A metric with its interval."""
    value, low, high = (metrics[f"{name}{end}"] for end in ("", "_low", "_high"))
    spec = "+.3f" if part == "difference" else ".3f"
    if value is None:
        return "undefined"
    return f"{value:{spec}}" + ("" if low is None or high is None else f" [{low:{spec}}, {high:{spec}}]")


def warn(adaptation: Adaptation, unsegmented: list[str]) -> list[str]:
    """What a user should know before the adapted model is used."""
    lines = []
    if unsegmented:
        names = ", ".join(unsegmented[:NAMED]) + ", ..." * (len(unsegmented) > NAMED)
        lines.append(f"in {len(unsegmented)} crops no cell was found: {names}")
    if not adaptation.replayed:
        lines.append(
            "data/cells.npy has no cells of the base model's training: without a replay the adapted model is worse on "
            "cells like those; `dvc pull data/cells.npy data/split.csv` fetches them from a remote, `dvc repro split` "
            "makes them anew"
        )
    low = adaptation.metrics["difference_balanced_accuracy_low"]
    if low is None or low <= 0:
        lines.append(
            "not shown to be better than before: the interval of the difference in balanced accuracy "
            + ("is undefined" if low is None else "includes 0")
            + "; label more cells, of more patients"
        )
    if adaptation.group == "cell":
        lines.append("patients are unknown, so cells of one may be on both sides of a fold, and intervals too narrow")
    elif adaptation.by_cell:
        lines.append(
            f"a class has a single {adaptation.group}, so folds divide its cells, and the metrics are optimistic"
        )
    return lines
