"""Predict images of one red blood cell each.

  malaria predict cells/ --csv > cells.csv     # a row an image
  malaria predict cells/ --by patient          # counts by patient
  find . -name '*.png' | malaria predict -     # images listed on stdin

A row has the calibrated probability of a parasite, the prediction, and two warnings: uncertain, where the probability
is near the threshold, and ood (out of distribution), where the image differs from those the model was trained on. An
image that cannot be read is named on stderr, the others are predicted, and the exit status is 1.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
from tqdm import tqdm

from malaria.cli._options import add_formats, add_model, add_thresholds
from malaria.core.workers import count_cores
from malaria.data.image_files import find_images
from malaria.model.hardware import prepare
from malaria.predict.batch import predict_files
from malaria.predict.groups import CAVEAT, Tally, choose_grouping
from malaria.predict.load import load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image, folder, zip, or - for a list of them on stdin")
    add_model(parser)
    add_formats(parser, csv="CSV", json="JSON, one array", jsonl="JSON, an object a line")
    add_thresholds(parser)
    parser.add_argument(
        "--by",
        metavar="patient|folder|FILE.csv",
        help="count by patient (from names like NLM's), by folder, or by patient as a CSV file with the columns image "
        "and patient says",
    )


def run(options: argparse.Namespace) -> None:
    """Predict and print; the exit status is 1 if an image could not be read."""
    grouping = choose_grouping(options.by) if options.by else None
    prepare(seed=0)
    classifier = load_model(options.model)
    point = options.operating_point
    threshold = classifier.find_threshold(point) if point else options.threshold
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # names of files, whatever they are

    hidden = sys.stdout.isatty() and not grouping  # the rows themselves are the progress then
    total = None if hidden else _count(options.paths)
    bar = tqdm(desc="predicting", total=total, unit="cell", disable=hidden or None)
    counts: Counter[str] = Counter()
    files = find_images(_expand(options.paths))
    tables = _watch(predict_files(files, classifier, threshold, count_cores()), bar, counts)
    try:
        if grouping:
            tally = Tally(grouping)
            for table in tables:
                tally.add(table)
            write([tally.summarise()], options.format)
            print(CAVEAT, file=sys.stdout if options.format == "text" else sys.stderr)
        else:
            write(tables, options.format)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if counts["broken"] or not counts["images"]:
        raise SystemExit(f"{counts['broken']} of {counts['images']} images could not be read")


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


def _watch(
    parts: Iterable[tuple[pd.DataFrame, list[str]]], bar: "tqdm[Any]", counts: Counter[str]
) -> Iterator[pd.DataFrame]:
    """The tables; what could not be read goes to stderr, above the bar, and is counted."""
    with bar:
        for table, broken in parts:
            for line in broken:
                bar.write(line, file=sys.stderr)
            counts.update(images=len(table) + len(broken), broken=len(broken))
            bar.update(len(table) + len(broken))
            yield table


def _to_objects(tables: Iterable[pd.DataFrame]) -> Iterator[str]:
    """Each row as JSON; null where the table is empty."""
    for table in tables:
        for row in table.to_dict("records"):
            yield json.dumps({name: None if value == "" else value for name, value in row.items()}, ensure_ascii=False)


def _to_lines(table: pd.DataFrame) -> list[str]:
    """A head and a line an image, whose name comes last, since it may be long."""
    warnings = [
        ", ".join(filter(None, ["uncertain" if uncertain else "", f"ood: {ood}" if ood else ""]))
        for uncertain, ood in zip(table.uncertain, table.ood, strict=True)
    ]
    rows = zip(table.probability, table.prediction, warnings, table.image, strict=True)
    lines = [f"{p:>11.4f}  {prediction:<11}  {warning:<26}  {image}" for p, prediction, warning, image in rows]
    return [f"{'probability':>11}  {'prediction':<11}  {'warning':<26}  image", *lines]


def _to_aligned_lines(groups: pd.DataFrame) -> list[str]:
    return groups.to_string(index=False, float_format="{:.3f}".format).splitlines()
