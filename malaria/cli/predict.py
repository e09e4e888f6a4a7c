"""Predict photographs of smears, cell by cell, and images of one red blood cell each.

  malaria predict photographs/ --by photo      # red cells, parasitized ones and parasitemia, a row a photograph
  malaria predict photographs/ --overlay seen/ --crops cells/
  malaria predict cells/ --csv > cells.csv     # a row a cell
  find . -name '*.png' | malaria predict -     # images listed on stdin
  malaria predict --example --by photo         # a drawn photograph, for a first look

What a file is, is decided by what is in it: in a photograph the red cells are found and predicted one by one. A row has
the calibrated probability of a parasite, the prediction, and two warnings: uncertain, where the probability is near the
threshold, and ood (out of distribution), where the cell differs from those the model was trained on. An image that
cannot be read, or is not of one cell, is named on stderr, the others are predicted, and the exit status is 1.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from malaria.cli._options import add_formats, add_model, add_red_cells, add_thresholds, warn_of_model
from malaria.core.errors import UserError
from malaria.core.workers import count_cores
from malaria.data.image_files import find_images
from malaria.data.index import CLASSES
from malaria.model.hardware import prepare
from malaria.predict.batch import predict_files
from malaria.predict.load import load_model
from malaria.slide.groups import CROPS, NO_RATES, NOTES, Grouping, Rates, Tally, choose_grouping
from malaria.smear.files import Decoded

EXAMPLE = Path(str(files("malaria.slide") / "example.jpg"))  # drawn by docs/screenshots.py


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="image, folder, zip, or - for a list of them on stdin")
    parser.add_argument("--example", action="store_true", help="predict a drawn photograph")
    add_model(parser)
    add_formats(parser, csv="CSV", json="JSON, one array", jsonl="JSON, an object a line")
    add_thresholds(parser)
    parser.add_argument(
        "--as",
        dest="form",
        choices=["auto", "photo", "crop"],
        default="auto",
        help="what the images are: photographs of a field, or crops of one cell (default: what is in them decides)",
    )
    parser.add_argument(
        "--by",
        metavar="photo|patient|folder|FILE.csv",
        help="count by photograph, by patient (from names like NLM's), by folder, or by patient as a CSV file with the "
        "columns image and patient says",
    )
    add_red_cells(parser)
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write each photograph there, its cells outlined")
    parser.add_argument(
        "--crops",
        type=Path,
        metavar="DIR",
        help="write the cells of photographs there, and labels.csv with the predictions as labels to correct, for "
        "`malaria adapt`",
    )


def run(options: argparse.Namespace) -> None:
    """Predict and print; the exit status is 1 if an image gets no prediction."""
    grouping = choose_grouping(options.by) if options.by else None
    paths = [*options.paths, *([str(EXAMPLE)] if options.example else [])]
    if not paths:
        raise UserError("no images: name photographs, crops or folders of them, or try --example")
    prepare(seed=0)
    classifier = load_model(options.model)
    warn_of_model(classifier.card)
    point = options.operating_point
    threshold = classifier.find_threshold(point) if point else options.threshold
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # names of files, whatever they are

    hidden = sys.stdout.isatty() and not grouping  # the rows themselves are the progress then
    total = None if hidden else _count(paths)
    bar = tqdm(desc="predicting", total=total, unit="image", disable=hidden or None)
    counts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    images = find_images(_expand(paths), others)
    parts = _watch(predict_files(images, classifier, threshold, count_cores(), options.form), bar, counts)
    if options.overlay or options.crops:
        parts = _export(parts, options.overlay, options.crops)
    try:
        if grouping:
            _write_groups(parts, grouping, classifier.find_error_rates(threshold), options)
        else:
            write((part.table for part in parts), options.format)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        print("\n".join(_summarise(counts, others)), file=sys.stderr)
    if counts["broken"] or not counts["images"]:
        raise SystemExit(f"{counts['broken']} of {counts['images']} images got no prediction")


def _export(parts: Iterable[Decoded], overlays: Path | None, crops: Path | None) -> Iterator[Decoded]:
    """The same parts, after their pictures were written."""
    from malaria.slide.exports import Exports  # brings scikit-image, which takes a second to import

    exports = Exports(overlays, crops)
    for part in parts:
        exports.add(part)
        yield part


def _write_groups(parts: Iterable[Decoded], grouping: Grouping, rates: Rates, options: argparse.Namespace) -> None:
    """Count by group; the notes below the table go to stderr where a program reads it."""
    tally = Tally(grouping, rates, options.red_cells)
    for part in parts:
        tally.add(part)
    if (groups := tally.summarise()).empty and options.format == "text":
        return
    write([groups], options.format)
    notes = [NOTES.format(red_cells=options.red_cells), *([CROPS] if tally.has_crops else [])]
    notes += [] if None not in rates else [NO_RATES]
    if grouping.patients and (missing := grouping.patients.describe_missing()):
        print(f"{options.by}: {missing}", file=sys.stderr)
    print("\n".join(notes), file=sys.stdout if options.format == "text" else sys.stderr)


def write(tables: Iterable[pd.DataFrame], kind: str) -> None:
    """Tables with the same columns on standard output, one after the other, none kept."""
    match kind:
        case "csv":
            for number, table in enumerate(tables):
                table.to_csv(sys.stdout, index=False, header=number == 0, lineterminator="\n")
        case "jsonl":
            for row in _to_objects(tables):
                print(row)
        case "json":
            start = "[\n"
            for row in _to_objects(tables):
                print(start + row, end="")
                start = ",\n"
            print("[]" if start == "[\n" else "\n]")
        case _:
            for number, table in enumerate(tables):
                lines = _to_lines(table) if "image" in table else _to_aligned_lines(table)
                print("\n".join(lines[1:] if number else lines))


def _expand(paths: Iterable[str]) -> Iterator[str]:
    """The paths, those listed on standard input for `-`."""
    for path in paths:
        yield from (line.rstrip("\r\n") for line in sys.stdin) if path == "-" else [path]


def _count(paths: list[str]) -> int | None:
    """How many images there are; None for a list that can be read but once."""
    return None if "-" in paths else sum(1 for _ in find_images(paths))


def _watch(parts: Iterable[Decoded], bar: "tqdm[Any]", counts: Counter[str]) -> Iterator[Decoded]:
    """The parts; what could not be read goes to stderr, above the bar, and is counted."""
    with bar:
        for part in parts:
            for line in [*part.broken, *_find_problems(part)]:
                bar.write(line, file=sys.stderr)
            counts.update(images=part.images, broken=len(part.broken), uncertain=int(part.table.uncertain.sum()))
            counts.update(part.table.prediction)
            counts["ood"] += int((part.table.ood != "").sum())
            counts["border"] += int((part.table.kind == "border").sum())
            bar.update(part.images)
            yield part


def _summarise(counts: Counter[str], others: Counter[str]) -> list[str]:
    """What was predicted, how far to trust it, and which files were not looked at, a line each."""
    cells = sum(counts[name] for name in CLASSES)
    called = ", ".join(f"{counts[name]:,} {name.lower()}" for name in reversed(CLASSES))
    cut = f"; {counts['border']:,} at the border, which count in no parasitemia" if counts["border"] else ""
    lines = [f"{cells:,} {'cell' if cells == 1 else 'cells'}: {called}; {counts['uncertain']:,} uncertain{cut}."]
    if counts["ood"]:
        share = f"{counts['ood']:,} of {cells:,} out of distribution"
        lines.append(f"{share}: the model was trained on other cells, so do not rely on their predictions.")
    if others:
        kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(others.items()))
        lines.append(f"Not looked at, since their names are not of images: {kinds}.")
    return lines


def _find_problems(part: Decoded) -> list[str]:
    """What is wrong with a photograph, a line each."""
    if part.file is None or part.found is None:
        return []
    from malaria.slide.quality import check_quality  # brings scikit-image, which was needed for the photograph anyway

    return [f"{part.file.name}: {problem.text}" for problem in check_quality(part.found, part.table)]


def _to_objects(tables: Iterable[pd.DataFrame]) -> Iterator[str]:
    """Each row as JSON; null where the table is empty or undefined."""
    for table in tables:
        for row in table.to_dict("records"):
            values = {name: None if pd.isna(value) or value == "" else value for name, value in row.items()}
            yield json.dumps(values, ensure_ascii=False)


def _to_lines(table: pd.DataFrame) -> list[str]:
    """A head and a line a cell; the image comes last, since its name may be long."""
    warnings = [
        ", ".join(filter(None, ["uncertain" if uncertain else "", f"ood: {ood}" if ood else ""]))
        for uncertain, ood in zip(table.uncertain, table.ood, strict=True)
    ]
    names = [f"{image} #{cell}" if cell != "" else image for image, cell in zip(table.image, table.cell, strict=True)]
    names = [name.replace("\n", r"\n").replace("\r", r"\r") for name in names]
    rows = zip(table.probability, table.prediction, table.kind, warnings, names, strict=True)
    lines = [
        f"{p:>11.4f}  {prediction:<11}  {kind:<7}  {warning:<26}  {name}" for p, prediction, kind, warning, name in rows
    ]
    return [f"{'probability':>11}  {'prediction':<11}  {'kind':<7}  {'warning':<26}  image", *lines]


def _show_parasitemia(median: float, low: float, high: float) -> str:
    """In percent, with its interval, or what it is below where zero cannot be excluded."""
    if pd.isna(median):
        return "-"
    return f"{median:.2f} ({low:.2f} to {high:.2f})" if low else f"below {high:.2f}"


def _to_aligned_lines(groups: pd.DataFrame) -> list[str]:
    """The table as text: counts, parasitemia with its interval, and warnings."""
    columns = {
        "group": groups.group.str.replace("\n", r"\n").str.replace("\r", r"\r"),
        "photos": groups.photographs,
        "red cells": groups["cells"],
        "parasitized": groups.parasitized,
        "parasitemia %": [
            _show_parasitemia(median, low, high)
            for median, low, high in zip(groups.parasitemia, groups.low, groups.high, strict=True)
        ],
        "any": ["-" if pd.isna(any_parasite) else f"{any_parasite:.2f}" for any_parasite in groups["any"]],
        "more": [("none" if pd.isna(more) else str(more)) for more in groups["more"]],
        "per uL": ["-" if pd.isna(number) else f"{number:,.0f}" for number in groups.per_ul],
        "uncertain": groups.uncertain,
        "ood": groups.ood,
    }
    return pd.DataFrame(columns).to_string(index=False).splitlines()
