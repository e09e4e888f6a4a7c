"""Evaluate a model on labelled cells of your own.

  malaria evaluate cells/                              # cells/Uninfected/... and cells/Parasitized/...
  malaria evaluate cells/ --classes healthy infected   # folders of other names
  malaria evaluate labels.csv --report report.html     # image,label[,patient][,photo]
  malaria evaluate photographs/                        # with labelled boxes: docs/YOUR-LAB.md
  malaria evaluate labels.csv --model main --json      # the model of a revision

A folder within that of a class is a patient. Intervals are 95 %, from a bootstrap over patients; where these are
unknown over photographs, or else over cells, which makes them too narrow. Cells that the model was trained on are
refused.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd

from malaria.cli._options import add_classes, add_model, warn_of_model
from malaria.core.artifacts import write_text
from malaria.core.errors import UserError
from malaria.evaluation.bootstrap import FEWEST, RESAMPLED
from malaria.evaluation.model_card import ModelCard
from malaria.model.hardware import prepare
from malaria.predict.evaluate import Evaluation, evaluate_model, find_seen, render_evaluation, to_object
from malaria.predict.labelled import SWAPPED, LabelledCells, are_swapped, read_labelled
from malaria.predict.load import load_with_hashes
from malaria.report.page import interval, label_metrics, percent, read_metrics, show

SHOWN = 5  # names in a message
SHARES = {"uncertain_rate": "Uncertain predictions", "ood_rate": "Out of distribution"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("path", type=Path, metavar="PATH", help="labelled crops or photographs: a folder or a file")
    add_model(parser)
    add_classes(parser)
    parser.add_argument("--json", action="store_true", help="JSON, one object")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="also write a report page")
    parser.add_argument("--training-cells", action="store_true", help="evaluate cells the model was trained on too")


def run(options: argparse.Namespace) -> None:
    """Evaluate, write the report, print."""
    prepare(seed=0)
    classifier, hashes = load_with_hashes(options.model)
    card = classifier.card
    warn_of_model(card)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "cells.zip"
        cells = read_labelled(options.path, options.classes, card.preprocess, archive)
        report_unsegmented(cells, card)
        seen = check_seen(find_seen(cells, hashes), options.model, options.training_cells)
        evaluation = evaluate_model(classifier, cells, str(options.path), seen)
        if are_swapped(evaluation.predictions.label, evaluation.predictions.probability.to_numpy()):
            print(SWAPPED, file=sys.stderr)
        if options.report:
            write_text(options.report, render_evaluation(evaluation, classifier, cells, archive))
    if options.json:
        print(json.dumps(to_object(evaluation, card, str(options.model)), indent=2, allow_nan=False))
    else:
        print("\n".join(to_lines(evaluation, card)))
    if options.report:
        print(f"The report is at {options.report.resolve().as_uri()}", file=sys.stderr)


def report_unsegmented(cells: LabelledCells, card: ModelCard) -> None:
    """Name on stderr the crops in which no cell was found."""
    if cells.unsegmented:
        fate = "left out" if card.unsegmented == "drop" else "evaluated as they are"
        count = len(cells.unsegmented)
        print(f"{count:,} crops without a cell in their middle, {fate}: {_some(cells.unsegmented)}", file=sys.stderr)


def check_seen(seen: list[str] | None, model: str, allowed: bool) -> int | None:
    """How many of the cells the model was trained on; None, and a line on stderr, where that cannot be told.

    Raises:
        UserError: it was trained on some, which is not allowed.
    """
    if seen is None:
        print(
            f"{model}: an ONNX file does not tell its training cells, so it was not checked whether these cells are "
            "among them",
            file=sys.stderr,
        )
        return None
    if seen and not allowed:
        raise UserError(
            f"{len(seen):,} of the cells are among the training cells of {model}, pixel for pixel: {_some(seen)}. "
            "Remove them, since metrics on them are optimistic, or evaluate them all the same with --training-cells"
        )
    return len(seen)


def to_lines(evaluation: Evaluation, card: ModelCard) -> list[str]:
    """The evaluation for people."""
    return [
        f"Data: {evaluation.description}",
        f"Model: {card.arch}, trained on {card.trained_on}; threshold {card.threshold:.3g} ({card.operating_point})",
        *_explain_left_out(evaluation, card),
        "",
        *tabulate_metrics(evaluation).to_string(index=False).splitlines(),
        "",
        f"The intervals are by {RESAMPLED[evaluation.group]}. With fewer than {FEWEST} of these there is none.",
    ]


def tabulate_metrics(evaluation: Evaluation) -> pd.DataFrame:
    """A row a metric, as text: its name, value and interval."""
    values = read_metrics(evaluation.metrics.rename(columns={"value": "test"}))["test"]
    labels = label_metrics(evaluation.group)
    rows = [(label, show(name, values[name], 2), interval(values, name)) for name, label in labels.items()]
    rows += [(label, percent(values[name], 2), "") for name, label in SHARES.items()]
    width = max(len(label) for label, _, _ in rows)
    rows = [(label.ljust(width), value, bounds) for label, value, bounds in rows]
    return pd.DataFrame(rows, columns=["metric".ljust(width), "value", "95 % interval"])


def _explain_left_out(evaluation: Evaluation, card: ModelCard) -> list[str]:
    lines = []
    if evaluation.unsegmented and card.unsegmented == "drop":
        lines.append(f"Left out: {len(evaluation.unsegmented):,} crops in which no cell was found")
    if evaluation.seen:
        lines.append(f"{evaluation.seen:,} of the cells are the model's training cells: the metrics are optimistic")
    return lines


def _some(names: list[str]) -> str:
    more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
